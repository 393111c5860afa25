# SPDX-License-Identifier: MIT
"""The engine of one output: its subscribers, and when it is attached, idle, or waited for."""

from __future__ import annotations

import contextlib

from capturectl.errors import CaptureError, OutputOffError
from capturectl.protocol import LEASE_MS
from capturectl.typed import NamedTuple
from captured import log
from captured.capture import troubles
from captured.capture.alarm import Alarm
from captured.capture.audience import Audience, Picture
from captured.capture.captures import Captures
from captured.capture.holdings import Holdings

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
    from captured.capture.source import Geometry, Source
    from captured.capture.timing import Timings


_RETURN_RETRY_S = 0.1
_RETURN_LIMIT_S = 10.0
"""How long an output may be blocked before its subscribers are told to go; off, it may stay."""


class Settings(NamedTuple):
    """What the operator may choose."""

    pool_size: int = 6
    linger_s: float = 10.0
    """How long to stay attached after the last subscriber; attaching may flicker."""
    lease_s: float = LEASE_MS / 1000
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
    """Captures one output for its subscribers, who share each picture.

    Nobody subscribed means nothing is committed. Open until `close()`; runs in the loop's thread.

    Ownership: owns its pool and captures, borrows the source, the loop and the outlet.
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
        self.last_error: CaptureError | None = None
        self.last_error_ns = 0
        self._source = source
        self._clock = clock
        self._settings = settings
        self._audience = audience = Audience(round(settings.lease_s * 1e9))
        self._holdings = holdings = Holdings(clock, settings.pool_size, source.allocate)
        self._captures = Captures(source, clock, policy, audience, holdings, self)
        self._attached = 0
        self._problem: CaptureError | None = None
        self._absence: CaptureError | None = None
        """Why there is no source; whoever knows better will say `source_came`."""
        self._is_new = False
        """Whether the source is another than subscribers were told of."""
        self._suspended_ns = 0
        self._former: Geometry | None = None
        self._linger = Alarm(clock, self.detach)
        self._return = Alarm(clock, self._try_return)

    # -- how it stands ------------------------------------------------------------------------

    @property
    def outlet(self) -> Outlet:
        """Where pictures and news go; nowhere until it is set."""
        return self._captures.outlet

    @outlet.setter
    def outlet(self, outlet: Outlet) -> None:
        self._captures.outlet = outlet

    @property
    def ledger(self) -> Ledger:
        """Where commits are noted; nowhere until it is set."""
        return self._captures.ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self._captures.ledger = ledger

    @property
    def timings(self) -> Timings:
        """How long the last captures took."""
        return self._captures.timings

    @property
    def subscriber_count(self) -> int:
        """How many subscriptions there are."""
        return len(self._audience)

    @property
    def captured(self) -> int:
        """How many pictures there were."""
        return self._captures.captured

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
        return self._captures.doubt.is_open

    @property
    def problem(self) -> CaptureError | None:
        """Why the subscribers wait for the output to come back; None when they do not."""
        return self._problem

    def statistics(self) -> Statistics:
        """Return the counts since the engine began."""
        return Statistics(*self._captures.counts(), self._attached)

    # -- subscribers --------------------------------------------------------------------------

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
        self._audience.add(subscriber, self._captures.number)
        self._captures.pump()

    def go_on(self, subscriber: Subscriber) -> None:
        """Serve a subscriber of a former engine; while the output is blocked it waits."""
        try:
            self.subscribe(subscriber)
        except CaptureError as problem:
            self._audience.add(subscriber, self._captures.number)
            subscriber.state_changed(problem)
            if self._problem is None:
                self._wait_out(problem)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop serving a subscriber; what it holds stays held. Twice is fine."""
        if self._audience.remove(subscriber):
            self._rest_if_alone()

    def release(self, slot: Slot, holder: Subscriber) -> None:
        """A subscriber gives a slot back; with a credit again it gets the newest at once.

        So does everybody who went without while slots were short: it takes no more of them.
        """
        pool, captures = self._holdings.pool, self._captures
        if pool is None or slot.generation != pool.generation:
            return  # its pool is gone, and the memory with it
        was_short = pool.spare <= pool.slack
        pool.returned(slot)
        if captures.picture is not None:
            self._hand_on(captures.picture, pool, holder, was_short=was_short)
        if captures.has_room():
            captures.pump()

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
        newest, pool = self._captures.picture, self._holdings.pool
        if newest is None or pool is None:
            return 0
        return newest.sequence - picture.sequence - pool.patience

    def wake(self) -> None:
        """A subscriber may want a picture now that did not before."""
        self._captures.pump()

    def rejoin(self, subscriber: Subscriber) -> None:
        """A subscriber wants pictures again: those that are asked for from now on."""
        subscriber.seen = self._captures.number
        self._captures.pump()

    def check_keeper(self, uid: int) -> None:
        """Refuse a user who keeps more former buffers than a pool has.

        So it costs nobody else the memory for the next pool, as long as few do.

        Raises:
            CaptureBusyError: `capacity`.
        """
        if count := self._holdings.kept_beyond_share(uid):
            raise troubles.kept(self.name, uid, count)

    def taint(self, keys: Collection[tuple[int, int]]) -> None:
        """Replace buffers that somebody knows who was cut off, as they become free.

        Args:
            keys: (generation, buffer) of each.
        """
        if self.pool is not None:
            self.pool.taint(keys)

    def tell_state(self, problem: CaptureError | None) -> None:
        """Tell subscribers, and whoever cares, that pictures stop for a while, or are back."""
        if problem is not None:
            self._note(problem)
        with self._audience.handing_out():  # who is told may wake us, and we are not done
            self.outlet.problem_changed(problem)
            for subscriber in self._audience:
                subscriber.state_changed(problem)

    def fail_all(self, error: CaptureError) -> None:
        """End all subscriptions with a reason."""
        self._note(error)
        for subscriber in self._audience.dismiss():
            subscriber.fail(error)
        self._rest_if_alone()

    def _note(self, error: CaptureError) -> None:
        self.last_error, self.last_error_ns = error, self._clock.now_ns()

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
            self._captures.begin(geometry)
            self.outlet.pool_changed()
        except CaptureError as error:
            self._note(error)
            raise  # some of them are OSErrors too
        except OSError as error:
            failed = troubles.attach_failed(self.name, error)
            self._note(failed)
            raise failed from error

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

    def set_linger(self, seconds: float) -> None:
        """Change how long to stay attached after the last subscriber; from the next one on."""
        self._settings = self._settings._replace(linger_s=seconds)

    def _rest_if_alone(self) -> None:
        if len(self._audience):
            return
        self._captures.calm_down()
        if self.pool is not None:
            self._linger.set_in(self._settings.linger_s)
        elif self._problem is not None:
            self.detach()

    def detach(self) -> None:
        """Free the pool and leave the output as it was found. Twice is fine.

        Waits for jobs that are being written, at most a quarter of a second: a commit on their
        CRTC meanwhile is undefined.
        """
        self._linger.clear()
        self._return.clear()
        self._problem, self._is_new = None, False
        with contextlib.ExitStack() as last:  # whatever fails, the output is as it was found
            last.callback(self._detach_source)
            last.callback(self._captures.free_pool)
            self._captures.rest()

    def _detach_source(self) -> None:
        self._captures.forget_source()
        if self._source.is_attached:
            self._source.detach()
            self.outlet.detached()

    def close(self) -> None:
        """End every subscription and detach. Twice is fine."""
        self._audience.dismiss()
        self.detach()
        self._holdings.close()

    # -- going on from a former engine --------------------------------------------------------

    def resume(self, counts: Statistics, number: int, generation: int) -> None:
        """Go on where a former engine stopped.

        Args:
            counts: To go on with.
            number: Of its last commit.
            generation: Of its pool.
        """
        self._attached = counts.attached
        self._captures.resume(counts[:-1], number)
        self._holdings.generation = generation

    def note_missed(self, frames: int) -> None:
        """So many frames went by that were wanted, while nobody captured."""
        self._captures.note_missed(frames)

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
        self._captures.begin_in_doubt(pool.geometry, resume_ns)
        self._linger.set_in(self._settings.linger_s)

    def hold(self, slot: Slot) -> None:
        """Keep a slot of an adopted pool from being written until there is proof."""
        self._captures.doubt.hold(slot)

    # -- the output changes under us ----------------------------------------------------------

    def commit_refused(self, error: CaptureError, *, is_first: bool) -> None:
        """A commit was refused: free the pool, and look at the output anew in the next turn.

        Its mode may have changed, or it was switched off. The subscribers stay.
        """
        log.info("%s: %s", self.name, error, output=self.name)
        self._captures.rest()
        self._former = self.geometry
        self._problem, self._suspended_ns = error, self._clock.now_ns()
        self._captures.free_pool()
        self._return.set_in(0 if is_first else _RETURN_RETRY_S)

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
        self._captures.start_afresh()
        self._former, self._is_new = None, waiting
        self._problem = problem if waiting else None
        if not is_known:
            self.tell_state(problem)

    def source_came(self, name: str, policy: Policy) -> None:
        """There is a source, of a display of that name; those who wait get its pictures."""
        self.name = name
        self._captures.follow(policy)
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
            self.tell_state(troubles.mode_changed(self.name, self.geometry))
        if changed or self._is_new:
            with self._audience.handing_out():
                for subscriber in self._audience:
                    subscriber.reshaped()
        self._is_new, self._problem = False, None
        if changed or former is None:
            self.tell_state(None)
        self._captures.pump()

    def _stay_suspended(self, problem: CaptureError) -> None:
        if self._former is not None or self._problem is None or problem.code != self._problem.code:
            self.tell_state(problem)
        self._former = None
        self._problem = problem
        if self._absence is not None:
            return
        if isinstance(problem, OutputOffError):
            self._detach_source()  # attached, it could not be switched off for good
        elif self._clock.now_ns() - self._suspended_ns > _RETURN_LIMIT_S * 1e9:
            self.give_up(problem)
            return
        self._return.set_in(_RETURN_RETRY_S)

    def _wait_out(self, problem: CaptureError) -> None:
        self._problem, self._suspended_ns = problem, self._clock.now_ns()
        self.outlet.problem_changed(problem)
        if self._absence is None:
            self._return.set_in(_RETURN_RETRY_S)

    def give_up(self, error: CaptureError) -> None:
        """Tell all subscribers, and detach: the next one finds the output as it is then."""
        log.warning("%s", error, output=self.name, code=error.code)
        self.fail_all(error)
        self.detach()
