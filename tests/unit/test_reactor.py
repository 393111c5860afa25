# SPDX-License-Identifier: MIT
"""captured.reactor: file descriptors, timers and signals in one loop."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from captured.reactor import READABLE, WRITABLE, Reactor, Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATER_NS = 3600 * 1_000_000_000
MANY, FEW = 200, 20


class Pipe:
    """A pipe with something to read in it, if wanted."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def fill(self) -> None:
        os.write(self.write_end, b"x")

    def empty(self) -> None:
        os.read(self.read_end, 16)

    def hang_up(self) -> None:
        os.close(self.write_end)
        self.write_end = -1

    def close(self) -> None:
        for fd in (self.read_end, self.write_end):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    with Reactor() as made:
        yield made


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe, Pipe]]:
    made = (Pipe(), Pipe())
    yield made
    for pipe in made:
        pipe.close()


# -- timers -----------------------------------------------------------------------------------


def test_timers_run_in_the_order_of_their_times(reactor: Reactor) -> None:
    ran: list[int] = []
    for deadline in (3, 1, 2):
        reactor.call_at(deadline, lambda deadline=deadline: ran.append(deadline))  # type: ignore[misc]
    reactor.run_once(0)
    assert ran == [1, 2, 3]


def test_timers_of_the_same_time_run_in_the_order_they_were_made(reactor: Reactor) -> None:
    ran: list[str] = []
    reactor.call_at(1, lambda: ran.append("first"))
    reactor.call_at(1, lambda: ran.append("second"))
    reactor.run_once(0)
    assert ran == ["first", "second"]


def test_a_timer_runs_once(reactor: Reactor) -> None:
    ran: list[str] = []
    reactor.call_at(1, lambda: ran.append("timer"))
    reactor.run_once(0)
    reactor.run_once(0)
    assert ran == ["timer"]


def test_a_timer_does_not_run_before_its_time(reactor: Reactor) -> None:
    ran: list[str] = []
    reactor.call_at(reactor.now_ns() + LATER_NS, lambda: ran.append("timer"))
    reactor.run_once(0)
    assert ran == []


def test_waiting_ends_when_a_timer_is_due(reactor: Reactor) -> None:
    ran: list[int] = []
    start = reactor.now_ns()
    reactor.call_later(0.005, lambda: ran.append(reactor.now_ns()))
    reactor.run_once()
    assert len(ran) == 1
    assert ran[0] >= start + 5_000_000


def test_a_cancelled_timer_does_not_run(reactor: Reactor) -> None:
    ran: list[str] = []
    reactor.call_at(1, lambda: ran.append("timer")).cancel()
    reactor.run_once(0)
    assert ran == []


def test_a_timer_may_cancel_another_that_is_due_too(reactor: Reactor) -> None:
    ran: list[str] = []
    victim = reactor.call_at(2, lambda: ran.append("victim"))
    reactor.call_at(1, victim.cancel)
    reactor.run_once(0)
    assert ran == []


def test_cancelling_a_timer_that_ran_and_cancelling_twice_is_fine(reactor: Reactor) -> None:
    ran: list[str] = []
    timer = reactor.call_at(1, lambda: ran.append("timer"))
    reactor.run_once(0)
    timer.cancel()
    timer.cancel()
    assert ran == ["timer"]


def test_a_cancelled_timer_does_not_end_the_waiting(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    ran: list[str] = []
    reactor.call_at(1, lambda: ran.append("cancelled")).cancel()
    reactor.call_later(0.005, lambda: ran.append("kept"))
    reactor.run_once()
    assert ran == ["kept"]


def test_a_timer_may_make_another(reactor: Reactor) -> None:
    ran: list[str] = []

    def first() -> None:
        reactor.call_at(2, lambda: ran.append("second"))

    reactor.call_at(1, first)
    reactor.run_once(0)
    reactor.run_once(0)
    assert ran == ["second"]


def test_its_time_is_the_monotonic_clock(reactor: Reactor) -> None:
    before = time.monotonic_ns()
    now = reactor.now_ns()
    assert before <= now <= time.monotonic_ns()


# -- file descriptors -------------------------------------------------------------------------


def test_a_readable_fd_is_called_back(reactor: Reactor, pipes: tuple[Pipe, Pipe]) -> None:
    got: list[int] = []
    reactor.watch(pipes[0].read_end, got.append)
    reactor.run_once(0)
    assert got == []
    pipes[0].fill()
    reactor.run_once(0)
    assert got == [READABLE]


def test_a_fd_is_called_back_for_as_long_as_it_is_readable(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    got: list[int] = []
    reactor.watch(pipes[0].read_end, got.append)
    pipes[0].fill()
    reactor.run_once(0)
    reactor.run_once(0)
    pipes[0].empty()
    reactor.run_once(0)
    assert len(got) == 2


def test_a_hang_up_is_called_back(reactor: Reactor, pipes: tuple[Pipe, Pipe]) -> None:
    got: list[int] = []
    reactor.watch(pipes[0].read_end, got.append)
    pipes[0].hang_up()
    reactor.run_once(0)
    assert got == [select.EPOLLHUP]


def test_only_the_events_that_were_asked_for_count(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    got: list[int] = []
    reactor.watch(pipes[0].write_end, got.append)
    reactor.run_once(0)
    assert got == []
    reactor.change(pipes[0].write_end, READABLE | WRITABLE)
    reactor.run_once(0)
    assert got == [WRITABLE]


def test_an_unwatched_fd_is_not_called_back(reactor: Reactor, pipes: tuple[Pipe, Pipe]) -> None:
    got: list[int] = []
    reactor.watch(pipes[0].read_end, got.append)
    pipes[0].fill()
    reactor.unwatch(pipes[0].read_end)
    reactor.run_once(0)
    assert got == []


def test_unwatching_what_is_not_watched_is_fine(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    got: list[int] = []
    reactor.watch(pipes[0].read_end, got.append)
    reactor.unwatch(pipes[1].read_end)
    pipes[0].fill()
    reactor.run_once(0)
    assert got == [READABLE]


def test_a_fd_that_was_unwatched_earlier_in_the_batch_is_not_called_back(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    got: list[int] = []

    def end_both(events: int) -> None:
        got.append(events)
        for pipe in pipes:
            reactor.unwatch(pipe.read_end)

    for pipe in pipes:
        pipe.fill()
        reactor.watch(pipe.read_end, end_both)
    reactor.run_once(0)
    assert got == [READABLE]


def test_a_fd_may_be_watched_from_a_callback(reactor: Reactor, pipes: tuple[Pipe, Pipe]) -> None:
    got: list[str] = []

    def watch_other(events: int) -> None:
        reactor.unwatch(pipes[0].read_end)
        reactor.watch(pipes[1].read_end, lambda _: got.append("other"))

    for pipe in pipes:
        pipe.fill()
    reactor.watch(pipes[0].read_end, watch_other)
    reactor.run_once(0)
    reactor.run_once(0)
    assert got == ["other"]


def test_what_is_readable_comes_before_what_is_due(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    got: list[str] = []
    reactor.call_at(1, lambda: got.append("timer"))
    reactor.watch(pipes[0].read_end, lambda _: got.append("fd"))
    pipes[0].fill()
    reactor.run_once(0)
    assert got == ["fd", "timer"]


# -- what comes first --------------------------------------------------------------------------


def noting(
    ran: list[str], name: str, pipe: Pipe, *, then: Pipe | None = None
) -> Callable[[int], None]:
    """Return a callback that notes its name, empties its pipe, and fills another."""

    def call(events: int) -> None:
        ran.append(name)
        pipe.empty()
        if then is not None:
            then.fill()

    return call


def test_what_comes_first_is_called_back_before_all_others(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    ran: list[str] = []
    client, fence = pipes
    reactor.watch(client.read_end, noting(ran, "client", client))
    reactor.watch_first(fence.read_end, noting(ran, "fence", fence))
    client.fill()
    fence.fill()
    for _ in range(3):
        reactor.run_once(0.01)
    assert ran == ["fence", "client"]


def test_clients_wait_for_a_moment_after_what_came_first(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    client, fence = pipes
    times: list[int] = []

    def signalled(events: int) -> None:
        fence.empty()
        times.append(reactor.now_ns())
        client.fill()  # it answers at once

    def answered(events: int) -> None:
        client.empty()
        times.append(reactor.now_ns())

    reactor.watch(client.read_end, answered)
    reactor.watch_first(fence.read_end, signalled)
    fence.fill()
    while len(times) < 2:
        reactor.run_once(1)
    assert times[1] - times[0] >= 900_000, "nanoseconds"


def test_what_comes_first_does_not_wait_for_the_moment_to_pass(
    reactor: Reactor, pipes: tuple[Pipe, Pipe]
) -> None:
    ran: list[str] = []
    one, other = pipes
    reactor.watch_first(one.read_end, noting(ran, "one", one, then=other))
    reactor.watch_first(other.read_end, noting(ran, "other", other))
    one.fill()
    reactor.run_once(0)
    reactor.run_once(0)
    assert ran == ["one", "other"]


def test_what_comes_first_waits_for_few_of_many_others(reactor: Reactor) -> None:
    ran: list[str] = []
    fence, *others = pipes = [Pipe() for _ in range(1 + MANY)]
    reactor.watch_first(fence.read_end, noting(ran, "fence", fence))
    for number, pipe in enumerate(others):
        then = fence if number == 0 else None
        reactor.watch(pipe.read_end, noting(ran, "other", pipe, then=then))
        pipe.fill()
    reactor.run_once(0)
    for pipe in pipes:
        pipe.close()
    assert ran.count("other") == MANY
    assert ran.index("fence") <= FEW


def test_what_comes_first_may_be_unwatched(reactor: Reactor, pipes: tuple[Pipe, Pipe]) -> None:
    ran: list[str] = []
    pipe, _ = pipes
    reactor.watch_first(pipe.read_end, lambda _: ran.append("fence"))
    reactor.unwatch(pipe.read_end)
    pipe.fill()
    reactor.run_once(0)
    reactor.watch(pipe.read_end, noting(ran, "like any other", pipe))
    reactor.run_once(0)
    assert ran == ["like any other"]


# -- signals ----------------------------------------------------------------------------------


@pytest.mark.timeout(10)
def test_a_signal_ends_the_waiting_and_is_called_back(reactor: Reactor) -> None:
    got: list[int] = []
    reactor.handle_signals((signal.SIGUSR1, signal.SIGUSR2), got.append)
    killer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR2))
    killer.start()
    while not got:
        reactor.run_once()
    killer.join()
    assert got == [signal.SIGUSR2]


def test_a_signal_is_called_back_from_the_loop_only(reactor: Reactor) -> None:
    got: list[int] = []
    reactor.handle_signals((signal.SIGUSR1,), got.append)
    signal.raise_signal(signal.SIGUSR1)
    assert got == []
    reactor.run_once(0)
    assert got == [signal.SIGUSR1]


class Signalling(Timer):
    """A timer during the look at which a signal comes."""

    @property
    def callback(self) -> Callable[[], None] | None:
        signal.raise_signal(signal.SIGUSR1)
        return None

    @callback.setter
    def callback(self, callback: Callable[[], None] | None) -> None:
        """Have none."""


def test_a_signal_that_comes_while_timers_are_tidied_is_not_lost(reactor: Reactor) -> None:
    got: list[int] = []
    reactor.handle_signals((signal.SIGUSR1,), got.append)
    reactor._timers.append((0, -1, Signalling(0, lambda: None)))
    for _ in range(MANY):
        reactor.call_at(LATER_NS, lambda: None).cancel()
    reactor.run_once(0)
    assert got == [signal.SIGUSR1]


def test_closing_gives_the_signals_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Reactor() as reactor:
        reactor.handle_signals((signal.SIGUSR1,), lambda _: None)
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_signals_may_be_asked_for_in_more_than_one_call() -> None:
    got: list[int] = []
    with Reactor() as reactor:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            reactor.handle_signals((number,), got.append)
            signal.raise_signal(number)
            reactor.run_once(0)
    assert got == [signal.SIGUSR1, signal.SIGUSR2]
    assert signal.set_wakeup_fd(-1) == -1


# -- running ----------------------------------------------------------------------------------


def test_it_runs_until_it_is_stopped(reactor: Reactor) -> None:
    ran: list[int] = []

    def again() -> None:
        ran.append(len(ran))
        reactor.call_later(0, again)
        if len(ran) == 3:
            reactor.stop()

    reactor.call_later(0, again)
    reactor.run()
    assert ran == [0, 1, 2]


def test_closing_twice_is_fine() -> None:
    reactor = Reactor()
    reactor.close()
    reactor.close()
    with pytest.raises(ValueError, match="closed"):
        reactor.run_once(0)


def test_a_timer_far_off_is_no_overflow(reactor: Reactor) -> None:
    reactor.call_later(10 * 365 * 86400, lambda: None).cancel()
    reactor.call_later(10 * 365 * 86400, lambda: None)
    reactor.run_once(0)


def test_cancelled_timers_far_off_do_not_pile_up(reactor: Reactor) -> None:
    for _ in range(10_000):
        reactor.call_later(3600, lambda: None).cancel()
    assert len(reactor._timers) < 200
