# SPDX-License-Identifier: MIT
"""captured.capture.timing: how long the last captures took."""

from __future__ import annotations

import statistics

import pytest

from captured.capture.timing import Spread, Timings

MS = 1_000_000
SECOND = 1000 * MS


def noted(*took_ms: int, sent_ms: int = 1) -> Timings:
    """Captures of these durations, one each second."""
    timings = Timings()
    for number, took in enumerate(took_ms):
        asked = number * SECOND
        timings.note(asked, asked + took * MS, asked + (took + sent_ms) * MS)
    return timings


def test_without_captures_all_is_nought() -> None:
    timings = Timings()
    assert timings.commit_to_fence() == timings.fence_to_sent() == Spread(0, 0)
    assert timings.fps_millihertz(SECOND) == 0


def test_the_middle_of_the_durations_is_the_median() -> None:
    took = (5, 1, 9, 3, 7)
    assert noted(*took).commit_to_fence().p50 == statistics.median(took) * MS


def test_one_slow_capture_of_a_hundred_and_one_is_not_in_the_first_ninety_nine() -> None:
    spread = noted(*[2] * 100, 50).commit_to_fence()
    assert spread == Spread(2 * MS, 2 * MS)


def test_two_slow_ones_of_a_hundred_are() -> None:
    assert noted(*[2] * 98, 50, 50).commit_to_fence().p99 == 50 * MS


def test_telling_the_clients_is_timed_from_the_last_write() -> None:
    assert noted(8, 8, 8, sent_ms=3).fence_to_sent() == Spread(3 * MS, 3 * MS)


def test_captures_of_long_ago_are_forgotten() -> None:
    assert noted(*[90] * 10, *[2] * 256).commit_to_fence() == Spread(2 * MS, 2 * MS)


@pytest.mark.parametrize(("since_ms", "fps"), [(0, 2), (999, 1), (1000, 0)])
def test_the_rate_counts_the_last_second(since_ms: int, fps: int) -> None:
    timings = Timings()
    timings.note(0, 10 * SECOND - 500 * MS, 10 * SECOND)
    timings.note(0, 10 * SECOND, 10 * SECOND)
    assert timings.fps_millihertz(10 * SECOND + since_ms * MS) == 1000 * fps
