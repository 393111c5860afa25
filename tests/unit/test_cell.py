# SPDX-License-Identifier: MIT
"""captured.handover.cell: whole after a kill at any moment."""

from __future__ import annotations

import zlib

import pytest

from captured.handover.cell import Cell

SIZE = 2 * (12 + 16)


def cell(memory: bytearray) -> Cell:
    return Cell(memoryview(memory))


def test_a_new_cell_is_empty() -> None:
    assert cell(bytearray(SIZE)).load() == b""


def test_what_was_stored_last_is_loaded_by_whoever_comes_next() -> None:
    memory = bytearray(SIZE)
    for content in (b"one", b"two", b"a longer one", b"4"):
        cell(memory).store(content)
        assert cell(memory).load() == content


def test_a_cleared_cell_is_empty() -> None:
    memory = bytearray(SIZE)
    cell(memory).store(b"one")
    cell(memory).clear()
    assert cell(memory).load() == b""


def test_a_bank_is_checksum_serial_length_and_content() -> None:
    memory = bytearray(SIZE)
    cell(memory).store(b"abc")
    body = bytes.fromhex("01000000 03000000") + b"abc"
    assert bytes(memory[:15]) == zlib.crc32(body).to_bytes(4, "little") + body


@pytest.mark.parametrize("before", [b"the one before", b""])
def test_a_store_that_stops_half_way_leaves_what_was_there(before: bytes) -> None:
    memory = bytearray(SIZE)
    for content in (b"the very first", before):
        cell(memory).store(content)
    old = bytes(memory)
    cell(memory).store(b"the new one")
    new = bytes(memory)
    changed = [place for place in range(SIZE) if old[place] != new[place]]
    for end in changed:  # it is written from the front
        torn = bytearray(new[:end] + old[end:])
        assert cell(torn).load() == before
    assert cell(bytearray(new)).load() == b"the new one"


def test_after_a_store_that_stopped_half_way_the_next_one_is_good() -> None:
    memory = bytearray(SIZE)
    cell(memory).store(b"one")
    cell(memory).store(b"two")
    memory[-20] ^= 0xFF
    cell(memory).store(b"three")
    assert cell(memory).load() == b"three"


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    memory = bytearray(SIZE)
    cell(memory).store(b"one")
    with pytest.raises(ValueError, match="assign"):
        cell(memory).store(bytes(17))
    assert cell(memory).load() == b"one"
