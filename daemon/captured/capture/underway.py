# SPDX-License-Identifier: MIT
"""The captures that the hardware is busy with: fences, deadline, and the flip of the last."""

from __future__ import annotations

from captured.capture.alarm import Alarm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from captured.capture.alarm import Clock
    from captured.capture.job import WritebackJob
    from captured.capture.source import Fence, Geometry


_DRAIN_S = 0.25


class Underway:
    """Jobs between commit and end. Nothing here decides what their end means.

    Ownership: owns the jobs, and borrows the loop, which watches their fences.
    """

    def __init__(
        self,
        clock: Clock,
        on_fence: Callable[[int], None],
        on_late: Callable[[], None],
        on_flip: Callable[[int], None],
    ) -> None:
        """Start with none.

        Args:
            clock: The loop.
            on_fence: Called when a fence may have ended.
            on_late: Called when the oldest job is past its deadline, and still there.
            on_flip: Called when the fd of `await_flip` is readable.
        """
        self.jobs: list[WritebackJob] = []
        """In the order of their commits; fences signal in that order."""
        self.deadline_ns = 0
        """How long after its commit a job counts as lost."""
        self.awaits_flip = False
        """Whether the vblank of the last commit is still to come."""
        self._clock = clock
        self._on_fence = on_fence
        self._on_late = on_late
        self._on_flip = on_flip
        self._flip_fd = -1
        self._lasting: Fence | None = None
        """Watched from one capture to the next."""
        self._deadline = Alarm(clock, self._look_at_deadline)

    def choose_deadline(self, geometry: Geometry, at_least_s: float) -> None:
        """Count jobs as lost after so many seconds, and after four frames."""
        four_frames = 4000 / geometry.refresh_mhz if geometry.refresh_mhz else 0.0
        self.deadline_ns = round(max(at_least_s, four_frames) * 1e9)

    # -- coming and going ---------------------------------------------------------------------

    def add(self, job: WritebackJob, fence: Fence) -> None:
        """Watch over a job that was committed just now; owned from here on."""
        self.jobs.append(job)
        if fence is not self._lasting:
            self._watch(fence)
        if not self._deadline.is_set:
            self._deadline.set_at(self._deadline_of(job))

    def end(self, job: WritebackJob, status: int, done_ns: int) -> None:
        """End a job whose fence has ended, well or not."""
        self._stop_watching(job)
        self.jobs.remove(job)
        job.ended(status, done_ns)

    def drain(self) -> Iterator[WritebackJob]:
        """Wait for the jobs, a quarter of a second at most; yield those that have ended."""
        for job in list(self.jobs):
            if job.fence is None or not job.fence.wait(_DRAIN_S):
                break
            try:
                result = job.fence.read_result()
            except OSError:
                break
            self.end(job, *result)
            yield job

    def abandon(self) -> list[WritebackJob]:
        """Wait for none of them any more; return them, who are lost."""
        self.forget_flip()
        self._deadline.clear()
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            self._stop_watching(job)
            job.lost()
        return jobs

    def _watch(self, fence: Fence) -> None:
        self._clock.watch_first(fence.fileno(), self._on_fence)
        if fence.is_lasting:
            self._lasting = fence

    def _stop_watching(self, job: WritebackJob) -> None:
        if job.fence is not None and not job.fence.is_lasting:
            self._clock.unwatch(job.fence.fileno())

    def forget_lasting(self) -> None:
        """Stop watching the fence that outlives its jobs, if there is such. Twice is fine."""
        fence, self._lasting = self._lasting, None
        if fence is not None:
            self._clock.unwatch(fence.fileno())

    # -- time ---------------------------------------------------------------------------------

    def await_flip(self, fd: int | None) -> None:
        """Watch for the vblank of the last commit; before it, another would be refused."""
        if fd is not None and not self.awaits_flip:
            self.awaits_flip, self._flip_fd = True, fd
            self._clock.watch_first(fd, self._on_flip)

    def forget_flip(self) -> None:
        """Stop that, since it has come or does not matter any more. Twice is fine."""
        if self.awaits_flip:
            self.awaits_flip = False
            self._clock.unwatch(self._flip_fd)

    def _look_at_deadline(self) -> None:
        """See whether a job is lost; the alarm was set for an earlier one, as a rule."""
        if self.jobs and self._deadline_of(job := self.jobs[0]) <= self._clock.now_ns():
            self._on_fence(0)  # what was late may be this daemon, and the fence was not
            if job in self.jobs:
                self._on_late()
        if self.jobs and not self._deadline.is_set:
            self._deadline.set_at(self._deadline_of(self.jobs[0]))

    def _deadline_of(self, job: WritebackJob) -> int:
        return job.time_commit_ns + self.deadline_ns
