# SPDX-License-Identifier: MIT
"""The engine of one output: who wants a picture, the job that makes it, who gets it."""

from __future__ import annotations

import contextlib
import logging
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Protocol

from capturectl.errors import CaptureError, CaptureLostError, CaptureTimeoutError
from captured.capture.job import JobState, WritebackJob
from captured.capture.pool import SLACK, Holder, Pool, Slot
from captured.capture.source import SourceBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from captured.capture.pacing import Policy
    from captured.capture.source import FenceResult, Geometry, Source, Vblank

log = logging.getLogger(__name__)

_BUSY_RETRY_S = 0.001
_BUSY_LIMIT_S = 1.0
_READERS_RETRY_S = 0.005
_FAILURES_LIMIT = 10
_DRAIN_S = 0.25


class Cancellable(Protocol):
    """A timer that may be taken back."""

    def cancel(self) -> None:
        """Forget it. Twice is fine."""


class Clock(Protocol):
    """What the engine needs of the loop."""

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> Cancellable:
        """Call back once, at or soon after a CLOCK_MONOTONIC time."""

    def watch(self, fd: int, callback: Callable[[int], None]) -> None:
        """Call back while the fd is readable."""

    def unwatch(self, fd: int) -> None:
        """Stop watching."""


class Step(Enum):
    """Whether fences can be trusted to belong to their jobs."""

    IN_STEP = auto()
    """They can."""
    DOUBTED = auto()
    """A job was lost: drivers then signal later fences for earlier jobs. Each capture is now
    a proof: its poisoned buffer must come back written, by its own fence."""


class Picture(NamedTuple):
    """A captured picture, while its slot holds it."""

    slot: Slot
    sequence: int
    missed: int
    time_commit_ns: int
    time_done_ns: int
    vblank: Vblank


class Subscriber(Holder, Protocol):
    """A client's subscription, as the engine sees it."""

    @property
    def is_prompt(self) -> bool:
        """Whether it has shown that it gives frames back."""

    def due_ns(self) -> int | None:
        """Say from when on it wants a picture; None while it could not take one."""

    def deliver(self, picture: Picture) -> bool:
        """Offer a picture; True when it was taken, and the slot with it."""

    def state_changed(self, problem: CaptureError | None) -> None:
        """Hear that pictures stop for a while, and why; None when they are back."""

    def fail(self, error: CaptureError) -> None:
        """End the subscription with a reason."""


class Settings(NamedTuple):
    """What the operator may choose."""

    pool_size: int = 6
    linger_s: float = 10.0
    """How long to stay attached after the last subscriber; attaching may flicker."""
    lease_s: float = 0.25
    """How long a client may hold a frame for sure."""


class Statistics(NamedTuple):
    """What an engine has done since it began."""

    captured: int
    missed: int
    """Pictures that were asked for and did not come."""
    lost: int
    """Those of them whose fence never ended."""
    revoked: int
    """Leases taken back."""
    attached: int
    """How often it attached; each may have been seen as a flicker."""


class _Wish(NamedTuple):
    """How far a subscriber has been served."""

    seen: int
    """Sequence of the last picture that it got, or that was not fresh for it."""
    since_ns: int
    """When that was."""


class _Alarm:
    """One timer of the engine, set anew or cleared."""

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._timer: Cancellable | None = None

    @property
    def is_set(self) -> bool:
        return self._timer is not None

    def set_at(self, deadline_ns: int) -> None:
        self.clear()
        self._timer = self._clock.call_at(deadline_ns, self._ring)

    def set_in(self, seconds: float) -> None:
        self.set_at(self._clock.now_ns() + round(seconds * 1e9))

    def clear(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        self._callback()


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
        self._lease_ns = round(settings.lease_s * 1e9)
        self._subscribers: dict[Subscriber, _Wish] = {}
        self._step = Step.IN_STEP
        self._failed_proofs = 0
        self._pool: Pool | None = None
        self._picture: Picture | None = None
        self._generation = 0
        self._number = 0
        self._job: WritebackJob | None = None
        self._busy_since_ns = 0
        self._failures = 0
        self._is_handing_out = False
        self._deadline = _Alarm(clock, self._deadline_passed)
        self._pause = _Alarm(clock, self.pump)
        self._due = _Alarm(clock, self.pump)
        self._linger = _Alarm(clock, self.detach)
        self._missed = self._lost = self._captured = self._attached = self._revoked = 0

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
        return Statistics(self._captured, self._missed, self._lost, self._revoked, self._attached)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Serve a subscriber from the next commit on; attaches first if needed.

        Raises:
            CaptureError: The source cannot be attached.
        """
        self.attach()
        self._linger.clear()
        self._subscribers[subscriber] = _Wish(self._number, self._clock.now_ns())
        self.pump()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop serving a subscriber; what it holds stays held. Twice is fine."""
        if self._subscribers.pop(subscriber, None) is not None:
            self._rest_if_alone()

    def release(self, slot: Slot, holder: Subscriber) -> None:
        """A subscriber gives a slot back; with a credit again it gets the newest at once."""
        pool = self._pool
        if pool is None or slot.generation != pool.generation:
            return  # its pool is gone, and the memory with it
        pool.returned(slot, holder)
        if self._picture is not None:
            self._offer(self._picture, holder, pool.spare)
        self.pump()

    def wake(self) -> None:
        """A subscriber may want a picture now that did not before."""
        self.pump()

    # -- attaching ----------------------------------------------------------------------------

    def attach(self) -> None:
        """Attach the source and make the pool; does nothing when that is done.

        Raises:
            CaptureError: As of the source; the kernel's errno is chained.
        """
        if self._pool is not None:
            return
        try:
            was_attached = self._source.is_attached
            geometry = self._source.attach()
            self._attached += not was_attached
            self._pool = self._make_pool(geometry)
        except CaptureError:
            raise  # some of them are OSErrors too
        except OSError as error:
            raise _attach_failed(self.name, error) from error

    def _make_pool(self, geometry: Geometry) -> Pool:
        self._generation += 1
        size = self._settings.pool_size
        try:
            return Pool(geometry, self._generation, size, self._source.allocate)
        except OSError as error:
            self._source.detach()
            raise CaptureError(
                f"{self.name}: no memory for {size} buffers ({error.strerror})",
                "lower `buffers` in captured.toml",
                code="no-memory",
            ) from error
        except BaseException:
            self._source.detach()
            raise

    def _rest_if_alone(self) -> None:
        if self._subscribers:
            return
        self._busy_since_ns = self._failures = 0
        if self._pool is not None:
            self._linger.set_in(self._settings.linger_s)

    def detach(self) -> None:
        """Free the pool and leave the output as it was found. Twice is fine.

        Waits for a job that is being written, at most a quarter of a second: a commit on its
        CRTC meanwhile is undefined.
        """
        for alarm in (self._linger, self._pause, self._due):
            alarm.clear()
        self._drain_job()
        self._picture = None
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        self._source.detach()

    def close(self) -> None:
        """End every subscription and detach. Twice is fine."""
        self._subscribers.clear()
        self.detach()

    # -- the next job -------------------------------------------------------------------------

    def pump(self) -> None:
        """Start the next job when somebody wants a picture and none is under way."""
        if self._job is not None or self._pause.is_set or self._pool is None:
            return
        if self._is_handing_out:
            return  # a subscriber answers in the middle; whoever hands out pumps at the end
        if not self._is_wanted():
            self._busy_since_ns = 0
            return
        self._make_room(self._pool)
        if not self._is_wanted():
            return  # those who wanted a picture were cut off for holding others
        slot = self._pool.take()
        if slot is None:
            # Readers' fences are pending on every free slot.
            self._pause.set_in(_READERS_RETRY_S)
            return
        try:
            self._commit(slot)
        except SourceBusy:
            self._back_off()
        except CaptureError as error:
            self._give_up(error)
        except OSError as error:
            self._give_up(_commit_failed(self.name, error))

    def _give_up(self, error: CaptureError) -> None:
        """Tell all subscribers, and detach: the next one finds the output as it is then."""
        self._fail_all(error)
        self.detach()

    def _is_wanted(self) -> bool:
        """Say whether a picture is due; if only later, come back then."""
        dues = [due for s in self._subscribers if (due := s.due_ns()) is not None]
        if not dues:
            return False
        first = min(dues)
        if first <= self._clock.now_ns():
            return True
        self._due.set_at(first)
        return False

    def _commit(self, slot: Slot) -> None:
        job = WritebackJob(self._number + 1)
        job.prepare(slot)
        if self._step is Step.DOUBTED:
            slot.memory.poison()
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
        self._deadline.set_in(self._fence_deadline_s())

    def _fence_deadline_s(self) -> float:
        refresh_mhz = self._pool.geometry.refresh_mhz if self._pool else 0
        four_frames = 4000 / refresh_mhz if refresh_mhz else 0.0
        return max(self._policy.fence_deadline_s, four_frames)

    def _back_off(self) -> None:
        # EBUSY is back-pressure: somebody else's commit waits for the same vblank.
        now = self._clock.now_ns()
        self._busy_since_ns = self._busy_since_ns or now
        if now - self._busy_since_ns < _BUSY_LIMIT_S * 1e9:
            self._pause.set_in(_BUSY_RETRY_S)
            return
        self._fail_all(
            CaptureTimeoutError(
                f"{self.name}: the CRTC took no commit for {_BUSY_LIMIT_S:g} s",
                "another program commits all the time; see who holds the card",
            )
        )

    # -- the end of a job ---------------------------------------------------------------------

    def _fence_ended(self, events: int) -> None:
        job = self._job
        if job is None or job.fence is None:
            return
        try:
            result = job.fence.read_result()
        except OSError as error:
            self._source_gone(error)
            return
        if result.status == 0:
            return
        self._end_job(job, result)
        if self._policy.settle_s:
            self._pause.set_in(self._policy.settle_s)
        if job.state is not JobState.SIGNALLED:
            self._fail_job(job, result)
        elif self._step is Step.IN_STEP or self._is_proved(job):
            self._failures = 0
            self._publish(job)
        self.pump()

    def _end_job(self, job: WritebackJob, result: FenceResult) -> None:
        self._stop_watching(job)
        self._job = None
        job.ended(result)

    def _stop_watching(self, job: WritebackJob) -> None:
        self._deadline.clear()
        if job.fence is not None:
            self._clock.unwatch(job.fence.fileno())

    def _fail_job(self, job: WritebackJob, result: FenceResult) -> None:
        self._missed += 1
        self._failures += 1
        _slot_of(job).give_back()
        log.warning("%s: capture %d failed, errno %d", self.name, job.number, -result.status)
        if self._failures >= _FAILURES_LIMIT:
            self._fail_all(
                CaptureLostError(
                    f"{self.name}: {self._failures} captures in a row failed in the driver",
                    "see the kernel's log",
                )
            )

    # -- after a lost job -----------------------------------------------------------------------

    def _deadline_passed(self) -> None:
        job = self._job
        if job is None:
            return
        self._lost += 1
        log.error("%s: the fence of capture %d did not signal in time", self.name, job.number)
        self._abandon_job()
        self._doubt()
        self.pump()

    def _is_proved(self, job: WritebackJob) -> bool:
        """Say whether a capture made in doubt was written by its own job; then doubt is over."""
        slot = _slot_of(job)
        if slot.memory.is_poisoned():
            log.error("%s: capture %d signalled, but was not written", self.name, job.number)
            slot.quarantine()
            self._doubt()
            return False
        log.info("%s: capture %d proved that fences are in step again", self.name, job.number)
        self._step, self._failed_proofs = Step.IN_STEP, 0
        self._tell_state(None)
        return True

    def _doubt(self) -> None:
        """One more capture did not do what its fence promises."""
        self._missed += 1
        if self._step is Step.DOUBTED:
            self._failed_proofs += 1
        self._step = Step.DOUBTED
        problem = _out_of_step(self.name, self._fence_deadline_s())
        if self._failed_proofs < self._policy.proofs:
            self._tell_state(problem)
            return
        # The next subscriber finds it in doubt still: its first capture is a proof.
        self._failed_proofs = 0
        self._give_up(problem)

    def _tell_state(self, problem: CaptureError | None) -> None:
        for subscriber in list(self._subscribers):
            subscriber.state_changed(problem)

    def _source_gone(self, error: OSError) -> None:
        self._abandon_job()
        self._give_up(_commit_failed(self.name, error))

    def _drain_job(self) -> None:
        job = self._job
        if job is not None and job.fence is not None and job.fence.wait(_DRAIN_S):
            self._end_job(job, job.fence.read_result())
            _slot_of(job).give_back()
        else:
            self._abandon_job()

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
        self._rest_if_alone()

    # -- handing out --------------------------------------------------------------------------

    def _publish(self, job: WritebackJob) -> None:
        pool = self._pool
        if pool is None:
            return
        slot = _slot_of(job)
        pool.publish(slot)
        self._captured += 1
        self._picture = Picture(
            slot,
            job.number,
            self._missed,
            job.time_commit_ns,
            job.time_done_ns,
            self._source.vblank_of(job.number),
        )
        self._make_room(pool)
        spare = pool.spare
        with self._handing_out():
            for subscriber in list(self._subscribers):
                self._offer(self._picture, subscriber, spare)

    @contextlib.contextmanager
    def _handing_out(self) -> Iterator[None]:
        """Start no job while subscribers are called: they may answer at once."""
        before, self._is_handing_out = self._is_handing_out, True
        try:
            yield
        finally:
            self._is_handing_out = before

    def _offer(self, picture: Picture, subscriber: Subscriber, spare: int) -> None:
        """Lend the newest picture to a subscriber that is due and has not had it.

        Args:
            picture: The newest.
            subscriber: To whom.
            spare: The pool's; lending the newest does not change it.
        """
        wish = self._subscribers.get(subscriber)
        # Fresh by promise: nobody gets a job that was committed before it asked.
        if wish is None or picture.sequence <= wish.seen:
            return
        due, now = subscriber.due_ns(), self._clock.now_ns()
        if due is None or due > now:
            return
        # Who has waited for as long as others may hold has its turn, known or not.
        is_trusted = subscriber.is_prompt or now - wish.since_ns > self._lease_ns
        if spare > (0 if is_trusted else SLACK) and subscriber.deliver(picture):
            picture.slot.lend(subscriber, now)
            if subscriber in self._subscribers:
                self._subscribers[subscriber] = _Wish(picture.sequence, now)

    def _make_room(self, pool: Pool) -> None:
        """Take back overdue leases while so many slots are held that clients go without."""
        if pool.spare > SLACK:
            return
        before_ns = self._clock.now_ns() - self._lease_ns
        with self._handing_out():
            for slot in list(pool.overdue(before_ns)):
                if pool.spare <= SLACK and slot.holders:
                    self._revoked += pool.revoke(slot)


def _slot_of(job: WritebackJob) -> Slot:
    if job.slot is None:
        raise RuntimeError(f"{job!r} has no slot")
    return job.slot


def _attach_failed(name: str, error: OSError) -> CaptureError:
    return CaptureError(
        f"{name}: cannot attach: {error.filename or 'the card'}: {error.strerror}",
        "see the kernel's log with drm.debug=0x14",
        code="attach-failed",
    )


def _out_of_step(name: str, deadline_s: float) -> CaptureError:
    return CaptureLostError(
        f"{name}: the driver loses captures (no fence within {deadline_s:g} s), "
        "and none that follows could be proved",
        "see the kernel's log; a slower mode or a reload of the driver may help",
        code="out-of-step",
    )


def _commit_failed(name: str, error: OSError) -> CaptureError:
    lost = CaptureLostError(
        f"{name}: the kernel refused the capture ({error.strerror})",
        "the output may have changed or another program may have become master; try again",
    )
    lost.__cause__ = error
    return lost
