# SPDX-License-Identifier: MIT
"""captured.throttle: what one client can write into the log."""

from __future__ import annotations

from captured.throttle import BURST, INTERVAL_S, Throttle

LINE, OTHER_USER, OTHER_LINE = (1000, "%s left"), (1001, "%s left"), (1000, "%s connected")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_through_and_no_more() -> None:
    throttle = Throttle(Clock())
    assert [throttle.admits(LINE) for _ in range(BURST + 2)] == [True] * BURST + [False] * 2


def test_other_users_and_other_lines_have_bursts_of_their_own() -> None:
    throttle = Throttle(Clock())
    for _ in range(BURST + 1):
        throttle.admits(LINE)
    assert throttle.admits(OTHER_USER)
    assert throttle.admits(OTHER_LINE)


def test_a_new_interval_has_a_new_burst() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(BURST + 3):
        throttle.admits(LINE)
    clock.now += INTERVAL_S
    assert throttle.ended() == [(LINE, 3)]
    assert throttle.admits(LINE)


def test_what_was_held_back_is_told_once_and_not_before_the_interval_is_over() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(BURST + 1):
        throttle.admits(LINE)
    clock.now += INTERVAL_S - 0.1
    assert throttle.ended() == []
    clock.now += 0.1
    assert throttle.ended() == [(LINE, 1)]
    assert throttle.ended() == []


def test_nothing_is_told_of_a_burst_that_fitted() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(BURST):
        throttle.admits(LINE)
    clock.now += INTERVAL_S
    assert throttle.ended() == []
