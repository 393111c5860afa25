# SPDX-License-Identifier: MIT
"""The engine of one output: who wants a picture, the job that makes it, who gets it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol

from capturectl.errors import CaptureError, CaptureLostError, CaptureTimeoutError
from captured.capture.job import JobState, WritebackJob
from captured.capture.pool import Pool, Slot
from captured.capture.source import SourceBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.capture.pacing import Policy
    from captured.capture.source import FenceResult, Geometry, Source, Vblank

log = logging.getLogger(__name__)

_BUSY_RETRY_S = 0.001
_BUSY_LIMIT_S = 1.0
_STARVED_RETRY_S = 0.01


class Cancellable(Protocol):
    """A timer that may be taken back."""

    def cancel(self) -> None:
        """Forget it."""


class Clock(Protocol):
    """What the engine needs of the loop."""

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Cancellable:
        """Call back once."""

    def watch(self, fd: int, callback: Callable[[int], None]) -> None:
        """Call back while the fd is readable."""

    def unwatch(self, fd: int) -> None:
        """Stop watching."""


class Picture(NamedTuple):
    """A captured picture, while its slot holds it."""

    slot: Slot
    sequence: int
    missed: int
    time_commit_ns: int
    time_done_ns: int
    vblank: Vblank


class Subscriber(Protocol):
    """A client's subscription, as the engine sees it."""

    def wants_picture(self) -> bool:
        """Whether it would take one now."""

    def deliver(self, picture: Picture) -> bool:
        """Offer a picture; True when it was taken, and the slot with it.

        A job that was committed before the subscription was made is not offered.
        """

    def fail(self, error: CaptureError) -> None:
        """End the subscription with a reason."""


class Settings(NamedTuple):
    """What the operator may choose."""

    pool_size: int = 6
    linger_s: float = 30.0
    """How long to stay attached after the last subscriber; attaching may flicker."""


class Statistics(NamedTuple):
    """What an engine has done since it began."""

    captured: int
    missed: int
    lost: int
    attached: int
    """How often it attached; each may have been seen as a flicker."""


class Engine:
    """Captures one output for its subscribers, one job at a time.

    Nobody subscribed means nothing is committed. All subscribers share each job. Open until
    `close()`; runs in the loop's thread.

    Ownership: owns its pool and job, borrows the source and the loop.
    """

    def __init__(
        self, name: str, source: Source, clock: Clock, settings: Settings, policy: Policy
    ) -> None:
        self.name = name
        self._source = source
        self._clock = clock
        self._settings = settings
        self._policy = policy
        self._subscribers: dict[Subscriber, int] = {}
        self._pool: Pool | None = None
        self._generation = 0
        self._number = 0
        self._job: WritebackJob | None = None
        self._deadline: Cancellable | None = None
        self._retry: Cancellable | None = None
        self._linger: Cancellable | None = None
        self._busy_since_ns = 0
        self._missed = self._lost = self._captured = self._attached = 0

    # -- subscribers --------------------------------------------------------------------------

    @property
    def subscriber_count(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscribers)

    @property
    def geometry(self) -> Geometry | None:
        """The geometry of the pool; None while nothing is attached."""
        return self._pool.geometry if self._pool else None

    def statistics(self) -> Statistics:
        """Return the counts since the engine began."""
        return Statistics(self._captured, self._missed, self._lost, self._attached)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Serve a subscriber from the next commit on; attaches first if needed.

        Raises:
            CaptureError: The source cannot be attached.
        """
        self._cancel_linger()
        self.attach()
        self._subscribers[subscriber] = self._number
        self.pump()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop serving a subscriber; what it holds stays held. Twice is fine."""
        if self._subscribers.pop(subscriber, None) is not None and not self._subscribers:
            self._start_linger()

    def release(self, slot: Slot) -> None:
        """A subscriber gives a slot back."""
        if self._pool is not None and slot.generation == self._pool.generation:
            self._pool.returned(slot)
            self._cancel_retry()
            self.pump()
        # else: its pool is gone, and the memory with it

    # -- attaching ----------------------------------------------------------------------------

    def attach(self) -> None:
        """Attach the source and make the pool; does nothing when that is done.

        Raises:
            CaptureError: As of the source.
        """
        if self._pool is not None:
            return
        was_attached = self._source.is_attached
        geometry = self._source.attach()
        self._attached += not was_attached
        self._generation += 1
        try:
            self._pool = Pool(
                geometry, self._generation, self._settings.pool_size, self._source.allocate
            )
        except OSError as error:
            self._source.detach()
            raise CaptureError(
                f"{self.name}: no memory for {self._settings.pool_size} buffers ({error})",
                "lower the pool's size in captured.toml",
                code="no-memory",
            ) from error

    def linger(self) -> None:
        """Detach in a while, unless somebody subscribes: for what a crash left attached."""
        if not self._subscribers:
            self._start_linger()

    def _start_linger(self) -> None:
        self._cancel_linger()
        self._linger = self._clock.call_later(self._settings.linger_s, self.detach)

    def _cancel_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def detach(self) -> None:
        """Free the pool and leave the output as it was found. Twice is fine."""
        self._cancel_linger()
        self._cancel_retry()
        self._abandon_job()
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        self._source.detach()

    def close(self) -> None:
        """End every subscription and detach. Twice is fine."""
        self._subscribers.clear()
        self.detach()

    # -- jobs ---------------------------------------------------------------------------------

    def pump(self) -> None:
        """Start the next job when somebody wants a picture and none is under way."""
        if self._job is not None or self._retry is not None or self._pool is None:
            return
        if not any(subscriber.wants_picture() for subscriber in self._subscribers):
            return
        slot = self._pool.take()
        if slot is None:
            self._retry_later(_STARVED_RETRY_S)  # a release pumps sooner
            return
        try:
            self._commit(self._pool, slot)
        except SourceBusy:
            self._back_off()
        except CaptureError as error:
            self._fail_all(error)
        except OSError as error:
            self._fail_all(_commit_failed(self.name, error))

    def _commit(self, pool: Pool, slot: Slot) -> None:
        job = WritebackJob(self._number + 1)
        job.prepare(slot)
        now = self._clock.now_ns()
        try:
            fence = self._source.commit(slot.memory, job.number)
        except BaseException:
            job.refused()
            slot.give_back()
            raise
        job.committed(fence, now)
        self._busy_since_ns = 0
        self._number = job.number
        self._job = job
        self._clock.watch(fence.fileno(), self._fence_ended)
        self._deadline = self._clock.call_later(
            self._policy.fence_deadline_s, self._deadline_passed
        )

    def _back_off(self) -> None:
        # EBUSY is back-pressure: somebody else's commit waits for the same vblank.
        now = self._clock.now_ns()
        self._busy_since_ns = self._busy_since_ns or now
        if now - self._busy_since_ns < _BUSY_LIMIT_S * 1e9:
            self._retry_later()
            return
        self._busy_since_ns = 0
        self._fail_all(
            CaptureTimeoutError(
                f"{self.name}: the CRTC took no commit for {_BUSY_LIMIT_S:g} s",
                "another program commits all the time; see who holds the card",
            )
        )

    def _retry_later(self, seconds: float = _BUSY_RETRY_S) -> None:
        self._retry = self._clock.call_later(seconds, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self.pump()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _fence_ended(self, events: int) -> None:
        job = self._job
        if job is None or job.fence is None:
            return
        result = job.fence.read_result()
        if result.status == 0:
            return
        self._end_job(job, result)
        if job.state is JobState.SIGNALLED:
            self._publish(job)
        else:
            self._missed += 1
            log.warning("%s: capture %d failed, errno %d", self.name, job.number, -result.status)
            _slot_of(job).give_back()
        if self._policy.settle_s:
            self._cancel_retry()
            self._retry_later(self._policy.settle_s)
        else:
            self.pump()

    def _end_job(self, job: WritebackJob, result: FenceResult) -> None:
        self._stop_watching(job)
        self._job = None
        job.ended(result)

    def _stop_watching(self, job: WritebackJob) -> None:
        if job.fence is not None:
            self._clock.unwatch(job.fence.fileno())
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _publish(self, job: WritebackJob) -> None:
        slot = _slot_of(job)
        if self._pool is None:
            return
        self._captured += 1
        self._pool.publish(slot)
        picture = Picture(
            slot,
            job.number,
            self._missed,
            job.time_commit_ns,
            job.time_done_ns,
            self._source.vblank_of(job.number),
        )
        for subscriber, since in list(self._subscribers.items()):
            # Fresh by promise: nobody gets a job that was committed before it asked.
            if job.number > since and subscriber.wants_picture() and subscriber.deliver(picture):
                slot.lend()

    def _deadline_passed(self) -> None:
        job = self._job
        if job is None:
            return
        self._lost += 1
        self._missed += 1
        self._abandon_job()
        log.error("%s: the fence of capture %d never signalled", self.name, job.number)
        self._fail_all(
            CaptureLostError(
                f"{self.name}: the driver did not finish a capture within "
                f"{self._policy.fence_deadline_s:g} s",
                "see the kernel's log; a slower mode or a reload of the driver may help",
            )
        )
        # What the driver signals from now on may belong to an earlier job: start anew.
        self.detach()

    def _abandon_job(self) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        self._stop_watching(job)
        job.lost()
        _slot_of(job).quarantine()

    def _fail_all(self, error: CaptureError) -> None:
        subscribers = list(self._subscribers)
        self._subscribers.clear()
        for subscriber in subscribers:
            subscriber.fail(error)
        self._start_linger()


def _slot_of(job: WritebackJob) -> Slot:
    if job.slot is None:
        raise RuntimeError(f"{job!r} has no slot")
    return job.slot


def _commit_failed(name: str, error: OSError) -> CaptureError:
    lost = CaptureLostError(
        f"{name}: the kernel refused the capture ({error.strerror})",
        "the output may have changed or another program may have become master; try again",
    )
    lost.__cause__ = error
    return lost
