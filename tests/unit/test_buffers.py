# SPDX-License-Identifier: MIT
"""The table of buffers: mapped once, kept while a frame shows them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from capturectl.buffers import BufferTable
from capturectl.errors import ProtocolError
from tests.support.fds import memfd
from tests.support.frames import RG16, XR24, layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capturectl.fd import OwnedFd
    from capturectl.protocol import Buffer

STREAM = 1
NV12 = 0x3231564E
GOOD = layout(24, XR24, width=2, height=2, pitch=12)


@pytest.fixture
def table() -> Iterator[BufferTable]:
    buffers = BufferTable()
    yield buffers
    buffers.close()


def add(
    table: BufferTable, *, number: int = 0, generation: int = 1, data: bytes = bytes(24)
) -> OwnedFd:
    """Add a buffer; return its fd, which the table owns."""
    fd = memfd(data)
    table.add(STREAM, GOOD._replace(buffer=number, generation=generation), fd)
    return fd


def test_a_buffer_is_found_by_stream_generation_and_number(table: BufferTable) -> None:
    add(table, number=2, generation=7, data=b"x" * 24)
    assert bytes(table.use((STREAM, 7, 2)).dmabuf.memory) == b"x" * 24


@pytest.mark.parametrize("key", [(2, 1, 0), (1, 2, 0), (1, 1, 1)])
def test_a_buffer_that_was_never_sent_is_a_protocol_error(
    table: BufferTable, key: tuple[int, int, int]
) -> None:
    add(table)
    with pytest.raises(ProtocolError, match="never sent"):
        table.use(key)


def test_closing_closes_every_buffer() -> None:
    table = BufferTable()
    fds = [add(table, number=number) for number in range(3)]
    table.close()
    table.close()
    assert not any(fds)


# --- generations -----------------------------------------------------------------------------


def test_a_newer_generation_closes_the_older_ones(table: BufferTable) -> None:
    old = add(table, generation=1)
    new = add(table, generation=2)
    assert (bool(old), bool(new)) == (False, True)


def test_a_buffer_that_a_frame_shows_outlives_its_generation(table: BufferTable) -> None:
    old = add(table, generation=1)
    table.use((STREAM, 1, 0))
    add(table, generation=2)
    assert old


def test_an_older_buffer_is_closed_when_its_last_frame_lets_go(table: BufferTable) -> None:
    old = add(table, generation=1)
    buffer = table.use((STREAM, 1, 0))
    table.use((STREAM, 1, 0))
    add(table, generation=2)
    table.let_go(buffer)
    assert old
    table.let_go(buffer)
    assert not old


def test_a_buffer_of_the_newest_generation_stays_when_let_go(table: BufferTable) -> None:
    fd = add(table)
    table.let_go(table.use((STREAM, 1, 0)))
    assert fd


def test_generations_of_other_streams_do_not_matter(table: BufferTable) -> None:
    fd = add(table, generation=1)
    table.add(STREAM + 1, GOOD._replace(generation=2), memfd(bytes(24)))
    assert fd


def test_a_buffer_that_is_sent_again_closes_the_first(table: BufferTable) -> None:
    first = add(table)
    second = add(table)
    assert (bool(first), bool(second)) == (False, True)


def test_a_buffer_that_a_frame_shows_outlives_another_of_its_number(table: BufferTable) -> None:
    first = add(table, data=b"1" * 24)
    buffer = table.use((STREAM, 1, 0))
    add(table, data=b"2" * 24)
    assert bytes(buffer.dmabuf.memory) == b"1" * 24
    assert bytes(table.use((STREAM, 1, 0)).dmabuf.memory) == b"2" * 24
    table.let_go(buffer)
    assert not first


def test_letting_go_after_closing_is_fine(table: BufferTable) -> None:
    fd = add(table)
    buffer = table.use((STREAM, 1, 0))
    table.close()
    table.let_go(buffer)
    assert not fd


# --- what does not fit -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "described",
    [
        layout(24, XR24, width=2, height=2, pitch=12),
        layout(20, XR24, width=2, height=2, pitch=12),
        layout(24, XR24, width=2, height=2, pitch=12, offset=4),
        layout(24, RG16, width=6, height=2, pitch=12),
        layout(24, NV12, width=4, height=4, pitch=4),
    ],
    ids=["all of it", "no padding at the end", "with an offset", "tight rows", "unknown format"],
)
def test_a_picture_that_fits_is_taken(table: BufferTable, described: Buffer) -> None:
    table.add(STREAM, described, memfd(bytes(24)))
    assert table.use((STREAM, described.generation, described.buffer)).layout == described


@pytest.mark.parametrize(
    "described",
    [
        layout(25, XR24, width=2, height=2, pitch=12),
        layout(19, XR24, width=2, height=2, pitch=12),
        layout(24, XR24, width=2, height=2, pitch=12, offset=5),
        layout(24, XR24, width=2, height=3, pitch=12),
        layout(24, XR24, width=3, height=2, pitch=8),
        layout(24, XR24, width=2, height=2, pitch=0),
    ],
    ids=["memory", "last row", "offset", "height", "width", "no pitch"],
)
def test_a_picture_that_does_not_fit_is_refused_and_its_fd_closed(
    table: BufferTable, described: Buffer
) -> None:
    fd = memfd(bytes(24))
    with pytest.raises(ProtocolError):
        table.add(STREAM, described, fd)
    assert not fd


def test_what_cannot_be_mapped_is_closed(table: BufferTable) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    fd = memfd(b"")
    os.dup2(read_end, fd.fileno())
    os.close(read_end)
    with pytest.raises(OSError, match="Illegal seek"):
        table.add(STREAM, GOOD, fd)
    assert not fd
