# SPDX-License-Identifier: MIT
"""Waiting for an output, and a series that does not drift; in fake time."""

from __future__ import annotations

import itertools

import pytest

from capturectl.cli.waiting import series, when_active
from capturectl.errors import CaptureBusyError, CaptureError, NoOutputError, OutputOffError


class FakeTime:
    """The time that a program sleeps through."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr("capturectl.cli.waiting.time", fake)
    return fake


# --- an output that is off -------------------------------------------------------------------


def test_an_output_that_is_on_is_not_waited_for(clock: FakeTime) -> None:
    assert (when_active(lambda: "picture", 5), clock.now) == ("picture", 100)


@pytest.mark.parametrize("error", [OutputOffError, CaptureBusyError])
def test_an_output_that_can_be_had_in_time_is_had(
    clock: FakeTime, error: type[CaptureError]
) -> None:
    def step() -> str:
        if clock.now < 103:
            raise error("not yet")
        return "picture"

    assert when_active(step, 5) == "picture"
    assert 103 <= clock.now < 103.2


@pytest.mark.parametrize("wait", [0, 0.25, 5])
def test_an_output_that_stays_off_is_given_up_at_the_deadline(
    clock: FakeTime, wait: float
) -> None:
    def step() -> None:
        raise OutputOffError("it is off")

    with pytest.raises(OutputOffError):
        when_active(step, wait)
    assert clock.now == pytest.approx(100 + wait)


def test_another_failure_is_not_waited_for(clock: FakeTime) -> None:
    def step() -> None:
        raise NoOutputError("none")

    with pytest.raises(NoOutputError):
        when_active(step, 5)
    assert clock.now == 100


# --- a series --------------------------------------------------------------------------------


def times_of(clock: FakeTime, count: int, interval: float, takes: list[float]) -> list[float]:
    """When each picture of a series is due, where each takes so long."""
    lengths = itertools.chain(takes, itertools.repeat(0.0))
    found: list[float] = []
    for number, length in zip(series(count, interval), lengths, strict=False):
        assert number == len(found) + 1
        found.append(round(clock.now - 100, 6))
        clock.now += length
    return found


def test_pictures_come_at_multiples_of_the_interval(clock: FakeTime) -> None:
    assert times_of(clock, 4, 2, [0.5, 1.9, 0.1]) == [0, 2, 4, 6]


def test_the_first_comes_at_once_and_nothing_waits_after_the_last(clock: FakeTime) -> None:
    assert times_of(clock, 1, 10, [1]) == [0]
    assert clock.now == 101


def test_a_picture_that_takes_too_long_does_not_shift_the_others(clock: FakeTime) -> None:
    assert times_of(clock, 4, 2, [0.5, 4.5, 0.5]) == [0, 2, 8, 10]


def test_an_interval_shorter_than_any_clock_can_tell_is_none(clock: FakeTime) -> None:
    assert times_of(clock, 3, 5e-324, [1, 2]) == [0, 1, 3]


def test_without_an_interval_they_follow_each_other(clock: FakeTime) -> None:
    assert times_of(clock, 3, 0, [1, 2]) == [0, 1, 3]
