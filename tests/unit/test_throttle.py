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
    assert [(line, count) for line, _, count in throttle.ended()] == [(LINE, 3)]
    assert throttle.admits(LINE)


def test_what_was_held_back_is_told_once_and_not_before_the_interval_is_over() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(BURST + 1):
        throttle.admits(LINE)
    clock.now += INTERVAL_S - 0.1
    assert throttle.ended() == []
    clock.now += 0.1
    assert [(line, count) for line, _, count in throttle.ended()] == [(LINE, 1)]
    assert throttle.ended() == []


def test_nothing_is_told_of_a_burst_that_fitted() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(BURST):
        throttle.admits(LINE)
    clock.now += INTERVAL_S
    assert throttle.ended() == []


def test_what_was_held_back_is_told_as_it_was_written_first_in_the_interval() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for interval in ("early", "late"):
        for number in range(BURST + 1):
            if throttle.admits(LINE):
                throttle.note(LINE, f"{interval} {number} left\nand more")
        clock.now += INTERVAL_S
        assert throttle.ended() == [(LINE, f"{interval} 0 left", 1)]


def test_nothing_is_kept_of_an_interval_that_is_over() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    throttle.admits(LINE)
    throttle.note(LINE, "early left")
    clock.now += INTERVAL_S
    throttle.ended()
    assert (len(throttle._said), len(throttle._first)) == (0, 0)
