# SPDX-License-Identifier: MIT
"""captured.capture.alarm: one purpose, one time to ring."""

from __future__ import annotations

import pytest

from captured.capture.alarm import Alarm
from tests.support.fakes import SECOND_NS, START_NS, FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rung(clock: FakeClock) -> list[float]:
    """Seconds after the start at which the alarm rang."""
    return []


@pytest.fixture
def alarm(clock: FakeClock, rung: list[float]) -> Alarm:
    return Alarm(clock, lambda: rung.append((clock.now_ns() - START_NS) / SECOND_NS))


def test_it_rings_once_at_its_time(alarm: Alarm, clock: FakeClock, rung: list[float]) -> None:
    alarm.set_in(2)
    clock.advance(10)
    assert rung == [2]


def test_an_alarm_that_was_never_set_does_not_ring(clock: FakeClock, rung: list[float]) -> None:
    clock.advance(10)
    assert rung == []


def test_put_off_it_rings_at_the_later_time_only(
    alarm: Alarm, clock: FakeClock, rung: list[float]
) -> None:
    alarm.set_in(2)
    clock.advance(1)
    alarm.set_in(2)
    clock.advance(10)
    assert rung == [3]


def test_brought_forward_it_rings_at_the_earlier_time_only(
    alarm: Alarm, clock: FakeClock, rung: list[float]
) -> None:
    alarm.set_in(5)
    alarm.set_in(1)
    clock.advance(10)
    assert rung == [1]


def test_cleared_it_does_not_ring(alarm: Alarm, clock: FakeClock, rung: list[float]) -> None:
    alarm.set_in(2)
    alarm.clear()
    clock.advance(10)
    assert rung == []


def test_cleared_and_set_again_it_rings_at_the_new_time(
    alarm: Alarm, clock: FakeClock, rung: list[float]
) -> None:
    alarm.set_in(2)
    alarm.clear()
    clock.advance(1)
    alarm.set_in(3)
    clock.advance(10)
    assert rung == [4]


def test_it_may_be_set_again_when_it_rings(clock: FakeClock) -> None:
    times: list[int] = []

    def ring() -> None:
        times.append(clock.now_ns())
        if len(times) < 3:
            again.set_in(1)

    again = Alarm(clock, ring)
    again.set_in(1)
    clock.advance(10)
    assert times == [START_NS + second * SECOND_NS for second in (1, 2, 3)]


def test_it_says_whether_it_is_going_to_ring(alarm: Alarm, clock: FakeClock) -> None:
    seen = [alarm.is_set]
    alarm.set_in(1)
    seen.append(alarm.is_set)
    clock.advance(1)
    assert [*seen, alarm.is_set] == [False, True, False]
