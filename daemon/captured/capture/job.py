# SPDX-License-Identifier: MIT
"""One capture in hardware."""

from __future__ import annotations

from enum import Enum, auto

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.pool import Slot
    from captured.capture.source import Fence, FenceResult


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


class WritebackJob:
    """One capture, from a slot to a picture. Used once.

    Ownership: borrows the slot, owns the fence until the job ends.
    """

    def __init__(self, number: int) -> None:
        """Start at IDLE; `number` is the stream's count of captures."""
        self.number = number
        self.state = JobState.IDLE
        self.slot: Slot | None = None
        self.fence: Fence | None = None
        self.time_commit_ns = 0
        self.time_done_ns = 0

    def prepare(self, slot: Slot) -> None:
        """Give it the slot to write to."""
        self._step(JobState.IDLE, JobState.PREPARED)
        self.slot = slot

    def committed(self, fence: Fence, now_ns: int) -> None:
        """The source took it."""
        self._step(JobState.PREPARED, JobState.COMMITTED)
        self.fence, self.time_commit_ns = fence, now_ns

    def refused(self) -> None:
        """The source did not take it."""
        self._step(JobState.PREPARED, JobState.FAILED)

    def ended(self, result: FenceResult) -> None:
        """The fence has ended, well or not."""
        good = result.status > 0
        self._step(JobState.COMMITTED, JobState.SIGNALLED if good else JobState.FAILED)
        self.time_done_ns = result.time_done_ns
        self._drop_fence()

    def lost(self) -> None:
        """The deadline passed."""
        self._step(JobState.COMMITTED, JobState.LOST)
        self._drop_fence()

    def _step(self, expected: JobState, new: JobState) -> None:
        if self.state is not expected:
            raise RuntimeError(f"{self!r} cannot become {new.name}")
        self.state = new

    def _drop_fence(self) -> None:
        fence, self.fence = self.fence, None
        if fence is not None:
            fence.close()

    def __repr__(self) -> str:
        return f"<WritebackJob {self.number} {self.state.name}>"
