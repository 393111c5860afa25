# SPDX-License-Identifier: MIT
"""The engine of one output: the job that makes a picture, and the next one."""

from __future__ import annotations

import contextlib
from enum import Enum, auto

from capturectl.errors import CaptureError, OutputOffError
from capturectl.typed import NamedTuple
from captured import log
from captured.capture import troubles
from captured.capture.alarm import Alarm
from captured.capture.audience import NEVER, Audience, Picture
from captured.capture.holdings import Holdings
from captured.capture.job import WritebackJob
from captured.capture.ledger import NoLedger
from captured.capture.outlet import NoOutlet
from captured.capture.pacing import Pace
from captured.capture.source import NO_VBLANK, SourceBusy
from captured.capture.timing import Timings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from captured.capture.alarm import Clock
    from captured.capture.audience import Subscriber
    from captured.capture.ledger import Ledger
    from captured.capture.outlet import Outlet
    from captured.capture.pacing import Policy
    from captured.capture.pool import Pool, Slot
    from captured.capture.retired import Retired
    from captured.capture.source import Fence, Geometry, Source


_BUSY_RETRY_S = 0.001
_BUSY_LIMIT_S = 1.0
_READERS_RETRY_S = 0.005
_FAILURES_LIMIT = 10
_REFUSALS_LIMIT = 5
"""Commits that are refused, one after the other, though the output seems well."""
_RETURN_RETRY_S = 0.1
_RETURN_LIMIT_S = 10.0
"""How long an output may be blocked before its subscribers are told to go; off, it may stay."""
_DRAIN_S = 0.25


class Step(Enum):
    """Whether fences can be trusted to belong to their jobs."""

    IN_STEP = auto()
    """They can; with one job at a time."""
    DOUBTED = auto()
    """A job was lost: drivers then signal later fences for earlier jobs. Each capture is now
    a proof: its poisoned buffer must come back written, by its own fence."""


_IN_STEP = Step.IN_STEP
"""Each look through the class costs a call, and this is looked at for every frame."""


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


class Engine:
    """Captures one output for its subscribers, one job after the other.

    Nobody subscribed means nothing is committed. All subscribers share each job. Open until
    `close()`; runs in the loop's thread.

    Ownership: owns its pool and jobs, borrows the source, the loop and the outlet.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        clock: Clock,
        settings: Settings,
        policy: Policy,
    ) -> None:
        self.name = name
        self.outlet: Outlet = NoOutlet()
        self.ledger: Ledger = NoLedger()
        self.timings = Timings()
        self.last_error: CaptureError | None = None
        self.last_error_ns = 0
        self._source = source
        self._clock = clock
        self._settings = settings
        self._policy = policy
        self._audience = Audience(round(settings.lease_s * 1e9))
        self._step = Step.IN_STEP
        self._is_doubt_told = False
        self._failed_proofs = 0
        self._held: list[Slot] = []
        """Of an adopted pool: what jobs of the former engine may be writing."""
        self._holdings = Holdings(clock, settings.pool_size, source.allocate)
        self._picture: Picture | None = None
        self._number = 0
        self._jobs: list[WritebackJob] = []
        """Under way, in the order of their commits. Fences signal in that order."""
        self._flip_fd: int | None = None
        """Watched until the vblank of the last commit has passed."""
        self._depth = 2 if policy.pace is Pace.FLIP else 1
        self._busy_since_ns = 0
        self._fence_deadline_ns = 0
        self._failures = 0
        self._refusals = 0
        self._problem: CaptureError | None = None
        self._absence: CaptureError | None = None
        """Why there is no source; whoever knows better will say `source_came`."""
        self._is_new = False
        """Whether the source is another than subscribers were told of."""
        self._suspended_ns = 0
        self._former: Geometry | None = None
        self._lasting: Fence | None = None
        """Watched from one capture to the next."""
        self._deadline = Alarm(clock, self._look_at_deadline)
        self._pause = Alarm(clock, self.pump)
        self._due = Alarm(clock, self.pump)
        self._linger = Alarm(clock, self.detach)
        self._return = Alarm(clock, self._try_return)
        self._missed = self._lost = self._captured = self._attached = self._revoked = 0

    # -- subscribers --------------------------------------------------------------------------

    @property
    def subscriber_count(self) -> int:
        """How many subscriptions there are."""
        return len(self._audience)

    @property
    def captured(self) -> int:
        """How many pictures there were."""
        return self._captured

    @property
    def pool(self) -> Pool | None:
        """The buffers; None while nothing is attached."""
        return self._holdings.pool

    @property
    def retired(self) -> Retired:
        """What clients keep of former buffers."""
        return self._holdings.retired

    @property
    def geometry(self) -> Geometry | None:
        """The geometry of the pool; None while nothing is attached."""
        pool = self._holdings.pool
        return pool.geometry if pool else None

    @property
    def is_doubted(self) -> bool:
        """Whether a lost capture has left doubt that no proof has ended yet."""
        return self._step is Step.DOUBTED

    @property
    def problem(self) -> CaptureError | None:
        """Why the subscribers wait for the output to come back; None when they do not."""
        return self._problem

    def statistics(self) -> Statistics:
        """Return the counts since the engine began."""
        return Statistics(self._captured, self._missed, self._lost, self._revoked, self._attached)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Serve a subscriber from the next commit on; attaches first if needed.

        Raises:
            CaptureError: The source cannot be attached.
        """
        if self._absence is not None:
            raise self._absence
        if self._problem is None:
            self.attach()
        else:
            self._try_return()  # it may be back, and those who wait hear of it as well
        if self.pool is None and (reason := self._problem or self.last_error) is not None:
            raise reason
        self._linger.clear()
        self._audience.add(subscriber, self._number)
        self.pump()

    def go_on(self, subscriber: Subscriber) -> None:
        """Serve a subscriber of a former engine; while the output is blocked it waits."""
        try:
            self.subscribe(subscriber)
        except CaptureError as problem:
            self._audience.add(subscriber, self._number)
            subscriber.state_changed(problem)
            if self._problem is None:
                self._wait_out(problem)

    def _wait_out(self, problem: CaptureError) -> None:
        self._problem, self._suspended_ns = problem, self._clock.now_ns()
        self.outlet.problem_changed(problem)
        if self._absence is None:
            self._return.set_in(_RETURN_RETRY_S)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop serving a subscriber; what it holds stays held. Twice is fine."""
        if self._audience.remove(subscriber):
            self._rest_if_alone()

    def set_linger(self, seconds: float) -> None:
        """Change how long to stay attached after the last subscriber; from the next one on."""
        self._settings = self._settings._replace(linger_s=seconds)

    def release(self, slot: Slot, holder: Subscriber) -> None:
        """A subscriber gives a slot back; with a credit again it gets the newest at once.

        So does everybody who went without while slots were short: it takes no more of them.
        """
        pool = self._holdings.pool
        if pool is None or slot.generation != pool.generation:
            return  # its pool is gone, and the memory with it
        was_short = pool.spare <= pool.slack
        pool.returned(slot)
        if self._picture is not None:
            self._hand_on(self._picture, pool, holder, was_short=was_short)
        if len(self._jobs) < self._depth:
            self.pump()

    def _hand_on(
        self, picture: Picture, pool: Pool, holder: Subscriber, *, was_short: bool
    ) -> None:
        audience = self._audience
        if was_short and pool.spare > pool.slack:
            with audience.handing_out():
                audience.hand_out(picture, pool, self._clock.now_ns(), self.outlet)
        elif holder.seen < picture.sequence:
            audience.offer(holder, picture, pool, self._clock.now_ns(), self.outlet)

    def lateness(self, picture: Picture) -> int:
        """Say how many captures ago others began to miss a frame's slot; 0 or less: not yet."""
        newest, pool = self._picture, self._holdings.pool
        if newest is None or pool is None:
            return 0
        return newest.sequence - picture.sequence - pool.patience

    def wake(self) -> None:
        """A subscriber may want a picture now that did not before."""
        self.pump()

    def rejoin(self, subscriber: Subscriber) -> None:
        """A subscriber wants pictures again: those that are asked for from now on."""
        subscriber.seen = self._number
        self.pump()

    def taint(self, keys: Collection[tuple[int, int]]) -> None:
        """Replace buffers that somebody knows who was cut off, as they become free.

        Args:
            keys: (generation, buffer) of each.
        """
        if self.pool is not None:
            self.pool.taint(keys)

    # -- attaching ----------------------------------------------------------------------------

    def attach(self) -> None:
        """Attach the source and make the pool; does nothing when that is done.

        Raises:
            CaptureError: As of the source; the kernel's errno is chained.
        """
        if self.pool is not None:
            return
        try:
            was_attached = self._source.is_attached
            geometry = self._source.attach()
            if not was_attached:
                self._attached += 1
                self.outlet.attached()
            self._make_pool(geometry)
            self._fence_deadline_ns = self._choose_deadline(geometry)
            self.outlet.pool_changed()
        except CaptureError as error:
            self._note(error)
            raise  # some of them are OSErrors too
        except OSError as error:
            failed = troubles.attach_failed(self.name, error)
            self._note(failed)
            raise failed from error

    def resume(self, counts: Statistics, number: int, generation: int) -> None:
        """Go on where a former engine stopped.

        Args:
            counts: To go on with.
            number: Of its last commit.
            generation: Of its pool.
        """
        self._captured, self._missed, self._lost, self._revoked, self._attached = counts
        self._number, self._holdings.generation = number, generation

    def note_missed(self, frames: int) -> None:
        """So many frames went by that were wanted, while nobody captured."""
        self._missed += frames
        self._number += frames

    def adopt(self, pool: Pool, resume_ns: int) -> None:
        """Go on with a former engine's pool, and a source that is attached.

        Its last jobs' fences died with it. So it is in doubt, of which nobody needs to hear: the
        first capture must prove that it was written by its own job, and until then the slots
        that the last jobs were for are held back.

        Args:
            pool: Owned from here on.
            resume_ns: When its last jobs have ended for sure, all being well.
        """
        self._holdings.adopt(pool)
        self._fence_deadline_ns = self._choose_deadline(pool.geometry)
        self._step = Step.DOUBTED
        self._pause.set_at(resume_ns)
        self._linger.set_in(self._settings.linger_s)

    def hold(self, slot: Slot) -> None:
        """Keep a slot of an adopted pool from being written until there is proof."""
        slot.hold()
        self._held.append(slot)

    def _make_pool(self, geometry: Geometry) -> None:
        holdings, size = self._holdings, self._settings.pool_size
        holdings.retired.reap()  # memory may be short, and what nobody has any more is still here
        try:
            if holdings.are_too_many_kept:
                raise troubles.all_kept(self.name, holdings.retired)
            holdings.make(geometry)
        except OSError as error:
            self._detach_source()
            if isinstance(error, CaptureError):
                raise
            reason = f"no memory for {size} buffers ({error.strerror})"
            raise troubles.no_memory(self.name, reason) from error
        except BaseException:
            self._detach_source()
            raise

    def check_keeper(self, uid: int) -> None:
        """Refuse a user who keeps more former buffers than a pool has.

        So it costs nobody else the memory for the next pool, as long as few do.

        Raises:
            CaptureBusyError: `capacity`.
        """
        if count := self._holdings.kept_beyond_share(uid):
            raise troubles.kept(self.name, uid, count)

    def _rest_if_alone(self) -> None:
        if len(self._audience):
            return
        self._busy_since_ns = self._failures = 0
        if self.pool is not None:
            self._linger.set_in(self._settings.linger_s)
        elif self._problem is not None:
            self.detach()

    def detach(self) -> None:
        """Free the pool and leave the output as it was found. Twice is fine.

        Waits for jobs that are being written, at most a quarter of a second: a commit on their
        CRTC meanwhile is undefined.
        """
        for alarm in (self._linger, self._pause, self._due, self._return):
            alarm.clear()
        self._problem, self._is_new = None, False
        with contextlib.ExitStack() as last:  # whatever fails, the output is as it was found
            last.callback(self._detach_source)
            last.callback(self._free_pool)
            self._drain_jobs()

    def _free_pool(self) -> None:
        self._picture = None
        self._held.clear()
        self._holdings.free(self.outlet)

    def _detach_source(self) -> None:
        self._forget_lasting()
        if self._source.is_attached:
            self._source.detach()
            self.outlet.detached()

    def close(self) -> None:
        """End every subscription and detach. Twice is fine."""
        self._audience.dismiss()
        self.detach()
        self._holdings.close()

    # -- the output changes under us ----------------------------------------------------------

    def _suspend(self, error: CaptureError) -> None:
        """A commit was refused: free the pool, and look at the output anew in the next turn.

        Its mode may have changed, or it was switched off. The subscribers stay.
        """
        self._refusals += 1
        if self._refusals > _REFUSALS_LIMIT:
            self._refusals = 0
            self._give_up(error)
            return
        log.info("%s: %s", self.name, error, output=self.name)
        for alarm in (self._pause, self._due):
            alarm.clear()
        self._drain_jobs()
        self._former = self.geometry
        self._problem, self._suspended_ns = error, self._clock.now_ns()
        self._free_pool()
        self._return.set_in(0 if self._refusals == 1 else _RETURN_RETRY_S)

    def source_went(self, problem: CaptureError) -> None:
        """The source is not there until `source_came`; the subscribers wait. Twice is fine.

        Waits for jobs as `detach` does. Nothing is left of the source's memory here, not even
        what clients have still: a driver that is to be unloaded waits for the last of it.
        """
        waiting = len(self._audience) > 0
        is_known = self._absence is not None and self._absence.code == problem.code
        self._absence = problem
        self.detach()
        self._holdings.close()
        self._step, self._failed_proofs, self._refusals = Step.IN_STEP, 0, 0
        self._former, self._is_new = None, waiting
        self._problem = problem if waiting else None
        if not is_known:
            self._tell_state(problem)

    def source_came(self, name: str, policy: Policy) -> None:
        """There is a source, of a display of that name; those who wait get its pictures."""
        self.name, self._policy = name, policy
        self._depth = 2 if policy.pace is Pace.FLIP else 1
        self._absence = None
        if self._problem is not None:
            self._suspended_ns = self._clock.now_ns()
            self._try_return()

    def _try_return(self) -> None:
        try:
            self.attach()
        except CaptureError as problem:
            self._stay_suspended(problem)
            return
        former, self._former = self._former, None
        changed = former is not None and former != self.geometry
        if changed:
            self._tell_state(troubles.mode_changed(self.name, self.geometry))
        if changed or self._is_new:
            with self._audience.handing_out():
                for subscriber in self._audience:
                    subscriber.reshaped()
        self._is_new, self._problem = False, None
        if changed or former is None:
            self._tell_state(None)
        self.pump()

    def _stay_suspended(self, problem: CaptureError) -> None:
        if self._former is not None or self._problem is None or problem.code != self._problem.code:
            self._tell_state(problem)
        self._former = None
        self._problem = problem
        if self._absence is not None:
            return
        if isinstance(problem, OutputOffError):
            self._detach_source()  # attached, it could not be switched off for good
        elif self._clock.now_ns() - self._suspended_ns > _RETURN_LIMIT_S * 1e9:
            self._give_up(problem)
            return
        self._return.set_in(_RETURN_RETRY_S)

    def _give_up(self, error: CaptureError) -> None:
        """Tell all subscribers, and detach: the next one finds the output as it is then."""
        log.warning("%s", error, output=self.name, code=error.code)
        self._fail_all(error)
        self.detach()

    # -- the next job -------------------------------------------------------------------------

    def pump(self) -> None:
        """Start the next job when somebody wants a picture and it is time for one."""
        pool = self._holdings.pool
        if pool is None or self._pause.is_set or (self._jobs and not self._may_overlap()):
            return
        if self._audience.is_handing_out:
            return  # a subscriber answers in the middle; whoever hands out pumps at the end
        now_ns = self._clock.now_ns()
        due_ns = self._audience.first_due_ns(now_ns)
        if due_ns <= now_ns and pool.spare <= pool.slack:
            due_ns = self._make_room(pool, now_ns)
        if due_ns > now_ns:
            self._wait_until(due_ns)
            return
        try:
            self._start(pool, now_ns)
        except SourceBusy:
            self._back_off()
        except CaptureError as error:
            self._suspend(error)
        except OSError as error:
            self._suspend(troubles.commit_failed(self.name, error))

    def _may_overlap(self) -> bool:
        """Whether those under way leave room for another; in doubt there is one at a time."""
        may_overlap = self._flip_fd is None and self._step is _IN_STEP
        return may_overlap and len(self._jobs) < self._depth

    def _make_room(self, pool: Pool, now_ns: int) -> int:
        """Make room, and say when a picture is due: who wanted one may be cut off at that."""
        self._revoked += self._audience.make_room(pool, now_ns)
        return self._audience.first_due_ns(now_ns)

    def _wait_until(self, due_ns: int) -> None:
        """Nobody wants a picture before that; come back then."""
        self._busy_since_ns = 0
        if due_ns < NEVER:
            self._due.set_at(due_ns)

    def _start(self, pool: Pool, now_ns: int) -> None:
        slot = pool.take()
        if slot is None:
            # Readers' fences are pending on every free slot.
            self._pause.set_in(_READERS_RETRY_S)
            return
        if slot.is_tainted:
            with self._audience.handing_out():  # who is told of it may wake us
                slot = self._holdings.renew(slot, pool, self.outlet)
            now_ns = self._clock.now_ns()
        number = self._number + 1
        job = WritebackJob(number, slot)
        if self._step is not _IN_STEP or self._depth > 1:
            slot.memory.poison()
        self.ledger.note_commit(slot, number, self._missed, self._captured, now_ns)
        try:
            fence = self._source.commit(slot.memory, number)
        except BaseException:
            job.refused()
            slot.give_back()
            raise
        job.committed(fence, now_ns)
        self._busy_since_ns = 0
        self._number = number
        self._jobs.append(job)
        if fence is not self._lasting:
            self._watch(fence)
        if not self._deadline.is_set:
            self._deadline.set_at(now_ns + self._fence_deadline_ns)
        if self._depth > 1:
            self._await_flip()
        if self._audience.early_count and self._step is _IN_STEP:
            self._announce(job, slot, fence.fileno(), pool)

    def _watch(self, fence: Fence) -> None:
        self._clock.watch_first(fence.fileno(), self._fence_ended)
        if fence.is_lasting:
            self._lasting = fence

    def _forget_lasting(self) -> None:
        fence, self._lasting = self._lasting, None
        if fence is not None:
            self._clock.unwatch(fence.fileno())

    def _await_flip(self) -> None:
        """Come back when the vblank of the last commit has passed; before, another is refused."""
        if self._flip_fd is None and (fd := self._source.flip_fd()) is not None:
            self._flip_fd = fd
            self._clock.watch_first(fd, self._flipped)

    def _flipped(self, events: int) -> None:
        try:
            has_flipped = self._source.has_flipped(self._number)
        except OSError as error:
            self._source_gone(error)
            return
        if has_flipped:
            self._forget_flip()
            self.pump()

    def _forget_flip(self) -> None:
        fd, self._flip_fd = self._flip_fd, None
        if fd is not None:
            self._clock.unwatch(fd)

    def _announce(self, job: WritebackJob, slot: Slot, fence: int, pool: Pool) -> None:
        picture = Picture(slot, job.number, self._missed, job.time_commit_ns, 0, NO_VBLANK)
        with self._audience.handing_out():
            self._audience.announce(picture, fence, pool, job.time_commit_ns, self.outlet)

    def _choose_deadline(self, geometry: Geometry) -> int:
        four_frames = 4000 / geometry.refresh_mhz if geometry.refresh_mhz else 0.0
        return round(max(self._policy.fence_deadline_s, four_frames) * 1e9)

    def _back_off(self) -> None:
        # EBUSY is back-pressure: somebody else's commit waits for the same vblank.
        now = self._clock.now_ns()
        self._busy_since_ns = self._busy_since_ns or now
        if now - self._busy_since_ns < _BUSY_LIMIT_S * 1e9:
            self._pause.set_in(_BUSY_RETRY_S)
            return
        self._fail_all(troubles.too_busy(self.name, _BUSY_LIMIT_S))

    # -- the end of a job ---------------------------------------------------------------------

    def _fence_ended(self, events: int) -> None:
        jobs = self._jobs
        if not jobs:
            self._forget_lasting()  # it goes on, and nobody wants a picture
            return
        job = jobs[0]
        fence = job.fence
        if fence is None:
            return
        try:
            status, done_ns = fence.read_result()
        except OSError as error:
            self._source_gone(error)
            return
        if status == 0:
            return
        self._end_job(job, status, done_ns)
        if self._policy.settle_s:
            self._pause.set_in(self._policy.settle_s)
        if status < 0:
            self._fail_job(job, status)
        elif (self._step is _IN_STEP and self._depth == 1) or self._is_proved(job):
            self._failures = self._refusals = 0
            self._publish(job)
        self.pump()

    def _end_job(self, job: WritebackJob, status: int, done_ns: int) -> None:
        self._stop_watching(job)
        self._jobs.remove(job)
        job.ended(status, done_ns)

    def _fail_job(self, job: WritebackJob, status: int) -> None:
        self._missed += 1
        self._failures += 1
        slot = _slot_of(job)
        self._take_back(slot)
        slot.give_back()
        log.warning(
            "%s: capture %d failed, errno %d", self.name, job.number, -status,
            output=self.name, sequence=job.number, code="failed-capture",
        )  # fmt: skip
        if self._failures >= _FAILURES_LIMIT:
            self._fail_all(troubles.all_failed(self.name, self._failures))

    def _take_back(self, slot: Slot) -> None:
        """Tell those who were promised a picture that there is none."""
        if slot.readers and self.pool is not None:
            with self._audience.handing_out():
                self.pool.revoke(slot, is_overdue=False)

    # -- after a lost job -----------------------------------------------------------------------

    def _look_at_deadline(self) -> None:
        """See whether a job is lost; the alarm was set for an earlier one, as a rule."""
        if self._jobs and self._deadline_of(job := self._jobs[0]) <= self._clock.now_ns():
            self._fence_ended(0)  # what was late may be this daemon, and the fence was not
            if job in self._jobs:
                self._deadline_passed()
        if self._jobs and not self._deadline.is_set:
            self._deadline.set_at(self._deadline_of(self._jobs[0]))

    def _deadline_of(self, job: WritebackJob) -> int:
        return job.time_commit_ns + self._fence_deadline_ns

    def _deadline_passed(self) -> None:
        number = self._jobs[0].number
        self._lost += 1
        log.error(
            "%s: the fence of capture %d did not signal in time", self.name, number,
            output=self.name, sequence=number, code="lost-capture",
        )  # fmt: skip
        self.outlet.capture_lost(number)
        self._missed += len(self._jobs) - 1  # those behind it may have been taken for it
        self._abandon_jobs()
        self._doubt()
        self.pump()

    def _is_proved(self, job: WritebackJob) -> bool:
        """Say whether a poisoned capture was written by its own job; then doubt is over."""
        slot = _slot_of(job)
        if slot.memory.is_poisoned():
            log.error(
                "%s: capture %d signalled, but was not written", self.name, job.number,
                output=self.name, sequence=job.number, code="not-written",
            )  # fmt: skip
            self._take_back(slot)
            self._quarantine(slot)
            self._doubt()
            return False
        self._step, self._failed_proofs = Step.IN_STEP, 0
        self._let_go_of_held()
        if self._is_doubt_told:
            log.info(
                "%s: capture %d proved that fences are in step again", self.name, job.number,
                output=self.name, sequence=job.number,
            )  # fmt: skip
            self._is_doubt_told = False
            self._tell_state(None)
        return True

    def _let_go_of_held(self) -> None:
        held, self._held = self._held, []
        for slot in held:
            if self.pool is not None:
                self.pool.returned(slot)

    def _doubt(self) -> None:
        """One more capture did not do what its fence promises."""
        self._missed += 1
        if self._step is Step.DOUBTED:
            self._failed_proofs += 1
        self._step, self._is_doubt_told = Step.DOUBTED, True
        deadline_s = self._fence_deadline_ns / 1e9
        if self._failed_proofs < self._policy.proofs:
            self._tell_state(troubles.lost(self.name, deadline_s))
            self._refill()
            return
        # The next subscriber finds it in doubt still: its first capture is a proof.
        self._failed_proofs = 0
        self._give_up(troubles.out_of_step(self.name, deadline_s))

    def _refill(self) -> None:
        """Have new memory for what was lost; without any, there may be nothing left to lend."""
        if (pool := self.pool) is None:
            return
        with self._audience.handing_out():
            self._holdings.replace_lost(pool, self.outlet)
        if pool.lendable < 1:
            reason = f"no memory in place of {len(pool.lost)} buffers that the driver lost"
            self._give_up(troubles.no_memory(self.name, reason))

    def _tell_state(self, problem: CaptureError | None) -> None:
        if problem is not None:
            self._note(problem)
        with self._audience.handing_out():  # who is told may wake us, and we are not done
            self.outlet.problem_changed(problem)
            for subscriber in self._audience:
                subscriber.state_changed(problem)

    def _note(self, error: CaptureError) -> None:
        self.last_error, self.last_error_ns = error, self._clock.now_ns()

    def _source_gone(self, error: OSError) -> None:
        self._abandon_jobs()
        self._give_up(troubles.commit_failed(self.name, error))

    def _stop_watching(self, job: WritebackJob) -> None:
        if job.fence is not None and not job.fence.is_lasting:
            self._clock.unwatch(job.fence.fileno())

    def _drain_jobs(self) -> None:
        for job in list(self._jobs):
            if job.fence is None or not job.fence.wait(_DRAIN_S):
                break
            try:
                result = job.fence.read_result()
            except OSError:
                break
            self._end_job(job, *result)
            slot = _slot_of(job)
            self._take_back(slot)
            slot.give_back()
        self._abandon_jobs()

    def _abandon_jobs(self) -> None:
        self._forget_flip()
        self._deadline.clear()
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            self._stop_watching(job)
            job.lost()
            slot = _slot_of(job)
            self._take_back(slot)
            self._quarantine(slot)

    def _quarantine(self, slot: Slot) -> None:
        if self.pool is not None:
            self.pool.quarantine(slot)

    def _fail_all(self, error: CaptureError) -> None:
        self._note(error)
        for subscriber in self._audience.dismiss():
            subscriber.fail(error)
        self._rest_if_alone()

    # -- handing out --------------------------------------------------------------------------

    def _publish(self, job: WritebackJob) -> None:
        pool, slot = self._holdings.pool, job.slot
        if pool is None or slot is None:
            return
        pool.publish(slot)
        self._captured += 1
        audience, number = self._audience, job.number
        asked_ns, done_ns = job.time_commit_ns, job.time_done_ns
        vblank = self._source.vblank_of(number)
        self._picture = picture = Picture(slot, number, self._missed, asked_ns, done_ns, vblank)
        now_ns = self._clock.now_ns()
        if pool.spare <= pool.slack:
            self._revoked += audience.make_room(pool, now_ns)
        audience.is_handing_out = True
        try:
            audience.hand_out(picture, pool, now_ns, self.outlet)
        finally:
            audience.is_handing_out = False
        self.timings.note(asked_ns, done_ns, self._clock.now_ns())


def _slot_of(job: WritebackJob) -> Slot:
    if job.slot is None:
        raise RuntimeError(f"{job!r} has no slot")
    return job.slot
