# SPDX-License-Identifier: MIT
"""captured.handover.state and .records: what one daemon leaves to the next."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from capturectl.fd import OwnedFd
from captured.capture.pool import Slot
from captured.handover.records import (
    NO_WISH,
    LitRecord,
    OutputRecord,
    SessionRecord,
    SlotRecord,
    Wish,
)
from captured.handover.state import COLUMNS, SIZE, Counts, State
from tests.support.fakes import FakeMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

WISH = Wish(1, (1, 0, 0, 2, 5, 30_000), True, 3, True, 99)
SESSION = SessionRecord(7, 123, 2, True, True, False, "größe", WISH)
SLOT = SlotRecord(6, 40, 3, 2560, 1 << 33, True)
OUTPUT = OutputRecord(
    "HDMI-A-1", "/dev/dri/card0", 4, 640, 480, 59_940, 0x34325258, 0, LitRecord(1, 50, 9),
    (SLOT, SLOT._replace(buffer=1, is_tainted=False)),
)  # fmt: skip


@pytest.fixture
def state() -> Iterator[State]:
    made = State.create(42)
    yield made
    made.close()


@pytest.fixture
def slot() -> Iterator[Slot]:
    memory = FakeMemory()
    yield Slot(9, 3, memory, 5)
    memory.close()


def next_of(state: State) -> State:
    """What the next daemon makes of the memfd."""
    adopted = State.adopt(OwnedFd(os.dup(state.fileno()), "state"))
    assert adopted is not None
    return adopted


@pytest.mark.parametrize("record", [SESSION, SESSION._replace(wish=NO_WISH, name="")])
def test_a_session_is_read_as_it_was_written(record: SessionRecord) -> None:
    assert SessionRecord.unpack(record.pack()) == record


@pytest.mark.parametrize("record", [OUTPUT, OUTPUT._replace(slots=(), name="DP-1")])
def test_an_output_is_read_as_it_was_written(record: OutputRecord) -> None:
    assert OutputRecord.unpack(record.pack()) == record


@pytest.mark.parametrize("size", [0, 5, -1])
def test_records_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="no session"):
        SessionRecord.unpack(SESSION.pack()[:size])
    with pytest.raises(ValueError, match="no output"):
        OutputRecord.unpack(OUTPUT.pack()[:size])


@pytest.mark.parametrize(
    "record",
    [
        SESSION._replace(number=0), SESSION._replace(number=1 << 48),
        SESSION._replace(wish=WISH._replace(request=(1, 0, 0, 1 << 16, 5, 0))),
    ],
)  # fmt: skip
def test_a_session_that_cannot_have_been_is_refused(record: SessionRecord) -> None:
    with pytest.raises(ValueError, match="no session has"):
        SessionRecord.unpack(record.pack())


@pytest.mark.parametrize(
    "record",
    [
        OUTPUT._replace(generation=1 << 31),
        OUTPUT._replace(slots=(SLOT, SLOT._replace(buffer=1 << 31))),
    ],
)
def test_an_output_that_cannot_have_been_is_refused(record: OutputRecord) -> None:
    with pytest.raises(ValueError, match="no output has"):
        OutputRecord.unpack(record.pack())


def test_the_next_daemon_reads_everything(state: State, slot: Slot) -> None:
    state.output.store(OUTPUT.pack())
    state.session(3).store(SESSION.pack())
    state.marks(3)[5] = 2
    state.note_commit(slot, 77, 6, 70, 1_000)
    found = next_of(state)
    assert found.instance == 42
    assert OutputRecord.unpack(found.output.load()) == OUTPUT
    assert SessionRecord.unpack(found.session(3).load()) == SESSION
    assert bytes(found.marks(3)) == bytes([0, 0, 0, 0, 0, 2, *bytes(COLUMNS - 6)])
    assert found.counts == Counts(77, 6, 70, 1_000, 3)
    assert found.sequence_of(5) == found.last_number == 77
    found.close()


def test_the_last_number_counts_even_when_only_its_slot_was_noted(
    state: State, slot: Slot
) -> None:
    state.note_commit(slot, 8, 0, 0, 0)
    offset = 128 + 5 * 8  # of the slot's sequence
    os.pwrite(state.fileno(), (9).to_bytes(8, "little"), offset)
    assert state.last_number == 9


def test_nobody_can_change_its_size(state: State) -> None:
    seals = fcntl.fcntl(state.fileno(), fcntl.F_GET_SEALS)
    assert seals == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    with pytest.raises(PermissionError):
        os.ftruncate(state.fileno(), SIZE // 2)


def test_a_state_of_another_version_is_not_adopted(state: State) -> None:
    os.pwrite(state.fileno(), b"\x02", 8)
    assert State.adopt(OwnedFd(os.dup(state.fileno()))) is None


@pytest.mark.parametrize("offset", [64, 72, 80, 96, 128, 128 + 64 * 8])
def test_a_state_whose_numbers_cannot_be_true_is_not_adopted(state: State, offset: int) -> None:
    os.pwrite(state.fileno(), (1 << 48).to_bytes(8, "little"), offset)
    assert State.adopt(OwnedFd(os.dup(state.fileno()))) is None


def test_a_state_that_is_not_sealed_is_not_adopted() -> None:
    memfd = OwnedFd(os.memfd_create("state", os.MFD_ALLOW_SEALING))
    os.ftruncate(memfd.fileno(), SIZE)
    assert State.adopt(memfd) is None
    assert not memfd


def test_what_is_no_memfd_is_not_adopted() -> None:
    read, write = os.pipe()
    os.close(write)
    assert State.adopt(OwnedFd(read)) is None


def test_a_state_is_given_up_when_two_daemons_have_died_of_it(state: State) -> None:
    for _ in range(2):
        next_of(state).close()
    assert State.adopt(OwnedFd(os.dup(state.fileno()))) is None


def test_a_daemon_that_serves_its_clients_has_not_died_of_it(state: State) -> None:
    for _ in range(5):
        found = next_of(state)
        found.succeeded()
        found.close()
