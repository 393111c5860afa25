# SPDX-License-Identifier: MIT
"""The captures of one output: the job that makes a picture, and the next one."""

from __future__ import annotations

from capturectl.errors import CaptureError
from capturectl.typed import Protocol
from captured import log
from captured.capture import troubles
from captured.capture.alarm import Alarm
from captured.capture.audience import NEVER, Picture
from captured.capture.doubt import Doubt
from captured.capture.job import WritebackJob
from captured.capture.ledger import NoLedger
from captured.capture.outlet import NoOutlet
from captured.capture.pacing import Pace
from captured.capture.source import NO_VBLANK, SourceBusy
from captured.capture.timing import Timings
from captured.capture.underway import Underway

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from captured.capture.alarm import Clock
    from captured.capture.audience import Audience
    from captured.capture.holdings import Holdings
    from captured.capture.ledger import Ledger
    from captured.capture.outlet import Outlet
    from captured.capture.pacing import Policy
    from captured.capture.pool import Pool, Slot
    from captured.capture.source import Geometry, Source


_BUSY_RETRY_S = 0.001
_BUSY_LIMIT_S = 1.0
_READERS_RETRY_S = 0.005
_FAILURES_LIMIT = 10
_REFUSALS_LIMIT = 5
"""Commits that are refused, one after the other, though the output seems well."""


class Overseer(Protocol):
    """Decides what becomes of subscribers and output when captures go wrong: the engine."""

    name: str
    """The output's."""

    def commit_refused(self, error: CaptureError, *, is_first: bool) -> None:
        """Look at the output anew, at once after the first refusal."""

    def give_up(self, error: CaptureError) -> None:
        """Tell all subscribers to go, and detach."""

    def fail_all(self, error: CaptureError) -> None:
        """Tell all subscribers to go."""

    def tell_state(self, problem: CaptureError | None) -> None:
        """Tell all subscribers that pictures stop for a while, or are back."""


class Captures:
    """Makes pictures while somebody wants them, and hands them out.

    Ownership: owns its jobs; borrows the source, the loop, the pool and the audience.
    """

    def __init__(
        self,
        source: Source,
        clock: Clock,
        policy: Policy,
        audience: Audience,
        holdings: Holdings,
        overseer: Overseer,
    ) -> None:
        self.outlet: Outlet = NoOutlet()
        self.ledger: Ledger = NoLedger()
        self.timings = Timings()
        self.doubt = Doubt()
        self.number = 0
        """Of the last commit."""
        self.picture: Picture | None = None
        """The newest; None while nothing is attached."""
        self._source = source
        self._clock = clock
        self._audience = audience
        self._holdings = holdings
        self._overseer = overseer
        self._underway = Underway(clock, self._fence_ended, self._deadline_passed, self._flipped)
        self._busy_since_ns = 0
        self._failures = 0
        self._refusals = 0
        self._pause = Alarm(clock, self.pump)
        self._due = Alarm(clock, self.pump)
        self.captured = 0
        self._missed = self._lost = self._revoked = 0
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Space captures as a driver needs it."""
        self._policy = policy
        self._depth = 2 if policy.pace is Pace.FLIP else 1
        self._proves_each = policy.proves_each or self._depth > 1

    # -- what there was -----------------------------------------------------------------------

    def counts(self) -> tuple[int, int, int, int]:
        """Return how many were captured, missed, lost and revoked: see `engine.Statistics`."""
        return self.captured, self._missed, self._lost, self._revoked

    def resume(self, counts: Sequence[int], number: int) -> None:
        """Go on where a former daemon stopped, with its counts, after its commit `number`."""
        self.captured, self._missed, self._lost, self._revoked = counts
        self.number = number

    def note_missed(self, frames: int) -> None:
        """So many frames went by that were wanted, while nobody captured."""
        self._missed += frames
        self.number += frames

    # -- beginning and ending -----------------------------------------------------------------

    def begin(self, geometry: Geometry) -> None:
        """Get ready for pictures of another geometry."""
        self._underway.choose_deadline(geometry, self._policy.fence_deadline_s)

    def begin_in_doubt(self, geometry: Geometry, resume_ns: int) -> None:
        """Get ready to go on from a former daemon, whose jobs have ended by that time."""
        self.begin(geometry)
        self.doubt.is_open = True
        self._pause.set_at(resume_ns)

    def calm_down(self) -> None:
        """Nobody is there any more whom failures in a row concern."""
        self._busy_since_ns = self._failures = 0

    def rest(self) -> None:
        """Start nothing more by itself, and wait for what is being written."""
        self._pause.clear()
        self._due.clear()
        for job in self._underway.drain():
            slot = _slot_of(job)
            self._take_back(slot)
            slot.give_back()
        self._abandon()

    def free_pool(self) -> None:
        """Give the pool up, and the picture in it. Twice is fine."""
        self.picture = None
        self.doubt.forget_held()
        self._holdings.free(self.outlet)

    def forget_source(self) -> None:
        """Have nothing of the source any more: it is going to be detached."""
        self._underway.forget_lasting()

    def start_afresh(self) -> None:
        """Hold nothing against a source that has gone: the next one is another."""
        self.doubt.close()
        self._refusals = 0

    # -- the next job -------------------------------------------------------------------------

    def pump(self) -> None:
        """Start the next job when somebody wants a picture and it is time for one."""
        pool = self._holdings.pool
        if pool is None or self._pause.is_set or (self._underway.jobs and not self._may_overlap()):
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
            self._refused(error)
        except OSError as error:
            self._refused(troubles.commit_failed(self._overseer.name, error))

    def has_room(self) -> bool:
        """Whether another job could be under way beside those that are."""
        return len(self._underway.jobs) < self._depth

    def _may_overlap(self) -> bool:
        """Whether those under way leave room for another; in doubt there is one at a time."""
        return not self._underway.awaits_flip and not self.doubt.is_open and self.has_room()

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
        number = self.number + 1
        job = WritebackJob(number, slot)
        if self.doubt.is_open or self._proves_each:
            slot.memory.poison()
        self.ledger.note_commit(slot, number, self._missed, self.captured, now_ns)
        try:
            fence = self._source.commit(slot.memory, number)
        except BaseException:
            job.refused()
            slot.give_back()
            raise
        job.committed(fence, now_ns)
        self._busy_since_ns = 0
        self.number = number
        self._underway.add(job, fence)
        if self._depth > 1:
            self._underway.await_flip(self._source.flip_fd())
        if self._audience.early_count and not self.doubt.is_open:
            self._announce(job, slot, fence.fileno(), pool)

    def _announce(self, job: WritebackJob, slot: Slot, fence: int, pool: Pool) -> None:
        picture = Picture(slot, job.number, self._missed, job.time_commit_ns, 0, NO_VBLANK)
        with self._audience.handing_out():
            self._audience.announce(picture, fence, pool, job.time_commit_ns, self.outlet)

    def _back_off(self) -> None:
        # EBUSY is back-pressure: somebody else's commit waits for the same vblank.
        now = self._clock.now_ns()
        self._busy_since_ns = self._busy_since_ns or now
        if now - self._busy_since_ns < _BUSY_LIMIT_S * 1e9:
            self._pause.set_in(_BUSY_RETRY_S)
            return
        self._overseer.fail_all(troubles.too_busy(self._overseer.name, _BUSY_LIMIT_S))

    def _refused(self, error: CaptureError) -> None:
        self._refusals += 1
        if self._refusals > _REFUSALS_LIMIT:
            self._refusals = 0
            self._overseer.give_up(error)
        else:
            self._overseer.commit_refused(error, is_first=self._refusals == 1)

    def _flipped(self, events: int) -> None:
        try:
            has_flipped = self._source.has_flipped(self.number)
        except OSError as error:
            self._source_gone(error)
            return
        if has_flipped:
            self._underway.forget_flip()
            self.pump()

    # -- the end of a job ---------------------------------------------------------------------

    def _fence_ended(self, events: int) -> None:
        underway = self._underway
        if not underway.jobs:
            underway.forget_lasting()  # it goes on, and nobody wants a picture
            return
        job = underway.jobs[0]
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
        underway.end(job, status, done_ns)
        if self._policy.settle_s:
            self._pause.set_in(self._policy.settle_s)
        if status < 0:
            self._fail_job(job, status)
        elif not (self.doubt.is_open or self._proves_each) or self._is_proved(job):
            self._failures = self._refusals = 0
            self._publish(job)
        self.pump()

    def _publish(self, job: WritebackJob) -> None:
        pool, slot = self._holdings.pool, job.slot
        if pool is None or slot is None:
            return
        pool.publish(slot)
        self.captured += 1
        audience, number = self._audience, job.number
        asked_ns, done_ns = job.time_commit_ns, job.time_done_ns
        vblank = self._source.vblank_of(number)
        self.picture = picture = Picture(slot, number, self._missed, asked_ns, done_ns, vblank)
        now_ns = self._clock.now_ns()
        if pool.spare <= pool.slack:
            self._revoked += audience.make_room(pool, now_ns)
        audience.is_handing_out = True
        try:
            audience.hand_out(picture, pool, now_ns, self.outlet)
        finally:
            audience.is_handing_out = False
        self.timings.note(asked_ns, done_ns, self._clock.now_ns())

    def _fail_job(self, job: WritebackJob, status: int) -> None:
        name = self._overseer.name
        self._missed += 1
        self._failures += 1
        slot = _slot_of(job)
        self._take_back(slot)
        slot.give_back()
        log.warning(
            "%s: capture %d failed, errno %d", name, job.number, -status,
            output=name, sequence=job.number, code="failed-capture",
        )  # fmt: skip
        if self._failures >= _FAILURES_LIMIT:
            self._overseer.fail_all(troubles.all_failed(name, self._failures))

    def _take_back(self, slot: Slot) -> None:
        """Tell those who were promised a picture that there is none."""
        pool = self._holdings.pool
        if slot.readers and pool is not None:
            with self._audience.handing_out():
                pool.revoke(slot, is_overdue=False)

    def _source_gone(self, error: OSError) -> None:
        self._abandon()
        self._overseer.give_up(troubles.commit_failed(self._overseer.name, error))

    # -- a job without an end -----------------------------------------------------------------

    def _deadline_passed(self) -> None:
        name, number = self._overseer.name, self._underway.jobs[0].number
        self._lost += 1
        log.error(
            "%s: the fence of capture %d did not signal in time", name, number,
            output=name, sequence=number, code="lost-capture",
        )  # fmt: skip
        self.outlet.capture_lost(number)
        # Those behind it may have been taken for it.
        self._missed += len(self._underway.jobs) - 1
        self._abandon()
        self._deepen_doubt()
        self.pump()

    def _abandon(self) -> None:
        for job in self._underway.abandon():
            slot = _slot_of(job)
            self._take_back(slot)
            self._quarantine(slot)

    def _quarantine(self, slot: Slot) -> None:
        if (pool := self._holdings.pool) is not None:
            pool.quarantine(slot)

    def _is_proved(self, job: WritebackJob) -> bool:
        """Say whether a poisoned capture was written by its own job; then doubt is over."""
        name, slot = self._overseer.name, _slot_of(job)
        if slot.memory.is_poisoned():
            log.error(
                "%s: capture %d signalled, but was not written", name, job.number,
                output=name, sequence=job.number, code="not-written",
            )  # fmt: skip
            self._take_back(slot)
            self._quarantine(slot)
            self._deepen_doubt()
            return False
        self._return_held(self.doubt.close())
        if self.doubt.is_told:
            log.info(
                "%s: capture %d proved that fences are in step again", name, job.number,
                output=name, sequence=job.number,
            )  # fmt: skip
            self.doubt.is_told = False
            self._overseer.tell_state(None)
        return True

    def _return_held(self, slots: list[Slot]) -> None:
        if (pool := self._holdings.pool) is not None:
            for slot in slots:
                pool.returned(slot)

    def _deepen_doubt(self) -> None:
        """One more capture did not do what its fence promises."""
        self._missed += 1
        name, deadline_s = self._overseer.name, self._underway.deadline_ns / 1e9
        if self.doubt.deepen(self._policy.proofs):
            self._overseer.tell_state(troubles.lost(name, deadline_s))
            self._refill()
        else:  # the next subscriber finds it in doubt still: its first capture is a proof
            self._overseer.give_up(troubles.out_of_step(name, deadline_s))

    def _refill(self) -> None:
        """Have new memory for what was lost; without any, there may be nothing left to lend."""
        if (pool := self._holdings.pool) is None:
            return
        with self._audience.handing_out():
            self._holdings.replace_lost(pool, self.outlet)
        if pool.lendable < 1:
            reason = f"no memory in place of {len(pool.lost)} buffers that the driver lost"
            self._overseer.give_up(troubles.no_memory(self._overseer.name, reason))


def _slot_of(job: WritebackJob) -> Slot:
    if job.slot is None:
        raise RuntimeError(f"{job!r} has no slot")
    return job.slot
