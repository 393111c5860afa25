# SPDX-License-Identifier: MIT
"""The memory in which a daemon leaves its state to the next: one memfd of a fixed size.

What changes seldom is in cells, which are whole at any moment. What changes with every frame is in
the ledger, plain bytes and numbers: one store each, so that a stream costs no more for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct

from capturectl.fd import OwnedFd
from capturectl.typed import NamedTuple
from captured.capture.pool import NOWHERE
from captured.handover.cell import Cell
from captured.handover.records import MOST_GENERATION, MOST_NUMBER, OUTPUT_SIZE, SESSION_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Self

    from captured.capture.pool import Slot

MAGIC: Final = b"captured"
VERSION: Final = 1
ROWS: Final = 1024
"""Clients that can be kept, where the service manager keeps as many descriptors."""
COLUMNS: Final = NOWHERE + 1
"""One for each slot of the pool, and one for slots that are no longer in it."""

_HEAD = struct.Struct("<8sIIIIQ")
_ATTEMPTS_AT = 63
"""One byte: daemons that began to go on with it since one could."""
_MOST_ATTEMPTS = 2
_COUNTS = struct.Struct("<QQQQQ")
_SEQUENCE = struct.Struct("<Q")

_COUNTS_AT = 64
_SEQUENCES_AT = _COUNTS_AT + 64
_MARKS_AT = _SEQUENCES_AT + COLUMNS * _SEQUENCE.size
_OUTPUT_AT = _MARKS_AT + ROWS * COLUMNS
_OUTPUT_CELL = 2 * (Cell.HEAD + OUTPUT_SIZE)
_SESSIONS_AT = _OUTPUT_AT + _OUTPUT_CELL
_SESSION_CELL = 2 * (Cell.HEAD + SESSION_SIZE)
SIZE: Final = _SESSIONS_AT + ROWS * _SESSION_CELL

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Counts(NamedTuple):
    """Where the engine stands."""

    number: int
    """Of the last commit, noted before it is done."""
    missed: int
    captured: int
    time_commit_ns: int
    generation: int
    """Of the pool."""


class State:
    """The state. Open until `close()`; what was written stays as long as somebody has the memfd.

    Ownership: owns the memfd and the mapping.
    """

    def __init__(self, memfd: OwnedFd) -> None:
        """Map it. Use `create` or `adopt`."""
        self._memfd = memfd
        self._map = mmap.mmap(memfd.fileno(), SIZE)
        self._view = memoryview(self._map)
        self.output = Cell(self._view[_OUTPUT_AT : _OUTPUT_AT + _OUTPUT_CELL])
        """An `OutputRecord` while a pool is kept."""

    @classmethod
    def create(cls, instance: int) -> Self:
        """Make an empty one of a daemon's life."""
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        memfd = OwnedFd(os.memfd_create("captured-state", flags), "state")
        try:
            os.ftruncate(memfd.fileno(), SIZE)
            fcntl.fcntl(memfd.fileno(), fcntl.F_ADD_SEALS, _SEALS)
            state = cls(memfd)
        except BaseException:
            memfd.close()
            raise
        _HEAD.pack_into(state._map, 0, MAGIC, VERSION, ROWS, COLUMNS, SIZE, instance)
        return state

    @classmethod
    def adopt(cls, memfd: OwnedFd) -> Self | None:
        """Use what a former daemon wrote; None, and the memfd closed, when it is of another kind.

        Its size is sealed, so that it cannot be cut off under the mapping.
        """
        try:
            if fcntl.fcntl(memfd.fileno(), fcntl.F_GET_SEALS) & _SEALS == _SEALS:
                head = os.pread(memfd.fileno(), _HEAD.size, 0)
                expected = MAGIC, VERSION, ROWS, COLUMNS, SIZE
                if len(head) == _HEAD.size and _HEAD.unpack(head)[:5] == expected:
                    state = cls(memfd)
                    if state._is_possible() and state._begin():
                        return state
                    state.close()
        except OSError:
            pass  # no memfd at all
        memfd.close()
        return None

    def _is_possible(self) -> bool:
        """Whether its numbers can be true, and grow: the ledger has no checksum."""
        generation = self.counts.generation
        numbers = *self.counts[:3], *map(self.sequence_of, range(COLUMNS))
        return max(numbers) < MOST_NUMBER and generation < MOST_GENERATION

    def _begin(self) -> bool:
        """Note an attempt; False when others have failed, so that this may be why."""
        attempts = self._map[_ATTEMPTS_AT] = min(255, self._map[_ATTEMPTS_AT] + 1)
        return attempts <= _MOST_ATTEMPTS

    def succeeded(self) -> None:
        """The daemon that goes on with it serves its clients."""
        self._map[_ATTEMPTS_AT] = 0

    def fileno(self) -> int:
        """Lend the memfd."""
        return self._memfd.fileno()

    @property
    def instance(self) -> int:
        """The number of the daemon's life that it goes on with."""
        return int(_HEAD.unpack_from(self._map)[5])

    # -- the ledger ---------------------------------------------------------------------------

    def note_commit(
        self, slot: Slot, number: int, missed: int, captured: int, now_ns: int
    ) -> None:
        """A slot is going to be written by capture `number`."""
        _SEQUENCE.pack_into(self._map, _SEQUENCES_AT + slot.place * 8, number)
        generation = slot.generation
        _COUNTS.pack_into(self._map, _COUNTS_AT, number, missed, captured, now_ns, generation)

    @property
    def counts(self) -> Counts:
        """What was noted last."""
        return Counts(*_COUNTS.unpack_from(self._map, _COUNTS_AT))

    @property
    def last_number(self) -> int:
        """Of the last commit, if it was noted to the end or not."""
        return max(self.counts.number, *map(self.sequence_of, range(COLUMNS)))

    def sequence_of(self, place: int) -> int:
        """Return the number of the last commit to a slot; 0 when there was none."""
        return int(_SEQUENCE.unpack_from(self._map, _SEQUENCES_AT + place * 8)[0])

    def marks(self, row: int) -> memoryview:
        """Lend a client's marks, one for each slot."""
        start = _MARKS_AT + row * COLUMNS
        return self._view[start : start + COLUMNS]

    def clear_sequence(self, place: int) -> None:
        """Another buffer is in a place now, and nothing was written to it."""
        _SEQUENCE.pack_into(self._map, _SEQUENCES_AT + place * 8, 0)

    def session(self, row: int) -> Cell:
        """Return the cell of a client's `SessionRecord`; empty where there is no client."""
        start = _SESSIONS_AT + row * _SESSION_CELL
        return Cell(self._view[start : start + _SESSION_CELL])

    def close(self) -> None:
        """Let go of it. Twice is fine; marks that a session has keep the mapping."""
        if self._memfd:
            self._memfd.close()
            del self.output, self._view
            with contextlib.suppress(BufferError):
                self._map.close()
