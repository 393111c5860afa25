# SPDX-License-Identifier: MIT
"""One capture in hardware."""

from __future__ import annotations

from enum import Enum, auto

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.pool import Slot
    from captured.capture.source import Fence


class JobState(Enum):
    """Where a capture stands."""

    IDLE = auto()
    """No slot yet."""
    PREPARED = auto()
    """It has a slot; the source has not been asked."""
    COMMITTED = auto()
    """The source writes; we wait for the fence."""
    SIGNALLED = auto()
    """The fence says that the picture is written."""
    FAILED = auto()
    """The commit was refused, or the fence carries an error."""
    LOST = auto()
    """The fence missed its deadline: the source may still write, some time."""


# Each look through the class costs a call, and these are looked at for every frame.
_IDLE, _PREPARED, _COMMITTED, _SIGNALLED = (
    JobState.IDLE, JobState.PREPARED, JobState.COMMITTED, JobState.SIGNALLED,
)  # fmt: skip


class WritebackJob:
    """One capture, from a slot to a picture. Used once.

    Ownership: borrows the slot, owns the fence until the job ends.
    """

    __slots__ = ("fence", "number", "slot", "state", "time_commit_ns", "time_done_ns")

    def __init__(self, number: int, slot: Slot | None = None) -> None:
        """Start at IDLE, or PREPARED with a slot; `number` is the stream's count of captures."""
        self.number = number
        self.state = _IDLE if slot is None else _PREPARED
        self.slot = slot
        self.fence: Fence | None = None
        self.time_commit_ns = 0
        self.time_done_ns = 0

    def prepare(self, slot: Slot) -> None:
        """Give it the slot to write to."""
        self._step(JobState.IDLE, JobState.PREPARED)
        self.slot = slot

    def committed(self, fence: Fence, now_ns: int) -> None:
        """The source took it."""
        if self.state is not _PREPARED:
            raise self._cannot_become(_COMMITTED)
        self.state, self.fence, self.time_commit_ns = _COMMITTED, fence, now_ns

    def refused(self) -> None:
        """The source did not take it."""
        self._step(JobState.PREPARED, JobState.FAILED)

    def ended(self, status: int, time_done_ns: int) -> None:
        """The fence has ended, well or not: see `FenceResult`."""
        new = _SIGNALLED if status > 0 else JobState.FAILED
        if self.state is not _COMMITTED:
            raise self._cannot_become(new)
        self.state, self.time_done_ns = new, time_done_ns
        self._drop_fence()

    def lost(self) -> None:
        """The deadline passed."""
        self._step(JobState.COMMITTED, JobState.LOST)
        self._drop_fence()

    def _step(self, expected: JobState, new: JobState) -> None:
        if self.state is not expected:
            raise self._cannot_become(new)
        self.state = new

    def _drop_fence(self) -> None:
        fence, self.fence = self.fence, None
        if fence is not None and not fence.is_lasting:
            fence.close()

    def _cannot_become(self, new: JobState) -> RuntimeError:
        return RuntimeError(f"{self!r} cannot become {new.name}")

    def __repr__(self) -> str:
        return f"<WritebackJob {self.number} {self.state.name}>"
