# SPDX-License-Identifier: MIT
"""captured.capture.engine: who gets which picture, and what is done when none comes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import (
    CaptureBusyError,
    CaptureError,
    CaptureLostError,
    CaptureTimeoutError,
    CaptureUnsupportedError,
    NotAllowedError,
    OutputOffError,
)
from captured.capture import retired
from captured.capture.engine import Engine, Settings
from captured.capture.pacing import Pace, Policy
from captured.capture.pattern import PatternSource, parse_geometry
from captured.capture.pool import RESERVE, SLACK
from captured.capture.source import Geometry, Vblank
from captured.reactor import Reactor
from tests.support.fakes import (
    GEOMETRY,
    START_NS,
    FakeClock,
    FakeOutlet,
    FakeSource,
    FakeSubscriber,
    FencedMemory,
    drain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from captured.capture.pool import Slot

POOL_SIZE = 6
LINGER_S = 30.0
DEADLINE_S = 2.0
LEASE_S = 0.25
SETTINGS = Settings(POOL_SIZE, LINGER_S, LEASE_S)
POLICY = Policy(fence_deadline_s=DEADLINE_S)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def make(clock: FakeClock) -> Iterator[Callable[[FakeSource, Policy], Engine]]:
    engines: list[Engine] = []

    def build(source: FakeSource, policy: Policy) -> Engine:
        engines.append(Engine("HDMI-A-1", source, clock, SETTINGS, policy))
        engines[-1].outlet = FakeOutlet()
        return engines[-1]

    yield build
    for engine in engines:
        engine.close()


@pytest.fixture
def engine(make: Callable[[FakeSource, Policy], Engine], source: FakeSource) -> Engine:
    return make(source, POLICY)


def subscribed(
    engine: Engine,
    credits: int = 1,  # noqa: A002
    *,
    is_prompt: bool = True,
) -> FakeSubscriber:
    subscriber = FakeSubscriber(credits, is_prompt=is_prompt)
    engine.subscribe(subscriber)
    return subscriber


def finish(clock: FakeClock, source: FakeSource, status: int = 1) -> None:
    source.finish(status)
    clock.advance()


class WatchCounter(Reactor):
    """The real loop, which notes what comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[int] = []
        self.unwatched: list[int] = []

    def watch_first(self, fd: int, callback: Callable[[int], None]) -> None:
        super().watch_first(fd, callback)
        self.watched.append(fd)

    def unwatch(self, fd: int) -> None:
        super().unwatch(fd)
        self.unwatched.append(fd)


@pytest.fixture
def patterned() -> Iterator[tuple[Engine, WatchCounter]]:
    """An engine whose source has one fence for all captures."""
    with WatchCounter() as reactor:
        source = PatternSource(parse_geometry("256x48@250"))
        engine = Engine("Pattern-1", source, reactor, SETTINGS, POLICY)
        engine.outlet = FakeOutlet()
        yield engine, reactor
        engine.close()


# -- when something is captured ---------------------------------------------------------------


def test_nothing_is_touched_before_somebody_subscribes(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    clock.advance(60)
    assert engine.geometry is None
    assert (source.attach_count, source.jobs) == (0, [])


def test_nothing_is_committed_while_nobody_subscribes(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    engine.attach()
    clock.advance(5)
    assert source.jobs == []


def test_the_first_subscriber_makes_it_attach_and_commit_one_job(
    engine: Engine, source: FakeSource
) -> None:
    subscribed(engine)
    assert (source.attach_count, len(source.jobs)) == (1, 1)
    assert engine.geometry == GEOMETRY


def test_nothing_is_committed_for_a_subscriber_without_credit(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=0)
    clock.advance(5)
    assert source.jobs == []


def test_a_fence_of_all_captures_is_watched_for_as_long_as_one_follows_the_other(
    patterned: tuple[Engine, WatchCounter],
) -> None:
    engine, reactor = patterned
    subscriber = subscribed(engine, credits=3)
    while len(subscriber.pictures) < 3:
        reactor.run_once(1)
    assert (len(reactor.watched), reactor.unwatched) == (1, [])
    while not reactor.unwatched:
        reactor.run_once(1)
    subscriber.release(engine)
    assert reactor.watched == 2 * reactor.unwatched


def test_a_fence_of_all_captures_is_not_watched_once_its_source_is_detached(
    patterned: tuple[Engine, WatchCounter],
) -> None:
    engine, reactor = patterned
    subscribed(engine)
    engine.detach()
    assert reactor.watched == reactor.unwatched


def test_one_job_is_under_way_at_a_time(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=4)
    subscribed(engine, credits=4)
    clock.advance(1)
    assert len(source.jobs) == 1


def test_the_next_job_is_committed_when_the_fence_has_ended(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=4)
    finish(clock, source)
    assert [job.number for job in source.jobs] == [1, 2]


def test_a_fence_that_is_readable_but_pending_ends_nothing(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    source.jobs[-1].fence.wake()
    clock.advance()
    assert subscriber.pictures == []
    finish(clock, source)
    assert subscriber.sequences == [1]


def test_capturing_stops_when_nobody_has_credit(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=1)
    finish(clock, source)
    clock.advance(5)
    assert len(source.jobs) == 1


def test_a_release_starts_the_next_job(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=1)
    finish(clock, source)
    subscriber.release(engine)
    assert len(source.jobs) == 2


def test_capturing_stops_when_the_last_subscriber_has_gone(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    engine.unsubscribe(subscriber)
    finish(clock, source)
    clock.advance(5)
    assert len(source.jobs) == 1
    assert subscriber.pictures == []


def test_unsubscribing_twice_is_fine(engine: Engine) -> None:
    subscriber = subscribed(engine)
    engine.unsubscribe(subscriber)
    engine.unsubscribe(subscriber)
    assert engine.subscriber_count == 0


# -- who gets a picture -----------------------------------------------------------------------


def test_concurrent_subscribers_share_one_job(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    engine.attach()
    source.is_busy = True
    first, second = subscribed(engine), subscribed(engine)
    source.is_busy = False
    clock.advance(0.01)
    finish(clock, source)
    assert len(source.jobs) == 1
    assert first.pictures == second.pictures
    assert first.sequences == [1]


def test_a_job_that_was_committed_before_a_subscriber_asked_is_not_for_it(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=4)
    late = subscribed(engine, credits=4)
    finish(clock, source)
    assert late.pictures == []
    finish(clock, source)
    assert late.sequences == [2]


def test_a_subscriber_without_credit_skips_the_picture(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=4)
    slow = subscribed(engine, credits=1)
    for _ in range(3):
        finish(clock, source)
    assert slow.sequences == [2]


def test_a_picture_says_when_it_was_asked_for_shown_and_done(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    clock.advance(3)
    subscriber = subscribed(engine)
    clock.advance(0.5)
    source.finish(time_done_ns=START_NS + 5)
    clock.advance()
    picture = subscriber.pictures[0]
    assert picture.time_commit_ns == START_NS + 3_000_000_000
    assert picture.time_done_ns == START_NS + 5
    assert picture.vblank == Vblank(7001, START_NS + 1)
    assert picture.slot.memory is source.jobs[0].memory


def test_statistics_count_the_captured_pictures(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=2)
    finish(clock, source)
    finish(clock, source)
    assert engine.statistics().captured == 2


def test_a_subscriber_with_a_credit_again_gets_the_newest_picture_at_once(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    slow = subscribed(engine, credits=1)
    finish(clock, source)
    other = subscribed(engine, credits=4)
    for _ in range(3):
        finish(clock, source)
    slow.release(engine)
    assert slow.sequences == other.sequences[-1:]


def test_nobody_gets_the_same_picture_twice(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=1)
    finish(clock, source)
    subscriber.release(engine)
    assert subscriber.pictures == []


def test_a_picture_is_captured_when_the_first_subscriber_is_due(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribers = [FakeSubscriber(), FakeSubscriber()]
    for later_ns, subscriber in zip((300_000_000, 100_000_000), subscribers, strict=True):
        subscriber.due = clock.now_ns() + later_ns
        engine.subscribe(subscriber)
    clock.advance(0.099)
    assert source.jobs == []
    clock.advance(0.002)
    assert len(source.jobs) == 1


def test_a_picture_is_for_those_who_are_due(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    later = FakeSubscriber()
    later.due = clock.now_ns() + 100_000_000
    engine.subscribe(later)
    now = subscribed(engine)
    finish(clock, source)
    assert (now.sequences, later.sequences) == ([1], [])


def test_a_subscriber_that_wants_a_picture_again_is_served_when_it_says_so(
    engine: Engine, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=0)
    subscriber.credits = 1
    engine.wake()
    assert len(source.jobs) == 1


# -- slots ------------------------------------------------------------------------------------


def test_a_picture_that_somebody_holds_is_not_written_again(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    holder = subscribed(engine, credits=1)
    finish(clock, source)
    held = source.jobs[0].memory
    other = subscribed(engine, credits=1)
    for _ in range(2 * POOL_SIZE):
        finish(clock, source)
        other.release(engine)
    assert len(holder.pictures) == 1
    assert held not in [job.memory for job in source.jobs[1:]]


def test_a_subscriber_that_does_not_take_pictures_pins_none(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    engine.subscribe(FakeSubscriber(credits=1, takes=False))
    for _ in range(2 * POOL_SIZE):
        finish(clock, source)
    assert source.is_writing


@pytest.mark.parametrize("is_prompt", [True, False])
def test_whoever_keeps_frames_leaves_the_reserve_and_the_slack(
    engine: Engine, clock: FakeClock, source: FakeSource, is_prompt: bool
) -> None:
    hoarder = subscribed(engine, credits=2 * POOL_SIZE, is_prompt=is_prompt)
    drain(clock, source)
    assert len(hoarder.pictures) == POOL_SIZE - RESERVE - SLACK


def test_the_newest_picture_goes_on_being_written_while_all_others_are_held(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=2 * POOL_SIZE)
    drain(clock, source)
    finish(clock, source)
    finish(clock, source)
    assert source.is_writing


def test_a_starved_pool_resumes_when_a_picture_is_released(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    hoarder = subscribed(engine, credits=2 * POOL_SIZE)
    drain(clock, source)
    held = hoarder.sequences
    hoarder.release(engine)
    drain(clock, source)
    assert hoarder.sequences[:-1] == held[1:]
    assert hoarder.sequences[-1] > held[-1]


def test_a_slot_is_not_written_before_its_readers_fences_have_ended(
    make: Callable[[FakeSource, Policy], Engine], clock: FakeClock
) -> None:
    memories: list[FencedMemory] = []

    def read_memory() -> FencedMemory:
        memories.append(FencedMemory())
        memories[-1].begin_reading()
        return memories[-1]

    source = FakeSource(memory=read_memory)
    engine = make(source, POLICY)
    subscribed(engine)
    clock.advance(1)
    assert source.jobs == []
    memories[3].end_reading()
    clock.advance(0.02)
    assert [job.memory for job in source.jobs] == [memories[3]]


# -- leases -----------------------------------------------------------------------------------


def crowd(engine: Engine, clock: FakeClock, source: FakeSource) -> FakeSubscriber:
    """Let a subscriber hold everything that is to be had."""
    hoarder = subscribed(engine, credits=POOL_SIZE - RESERVE - SLACK)
    drain(clock, source)
    assert len(hoarder.pictures) == POOL_SIZE - RESERVE - SLACK
    return hoarder


def test_a_picture_may_be_held_for_the_lease_time_however_much_it_is_needed(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    hoarder = crowd(engine, clock, source)
    clock.advance(LEASE_S - 0.01)
    subscribed(engine)
    drain(clock, source)
    assert hoarder.taken_back == []


def test_a_picture_held_for_longer_is_taken_back_when_another_needs_it(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    hoarder = crowd(engine, clock, source)
    clock.advance(LEASE_S + 0.01)
    other = subscribed(engine)
    drain(clock, source)
    assert hoarder.taken_back[0] == 1
    assert len(other.pictures) == 1
    assert engine.statistics().revoked == len(hoarder.taken_back)


def test_a_picture_that_nobody_needs_may_be_held_for_ever(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    holder = subscribed(engine)
    finish(clock, source)
    other = subscribed(engine)
    for _ in range(2 * POOL_SIZE):
        clock.advance(2 * LEASE_S)
        finish(clock, source)
        other.release(engine)
    assert holder.taken_back == []
    assert holder.sequences == [1]


def test_no_more_is_taken_back_than_is_needed(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    hoarder = crowd(engine, clock, source)
    clock.advance(2 * LEASE_S)
    subscribed(engine)
    drain(clock, source)
    assert len(hoarder.pictures) >= POOL_SIZE - RESERVE - SLACK - 1


class Leaver(FakeSubscriber):
    """Is cut off as soon as something is taken from it, as a session that is too slow."""

    engine: Engine

    def revoked(self, slot: Slot, *, is_overdue: bool) -> None:
        super().revoked(slot, is_overdue=is_overdue)
        self.engine.unsubscribe(self)
        self.credits = 0
        while self.pictures:
            self.engine.release(self.pictures.pop().slot, self)


def leaving(engine: Engine, clock: FakeClock, source: FakeSource) -> Leaver:
    """Let one hold everything whose lease is over, and who leaves when that is noticed."""
    leaver = Leaver(credits=POOL_SIZE - RESERVE - SLACK)
    leaver.engine = engine
    engine.subscribe(leaver)
    drain(clock, source)
    clock.advance(2 * LEASE_S)
    return leaver


def test_a_holder_that_leaves_when_something_is_taken_back_starts_no_second_job(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    leaver = leaving(engine, clock, source)
    other = subscribed(engine, credits=2)
    finish(clock, source)
    finish(clock, source)
    assert leaver.taken_back != []
    assert len(other.pictures) == 2


def test_a_holder_that_leaves_when_something_is_taken_back_does_not_cut_the_settling_short(
    make: Callable[[FakeSource, Policy], Engine], clock: FakeClock, source: FakeSource
) -> None:
    engine = make(source, Policy(settle_s=0.001))
    other = subscribed(engine, credits=0)
    leaver = Leaver(credits=POOL_SIZE - RESERVE)
    leaver.engine = engine
    engine.subscribe(leaver)
    for _ in range(POOL_SIZE - RESERVE):
        finish(clock, source)
        clock.advance(0.001)
    other.credits = 2
    engine.wake()
    clock.advance(2 * LEASE_S)
    jobs = len(source.jobs)
    finish(clock, source)
    assert leaver.taken_back != []
    assert len(source.jobs) == jobs


def test_a_former_buffer_is_let_go_of_soon_after_the_client_has(
    engine: Engine, clock: FakeClock, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribed(engine)
    finish(clock, source)
    kept = []
    for references in (2, 1):
        monkeypatch.setattr(retired, "_references", lambda fd, count=references: count)
        engine.detach()
        clock.advance(5)
        kept.append(engine.retired.size)
    assert kept == [POOL_SIZE * source.memories[0].size, 0]


def test_whatever_fails_while_it_detaches_the_output_is_given_back_and_the_memory_freed(
    engine: Engine, clock: FakeClock, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribed(engine)
    finish(clock, source)

    def fail(*arguments: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(engine.retired, "add", fail)
    monkeypatch.setattr(source.jobs[-1].fence, "read_result", fail)
    source.jobs[-1].fence.signal()
    engine.detach()
    assert not source.is_attached
    assert all(memory.is_closed for memory in source.memories)


# -- back-pressure ----------------------------------------------------------------------------


def test_a_busy_source_is_asked_again_until_it_takes_the_job(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.is_busy = True
    subscriber = subscribed(engine)
    clock.advance(0.5)
    source.is_busy = False
    clock.advance(0.01)
    finish(clock, source)
    assert subscriber.sequences == [1]
    assert subscriber.errors == []


def test_a_busy_source_is_not_asked_all_the_time(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.is_busy = True
    subscribed(engine)
    clock.advance(0.1)
    assert 2 <= source.attempts <= 101


def test_busy_is_no_miss(engine: Engine, clock: FakeClock, source: FakeSource) -> None:
    source.is_busy = True
    subscribed(engine)
    clock.advance(0.5)
    assert engine.statistics().missed == 0


def test_a_source_that_stays_busy_for_a_second_fails_the_subscribers(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.is_busy = True
    subscriber = subscribed(engine)
    clock.advance(0.99)
    assert subscriber.errors == []
    clock.advance(0.02)
    assert [type(error) for error in subscriber.errors] == [CaptureTimeoutError]
    assert engine.subscriber_count == 0


def test_a_busy_time_begins_anew_after_a_job(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.is_busy = True
    subscriber = subscribed(engine, credits=2)
    clock.advance(0.8)
    source.is_busy = False
    clock.advance(0.01)
    source.is_busy = True
    finish(clock, source)
    clock.advance(0.8)
    assert subscriber.errors == []


def test_a_busy_time_is_forgotten_when_nobody_waits_any_more(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.is_busy = True
    engine.unsubscribe(subscribed(engine))
    clock.advance(5)
    later = subscribed(engine)
    assert later.errors == []
    source.is_busy = False
    clock.advance(0.01)
    finish(clock, source)
    assert later.sequences == [1]


def test_a_busy_time_is_forgotten_while_nobody_wants_a_picture(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.is_busy = True
    subscriber = subscribed(engine)
    subscriber.credits = 0
    clock.advance(5)
    subscriber.credits = 1
    engine.wake()
    assert subscriber.errors == []


# -- captures that fail -----------------------------------------------------------------------


def test_a_fence_with_an_error_counts_as_missed(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    finish(clock, source, -errno.EIO)
    assert subscriber.pictures == []
    assert subscriber.errors == []
    assert engine.statistics().missed == 1


def test_the_picture_after_a_missed_one_says_so(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    finish(clock, source, -errno.EIO)
    finish(clock, source)
    picture = subscriber.pictures[0]
    assert (picture.sequence, picture.missed) == (2, 1)


def test_failed_captures_use_up_no_slots(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    for _ in range(POOL_SIZE + 1):
        finish(clock, source, -errno.EIO)
    finish(clock, source)
    assert len(subscriber.pictures) == 1


def test_ten_failed_captures_in_a_row_fail_the_subscribers(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    for _ in range(9):
        finish(clock, source, -errno.EIO)
    assert subscriber.errors == []
    finish(clock, source, -errno.EIO)
    assert [type(error) for error in subscriber.errors] == [CaptureLostError]
    assert not source.is_writing


def test_failed_captures_with_good_ones_between_fail_nobody(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    for _ in range(3):
        for _ in range(9):
            finish(clock, source, -errno.EIO)
        finish(clock, source)
    assert subscriber.errors == []


# -- the output changes under us --------------------------------------------------------------

BIGGER = Geometry(128, 64, 60_000, GEOMETRY.fourcc, 0)
EINVAL = OSError(errno.EINVAL, "Invalid argument")


def change_mode(clock: FakeClock, source: FakeSource, geometry: Geometry = BIGGER) -> None:
    """Let somebody else set another mode: the next commit is refused, once."""
    source.refusals, source.geometry = 1, geometry
    finish(clock, source)


def test_after_a_mode_change_the_subscribers_are_told_and_get_pictures_of_the_new_size(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    change_mode(clock, source)
    clock.advance(0.01)
    assert subscriber.states == ["mode-changed", "reshaped", ""]
    assert engine.geometry == BIGGER
    finish(clock, source)
    first, second = subscriber.pictures
    assert second.slot.generation > first.slot.generation
    assert (first.sequence, second.sequence) == (1, 2)
    assert subscriber.errors == []


def test_a_refusal_that_passes_is_told_to_nobody(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    change_mode(clock, source, GEOMETRY)
    clock.advance(0.01)
    finish(clock, source)
    assert (subscriber.states, subscriber.errors) == ([], [])
    assert subscriber.sequences == [1, 2]


def test_commits_that_are_refused_again_and_again_fail_the_subscribers_with_the_cause(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    both = [subscribed(engine, credits=2), subscribed(engine, credits=2)]
    source.commit_error = EINVAL
    finish(clock, source)
    clock.advance(1)
    for subscriber in both:
        assert [type(error) for error in subscriber.errors] == [CaptureLostError]
        assert subscriber.errors[0].__cause__ is source.commit_error
    assert engine.subscriber_count == 0
    assert not source.is_attached


def switch_off(clock: FakeClock, source: FakeSource) -> None:
    source.commit_error = EINVAL
    source.attach_error = OutputOffError("HDMI-A-1 is off")
    finish(clock, source)
    clock.advance(0.01)


def switch_on(clock: FakeClock, source: FakeSource) -> None:
    source.commit_error = source.attach_error = None
    clock.advance(0.2)


def test_an_output_that_goes_off_is_let_go_of_and_its_subscribers_are_told_once(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    switch_off(clock, source)
    clock.advance(60)
    assert subscriber.states == ["output-off"]
    assert subscriber.errors == []
    assert not source.is_attached
    assert engine.geometry is None


def test_an_output_that_comes_on_again_is_captured_on(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    switch_off(clock, source)
    clock.advance(5)
    switch_on(clock, source)
    finish(clock, source)
    assert subscriber.states == ["output-off", ""]
    assert subscriber.sequences == [1, 2]


def test_an_output_that_stays_blocked_fails_its_subscribers_after_a_while(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    source.commit_error = CaptureLostError("the card has another master now")
    source.attach_error = CaptureBusyError("weston holds it", code="another-master")
    finish(clock, source)
    clock.advance(5)
    assert subscriber.states == ["another-master"]
    assert subscriber.errors == []
    clock.advance(6)
    assert subscriber.errors == [source.attach_error]
    assert not source.is_attached


def test_who_subscribes_while_the_output_is_off_is_told_why(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=4)
    switch_off(clock, source)
    with pytest.raises(OutputOffError):
        subscribed(engine)
    assert engine.subscriber_count == 1


def test_who_subscribes_in_the_moment_when_the_wait_is_over_is_told_why_as_well(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=4)
    source.commit_error = CaptureLostError("the card has another master now")
    source.attach_error = CaptureBusyError("weston holds it", code="another-master")
    finish(clock, source)
    clock.advance(9.95)
    clock.pass_unnoticed(0.2)
    with pytest.raises(CaptureBusyError, match="weston"):
        subscribed(engine)
    assert engine.subscriber_count == 0


def test_a_former_engines_subscribers_wait_for_an_output_that_is_off(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.attach_error = OutputOffError("HDMI-A-1 is off")
    both = [FakeSubscriber(4), FakeSubscriber(4)]
    for subscriber in both:
        engine.go_on(subscriber)
    clock.advance(60)
    switch_on(clock, source)
    finish(clock, source)
    for subscriber in both:
        assert subscriber.states == ["output-off", ""]
        assert subscriber.sequences == [1]


def test_a_former_engines_subscribers_wait_for_a_card(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    engine.source_went(CaptureUnsupportedError("no card", code="no-card"))
    subscriber = FakeSubscriber(4)
    engine.go_on(subscriber)
    clock.advance(60)
    engine.source_came("HDMI-A-1", POLICY)
    finish(clock, source)
    assert subscriber.states == ["no-card", ""]
    assert subscriber.sequences == [1]


def test_who_subscribes_when_it_is_back_brings_it_back_for_all(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    first = subscribed(engine, credits=4)
    switch_off(clock, source)
    source.commit_error = source.attach_error = None
    second = subscribed(engine, credits=4)
    finish(clock, source)
    finish(clock, source)
    assert (first.sequences, second.sequences) == ([1, 2, 3], [3])


def test_the_last_who_leaves_an_output_that_is_off_ends_the_waiting(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    switch_off(clock, source)
    engine.unsubscribe(subscriber)
    switch_on(clock, source)
    clock.advance(5)
    assert not source.is_attached
    assert engine.problem is None


def test_refused_commits_use_up_no_slots(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    for _ in range(2 * POOL_SIZE):
        change_mode(clock, source, GEOMETRY)
        clock.advance(0.01)
        while len(subscriber.pictures) > 1:
            subscriber.release(engine)
    assert subscriber.errors == []
    assert source.is_writing


# -- pictures before they are written ---------------------------------------------------------


def early(engine: Engine, credits: int = 1) -> FakeSubscriber:  # noqa: A002
    subscriber = FakeSubscriber(credits, is_early=True)
    engine.subscribe(subscriber)
    return subscriber


def test_an_early_subscriber_gets_the_picture_with_its_fence_at_the_commit(
    engine: Engine, source: FakeSource
) -> None:
    subscriber = early(engine)
    assert subscriber.sequences == [1]
    assert subscriber.fences == [source.jobs[0].fence.fileno()]
    assert subscriber.pictures[0].time_done_ns == 0


def test_an_early_picture_is_not_delivered_again_when_it_is_written(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = early(engine, credits=2)
    other = subscribed(engine, credits=4)
    finish(clock, source)
    assert (subscriber.sequences, other.sequences) == ([1, 2], [])
    finish(clock, source)
    assert (subscriber.sequences, other.sequences) == ([1, 2], [2])


def test_an_early_picture_may_be_given_back_before_it_is_written(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = early(engine)
    slot = subscriber.pictures[0].slot
    subscriber.release(engine)
    finish(clock, source)
    assert slot.readers == 0
    assert len(source.jobs) == 2


def test_an_early_picture_that_fails_is_taken_back_without_blame(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = early(engine)
    finish(clock, source, -errno.EIO)
    assert (subscriber.never_written, subscriber.taken_back) == ([1], [])
    assert engine.statistics().revoked == 0


def test_an_early_picture_that_is_lost_is_taken_back_without_blame(
    engine: Engine, clock: FakeClock
) -> None:
    subscriber = early(engine)
    clock.advance(DEADLINE_S + 0.01)
    assert (subscriber.never_written, subscriber.taken_back) == ([1], [])


def test_nothing_is_announced_early_while_in_doubt(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = early(engine, credits=4)
    clock.advance(DEADLINE_S + 0.01)
    subscriber.fences.clear()
    assert source.is_writing
    assert subscriber.fences == []
    finish(clock, source)
    assert subscriber.sequences[:1] == [2]


# -- memory that somebody may read who may not any more ---------------------------------------


def test_slots_that_a_cut_off_client_knows_are_replaced_when_they_are_free(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=1)
    finish(clock, source)
    generation = subscriber.pictures[0].slot.generation
    known = list(source.memories)
    engine.taint([(generation, index) for index in range(POOL_SIZE)])
    for _ in range(5 * POOL_SIZE):
        clock.advance(0.5)
        subscriber.release(engine)
        finish(clock, source)
    used = [job.memory for job in source.jobs[-POOL_SIZE:]]
    assert not set(map(id, known)) & set(map(id, used))


def test_replaced_slots_are_told_of(engine: Engine, clock: FakeClock, source: FakeSource) -> None:
    subscriber = subscribed(engine, credits=1)
    finish(clock, source)
    generation = subscriber.pictures[0].slot.generation
    engine.taint([(generation, 1)])
    for _ in range(3):
        subscriber.release(engine)
        finish(clock, source)
    assert isinstance(engine.outlet, FakeOutlet)
    assert ("replaced", generation, 1) in engine.outlet.news


def test_the_display_is_given_back_a_while_after_a_failure(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.commit_error = OSError(errno.EINVAL, "Invalid argument")
    subscribed(engine)
    clock.advance(LINGER_S + 1)
    assert not source.is_attached


# -- captures that never end ------------------------------------------------------------------


def lose(clock: FakeClock, times: int = 1) -> None:
    clock.advance(times * DEADLINE_S + 0.01)


def test_a_capture_is_not_lost_before_its_deadline(engine: Engine, clock: FakeClock) -> None:
    subscribed(engine)
    clock.advance(DEADLINE_S - 0.01)
    assert engine.statistics().lost == 0


def test_a_capture_whose_fence_ended_in_time_is_not_lost_because_the_daemon_was_stopped(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    source.jobs[0].fence.end_unheard()
    clock.advance(2 * DEADLINE_S)
    assert subscriber.sequences == [1]
    assert engine.statistics().lost == 0


def test_a_slow_mode_has_a_deadline_of_four_frames(
    make: Callable[[FakeSource, Policy], Engine], clock: FakeClock
) -> None:
    source = FakeSource(Geometry(64, 48, 1000, 0x34325258, 0))  # one frame a second
    engine = make(source, Policy(fence_deadline_s=1.0))
    subscribed(engine)
    clock.advance(3.9)
    assert engine.statistics().lost == 0
    clock.advance(0.2)
    assert engine.statistics().lost == 1


def test_a_lost_capture_is_counted_and_its_subscriber_told(
    engine: Engine, clock: FakeClock
) -> None:
    subscriber = subscribed(engine)
    lose(clock)
    statistics = engine.statistics()
    assert (statistics.lost, statistics.missed, statistics.captured) == (1, 1, 0)
    assert subscriber.states == ["out-of-step"]
    assert subscriber.errors == []


def test_after_a_lost_capture_the_next_is_a_proof_in_poisoned_memory(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine)
    lose(clock)
    memory = source.jobs[1].memory
    assert memory.is_poisoned()
    assert memory is not source.jobs[0].memory


def test_captures_that_are_lost_now_and_then_never_use_the_pool_up(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    for round_ in range(1, 3 * POOL_SIZE):
        lose(clock)
        finish(clock, source)
        assert subscriber.sequences == [2 * round_]
        subscriber.release(engine)
    assert (engine.pool and len(engine.pool)) == POOL_SIZE
    assert sum(not memory.is_closed for memory in source.memories) == POOL_SIZE


def test_clients_that_keep_what_was_lost_are_not_the_end_of_all_memory(
    engine: Engine, clock: FakeClock, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retired, "_references", lambda fd: 2)
    subscriber = subscribed(engine)
    while not subscriber.errors:
        lose(clock)
        if source.is_writing and not subscriber.errors:
            finish(clock, source)
            subscriber.release(engine)
    assert subscriber.errors[0].code == "no-memory"
    assert len(source.memories) <= (2 + retired.MOST_POOLS) * POOL_SIZE


def test_a_buffer_that_was_lost_is_never_written_again(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=2 * POOL_SIZE)
    lose(clock)
    for _ in range(2 * POOL_SIZE):
        finish(clock, source)
    assert source.jobs[0].memory not in [job.memory for job in source.jobs[1:]]


def test_without_memory_in_their_place_lost_buffers_end_the_stream_with_a_reason(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    source.allocate_error = OSError(errno.ENOMEM, "Out of memory")
    for _ in range(POOL_SIZE - RESERVE - 1):
        lose(clock)
        finish(clock, source)
        subscriber.release(engine)
    assert subscriber.errors == []
    lose(clock)
    assert [error.code for error in subscriber.errors] == ["no-memory"]
    assert not source.is_attached


def test_a_proof_that_comes_back_written_is_delivered_and_ends_the_doubt(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=2)
    lose(clock)
    finish(clock, source)
    assert subscriber.sequences == [2]
    assert subscriber.states == ["out-of-step", ""]
    finish(clock, source)
    assert not source.jobs[2].memory.is_poisoned()


def test_a_proof_that_signals_unwritten_is_never_delivered(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    lose(clock)
    source.forgets_to_write = True
    finish(clock, source)
    assert subscriber.pictures == []
    assert source.jobs[1].memory not in [job.memory for job in source.jobs[2:]]
    assert len(source.jobs) == 3, "and the next proof is under way"


def test_without_a_proof_the_output_is_given_up_with_a_reason(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    for _ in range(1 + POLICY.proofs):
        lose(clock)
    assert [error.code for error in subscriber.errors] == ["out-of-step"]
    assert [type(error) for error in subscriber.errors] == [CaptureLostError]
    assert not source.is_attached
    assert engine.geometry is None


def test_an_output_that_was_given_up_begins_with_a_proof(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine)
    for _ in range(1 + POLICY.proofs):
        lose(clock)
    subscriber = subscribed(engine)
    assert source.jobs[-1].memory.is_poisoned()
    finish(clock, source)
    assert len(subscriber.pictures) == 1


def test_a_lost_captures_memory_is_never_written_to_again(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    lost = source.jobs[0].memory
    clock.advance(DEADLINE_S + 0.01)
    for _ in range(2 * POOL_SIZE):
        finish(clock, source)
        subscriber.release(engine)
    assert lost not in [job.memory for job in source.jobs[1:]]


def test_a_fence_that_signals_after_the_deadline_delivers_nothing(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    clock.advance(DEADLINE_S + 0.01)
    source.jobs[0].fence.signal()
    clock.advance(1)
    assert subscriber.pictures == []
    assert engine.statistics().captured == 0


def test_a_capture_that_ended_in_time_is_not_lost_later(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    finish(clock, source)
    clock.advance(2 * DEADLINE_S)
    assert engine.statistics().lost == 0
    assert subscriber.errors == []


# -- a driver whose fences may end well though nothing was written -------------------------------

SUSPICIOUS = POLICY._replace(proves_each=True)


def test_a_capture_that_was_not_written_is_announced_to_nobody(
    make: Callable[[FakeSource, Policy], Engine], clock: FakeClock, source: FakeSource
) -> None:
    engine = make(source, SUSPICIOUS)
    subscriber = subscribed(engine, credits=4)
    finish(clock, source)
    assert subscriber.sequences == [1]
    source.forgets_to_write = True
    finish(clock, source)
    assert subscriber.sequences == [1]
    assert subscriber.states == ["out-of-step"]


def test_a_source_that_comes_later_brings_its_driver_s_suspicion_along(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    take_away(engine, source)
    bring_back(engine, source, SUSPICIOUS)
    source.forgets_to_write = True
    finish(clock, source)
    assert subscriber.sequences == []


# -- a driver whose fence comes a vblank after the flip ------------------------------------------


@pytest.fixture
def pipelined(
    make: Callable[[FakeSource, Policy], Engine], source: FakeSource
) -> Iterator[Engine]:
    source.most_at_once = 2
    with source.tell_flips():
        yield make(source, POLICY._replace(pace=Pace.FLIP))


def flip(clock: FakeClock, source: FakeSource) -> None:
    source.flip()
    clock.advance()


def test_the_next_job_is_committed_at_the_flip_and_does_not_wait_for_the_fence(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(pipelined, credits=4)
    flip(clock, source)
    assert [job.number for job in source.under_way] == [1, 2]


def test_a_fence_that_came_for_the_job_behind_announces_nothing(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(pipelined, credits=4)
    flip(clock, source)
    source.forgets_to_write = True
    finish(clock, source)
    assert subscriber.sequences == []
    assert subscriber.states == ["out-of-step"]


def test_an_early_frame_whose_fence_came_for_the_job_behind_is_taken_back(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = early(pipelined, credits=4)
    flip(clock, source)
    source.forgets_to_write = True
    finish(clock, source)
    assert subscriber.never_written[0] == 1


def test_no_job_is_committed_before_the_flip_of_the_last_one(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(pipelined, credits=4)
    clock.advance(0.5)
    assert len(source.jobs) == 1


def test_no_more_than_two_jobs_are_under_way(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(pipelined, credits=4)
    flip(clock, source)
    flip(clock, source)
    assert len(source.jobs) == 2


def test_pictures_of_overlapping_jobs_are_delivered_in_their_order(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(pipelined, credits=4)
    for _ in range(3):
        flip(clock, source)
        finish(clock, source)
    assert [picture.sequence for picture in subscriber.pictures] == [1, 2, 3]


def test_a_fence_that_ends_before_its_flip_does_not_stop_the_stream(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(pipelined, credits=4)
    finish(clock, source)
    assert [job.number for job in source.under_way] == [2]


def test_each_of_two_jobs_has_its_own_deadline(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(pipelined, credits=4)
    clock.advance(DEADLINE_S / 2)
    flip(clock, source)
    finish(clock, source)
    clock.advance(DEADLINE_S * 0.9)
    assert pipelined.statistics().lost == 0
    clock.advance(DEADLINE_S * 0.2)
    assert pipelined.statistics().lost == 1
    assert [picture.sequence for picture in subscriber.pictures] == [1]


def test_a_lost_job_takes_the_one_behind_it_along_and_leaves_one_proof_at_a_time(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(pipelined, credits=4)
    flip(clock, source)
    doubtful = [job.memory for job in source.under_way]
    clock.advance(DEADLINE_S)
    (proof,) = source.under_way
    assert proof.memory not in doubtful
    assert proof.memory.is_poisoned()
    flip(clock, source)
    assert source.under_way == [proof]
    assert (pipelined.statistics().lost, pipelined.statistics().missed) == (1, 2)
    assert subscriber.pictures == []


def test_detaching_waits_for_both_jobs(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(pipelined, credits=4)
    flip(clock, source)
    fences = [job.fence for job in source.under_way]
    for fence in fences:
        fence.ends_while_waited_for = True
    pipelined.detach()
    assert all(fence.waited_s for fence in fences)
    assert all(memory.is_closed for memory in source.memories)
    assert clock.watched == frozenset()


def test_a_commit_that_is_refused_behind_a_job_waits_for_that_and_looks_anew(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(pipelined, credits=4)
    source.under_way[0].fence.ends_while_waited_for = True
    source.refusals = 1
    flip(clock, source)
    flip(clock, source)
    finish(clock, source)
    assert len(subscriber.pictures) == 1
    assert subscriber.errors == []


def test_with_nobody_left_nothing_is_committed_at_a_flip(
    pipelined: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(pipelined, credits=4)
    pipelined.unsubscribe(subscriber)
    flip(clock, source)
    assert len(source.jobs) == 1


# -- a source that goes and comes ---------------------------------------------------------------


NO_CARD = CaptureLostError("the card is gone", code="no-card")


def take_away(engine: Engine, source: FakeSource) -> None:
    """Let the source go as its card goes: nothing can be attached until another comes."""
    source.attach_error = NO_CARD
    engine.source_went(NO_CARD)


def bring_back(engine: Engine, source: FakeSource, policy: Policy = POLICY) -> None:
    source.attach_error = None
    engine.source_came("HDMI-A-1", policy)


def test_when_the_source_goes_its_memory_goes_and_the_subscribers_stay(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    finish(clock, source)
    take_away(engine, source)
    assert all(memory.is_closed for memory in source.memories)
    assert not source.is_attached
    assert subscriber.states == ["no-card"]
    assert (subscriber.errors, engine.subscriber_count) == ([], 1)
    assert clock.watched == frozenset()


def test_nothing_is_tried_while_the_source_is_away(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    take_away(engine, source)
    attached, tried = source.attach_count, source.attempts
    clock.advance(3600)
    assert (source.attach_count, source.attempts) == (attached, tried)
    assert subscriber.states == ["no-card"]
    assert subscriber.errors == []


def test_when_the_source_comes_back_frames_of_a_new_generation_follow(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    finish(clock, source)
    take_away(engine, source)
    bring_back(engine, source)
    finish(clock, source)
    assert subscriber.states == ["no-card", "reshaped", ""]
    assert [p.slot.generation for p in subscriber.pictures] == [1, 2]


def test_a_source_that_comes_back_dark_is_waited_for_as_one_that_was_switched_off(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    take_away(engine, source)
    source.attach_error = OutputOffError("HDMI-A-1 is off")
    engine.source_came("HDMI-A-1", POLICY)
    clock.advance(60)
    assert subscriber.states == ["no-card", "output-off"]
    source.attach_error = None
    clock.advance(1)
    finish(clock, source)
    assert subscriber.states == ["no-card", "output-off", "reshaped", ""]
    assert len(subscriber.pictures) == 1


def test_who_subscribes_while_the_source_is_away_is_told_why(
    engine: Engine, source: FakeSource
) -> None:
    waiting = subscribed(engine)
    take_away(engine, source)
    with pytest.raises(CaptureLostError, match="the card is gone"):
        engine.subscribe(FakeSubscriber())
    assert waiting.states == ["no-card"]
    bring_back(engine, source)
    subscribed(engine)
    assert engine.subscriber_count == 2


def test_a_source_that_comes_while_nobody_waits_is_not_attached(
    engine: Engine, source: FakeSource
) -> None:
    take_away(engine, source)
    bring_back(engine, source)
    assert source.attach_count == 0


def test_the_last_who_leaves_while_the_source_is_away_leaves_nothing_behind(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    take_away(engine, source)
    engine.unsubscribe(subscriber)
    bring_back(engine, source)
    clock.advance(60)
    assert source.attach_count == 1
    assert engine.problem is None


def test_another_reason_for_the_absence_is_told_and_the_same_is_not(
    engine: Engine, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    take_away(engine, source)
    engine.source_went(NO_CARD)
    engine.source_went(CaptureLostError("not yet ours", code="not-allowed"))
    assert subscriber.states == ["no-card", "not-allowed"]


def test_a_source_that_goes_at_a_commit_is_waited_for_once(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    source.commit_error = OSError(errno.ENODEV, "No such device")
    clock.call_later(0, lambda: take_away(engine, source))
    finish(clock, source)
    clock.advance(60)
    source.commit_error = None
    bring_back(engine, source)
    finish(clock, source)
    assert subscriber.states == ["no-card", "reshaped", ""]


def test_doubt_does_not_outlive_the_source(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=4)
    clock.advance(DEADLINE_S)
    assert engine.is_doubted
    take_away(engine, source)
    bring_back(engine, source)
    assert not engine.is_doubted


def test_another_card_brings_its_drivers_pace_along(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.most_at_once = 2
    subscribed(engine, credits=4)
    take_away(engine, source)
    with source.tell_flips():
        bring_back(engine, source, Policy(pace=Pace.FLIP))
        flip(clock, source)
        assert len(source.under_way) == 2
        engine.close()


def test_twenty_rounds_leave_no_memory_and_no_watch(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine, credits=4)
    for _ in range(20):
        finish(clock, source)
        take_away(engine, source)
        assert [m for m in source.memories if not m.is_closed] == []
        subscriber.release(engine)
        bring_back(engine, source)
    assert len([m for m in source.memories if not m.is_closed]) == POOL_SIZE
    assert len(clock.watched) == 1
    assert subscriber.errors == []


# -- pauses between captures ------------------------------------------------------------------


def test_the_next_commit_waits_for_the_driver_to_settle(
    make: Callable[[FakeSource, Policy], Engine], clock: FakeClock, source: FakeSource
) -> None:
    subscribed(make(source, Policy(settle_s=0.001)), credits=4)
    finish(clock, source)
    assert len(source.jobs) == 1
    clock.advance(0.001)
    assert len(source.jobs) == 2


def test_a_release_does_not_cut_the_settling_short(
    make: Callable[[FakeSource, Policy], Engine], clock: FakeClock, source: FakeSource
) -> None:
    engine = make(source, Policy(settle_s=0.001))
    subscriber = subscribed(engine, credits=4)
    finish(clock, source)
    subscriber.release(engine)
    assert len(source.jobs) == 1
    clock.advance(0.001)
    assert len(source.jobs) == 2


def test_a_new_subscriber_does_not_cut_the_settling_short(
    make: Callable[[FakeSource, Policy], Engine], clock: FakeClock, source: FakeSource
) -> None:
    engine = make(source, Policy(settle_s=0.001))
    subscribed(engine, credits=4)
    finish(clock, source)
    subscribed(engine)
    assert len(source.jobs) == 1


# -- attaching and detaching ------------------------------------------------------------------


def test_many_subscribers_attach_it_once(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    for _ in range(5):
        engine.unsubscribe(subscribed(engine))
        finish(clock, source)
    assert source.attach_count == 1
    assert engine.statistics().attached == 1


def test_it_stays_attached_for_the_linger_time_and_no_longer(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    engine.unsubscribe(subscribed(engine))
    finish(clock, source)
    clock.advance(LINGER_S - 0.01)
    assert source.is_attached
    clock.advance(0.02)
    assert not source.is_attached


def test_a_new_linger_time_holds_for_the_next_who_leaves(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    engine.set_linger(2 * LINGER_S)
    engine.unsubscribe(subscribed(engine))
    finish(clock, source)
    clock.advance(2 * LINGER_S - 0.01)
    assert source.is_attached
    clock.advance(0.02)
    assert not source.is_attached


def test_it_stays_attached_while_another_subscriber_is_there(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=0)
    engine.unsubscribe(subscribed(engine, credits=0))
    clock.advance(2 * LINGER_S)
    assert source.is_attached


def test_a_subscriber_in_the_linger_time_keeps_it_attached(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    engine.unsubscribe(subscribed(engine, credits=0))
    clock.advance(LINGER_S - 1)
    subscribed(engine, credits=0)
    clock.advance(2 * LINGER_S)
    assert source.is_attached
    assert source.attach_count == 1


def test_detaching_in_mid_capture_stops_waiting_for_it(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine)
    engine.detach()
    assert not source.is_attached
    assert clock.watched == frozenset()
    assert source.jobs[0].fence.is_closed
    clock.advance(2 * DEADLINE_S)
    assert engine.statistics().lost == 0


def test_detaching_waits_for_the_capture_that_is_about_to_end(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine)
    fence = source.jobs[0].fence
    fence.ends_while_waited_for = True
    engine.detach()
    assert 0 < fence.waited_s <= 1
    assert fence.is_closed
    assert clock.watched == frozenset()


def test_detaching_frees_all_memory(engine: Engine, clock: FakeClock, source: FakeSource) -> None:
    subscribed(engine, credits=2)
    finish(clock, source)
    engine.detach()
    assert len(source.memories) == POOL_SIZE
    assert all(memory.is_closed for memory in source.memories)


def test_a_picture_of_before_may_still_be_released_after_detaching(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscriber = subscribed(engine)
    finish(clock, source)
    engine.detach()
    subscriber.release(engine)
    assert source.memories[0].is_closed


def test_a_picture_of_an_earlier_generation_does_not_disturb_the_pool_when_released(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    early = subscribed(engine)
    finish(clock, source)
    engine.unsubscribe(early)
    engine.detach()
    late = subscribed(engine)
    finish(clock, source)
    early.release(engine)
    assert late.pictures[0].slot.readers == 1


def test_attaching_again_begins_a_new_generation(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    early = subscribed(engine)
    finish(clock, source)
    engine.unsubscribe(early)
    engine.detach()
    late = subscribed(engine)
    finish(clock, source)
    assert late.pictures[0].slot.generation > early.pictures[0].slot.generation
    assert late.sequences == [2]


def test_closing_ends_all_subscriptions_and_detaches(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    subscribed(engine, credits=4)
    engine.close()
    clock.advance(60)
    assert engine.subscriber_count == 0
    assert not source.is_attached
    assert len(source.jobs) == 1


def test_closing_and_detaching_twice_is_fine(engine: Engine, source: FakeSource) -> None:
    subscribed(engine)
    engine.detach()
    engine.detach()
    engine.close()
    engine.close()
    assert not source.is_attached


# -- attaching that fails ---------------------------------------------------------------------


def test_a_source_that_cannot_attach_refuses_the_subscriber(
    engine: Engine, source: FakeSource
) -> None:
    source.attach_error = CaptureBusyError("the card has another master", code="another-master")
    with pytest.raises(CaptureBusyError) as caught:
        subscribed(engine)
    assert caught.value.code == "another-master"
    assert engine.subscriber_count == 0


def test_a_kernel_error_of_attaching_is_a_capture_error_for_the_subscriber(
    engine: Engine, source: FakeSource
) -> None:
    source.attach_error = OSError(errno.EBUSY, "Device or resource busy", "/dev/dri/card0")
    with pytest.raises(CaptureError) as caught:
        subscribed(engine)
    assert caught.value.__cause__ is source.attach_error


def test_an_error_of_attaching_that_says_more_stays_what_it_is(
    engine: Engine, source: FakeSource
) -> None:
    source.attach_error = NotAllowedError("this process may not become master", "run as root")
    with pytest.raises(NotAllowedError) as caught:
        subscribed(engine)
    assert caught.value.code == "not-allowed"


def test_a_later_subscriber_may_succeed_where_one_failed(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    source.attach_error = CaptureBusyError("the card has another master")
    with pytest.raises(CaptureBusyError):
        subscribed(engine)
    source.attach_error = None
    subscriber = subscribed(engine)
    finish(clock, source)
    assert subscriber.sequences == [1]


def test_no_memory_for_the_pool_refuses_the_subscriber_and_detaches(
    engine: Engine, source: FakeSource
) -> None:
    source.allocate_error = OSError(errno.ENOMEM, "Out of memory")
    with pytest.raises(CaptureError) as caught:
        subscribed(engine)
    assert caught.value.code == "no-memory"
    assert caught.value.__cause__ is source.allocate_error
    assert not source.is_attached
    assert all(memory.is_closed for memory in source.memories)


def test_any_other_failure_to_allocate_detaches_too(engine: Engine, source: FakeSource) -> None:
    source.allocate_error = CaptureLostError("the card is gone")
    with pytest.raises(CaptureLostError):
        subscribed(engine)
    assert not source.is_attached


# -- a source that changes under us --------------------------------------------------------------


def test_a_card_that_is_gone_does_not_keep_the_engine_from_detaching(
    engine: Engine, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribed(engine)
    close = source.memories[-1].close

    def gone() -> None:
        close()
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(source.memories[-1], "close", gone)
    engine.detach()
    assert not source.is_attached
    assert all(memory.is_closed for memory in source.memories)
    monkeypatch.undo()


def test_a_client_that_has_waited_a_lease_long_is_served_like_a_known_one(
    engine: Engine, clock: FakeClock, source: FakeSource
) -> None:
    keepers = [subscribed(engine, credits=1) for _ in range(1)]
    for _ in range(POOL_SIZE - RESERVE - 1):
        finish(clock, source)
        keepers.append(subscribed(engine, credits=1))
    newcomer = subscribed(engine, credits=1, is_prompt=False)
    finish(clock, source)
    clock.advance(LEASE_S + 0.01)
    engine.wake()
    if source.is_writing:
        finish(clock, source)
    assert len(newcomer.pictures) == 1
