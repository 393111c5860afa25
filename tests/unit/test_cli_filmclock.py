# SPDX-License-Identifier: MIT
"""The clock of a film: what is repeated, what is left out, so that it lasts as long as it took."""

from __future__ import annotations

import random

import pytest

from capturectl.cli.filmclock import FilmClock

SECOND = 10**9
START = 5 * SECOND


def film(rate_mhz: int, times_ns: list[int]) -> list[int]:
    """Return the number of each frame's picture in a film; -1 where it is left out."""
    clock, found, count = FilmClock(rate_mhz), [], 0
    for time_ns in times_ns:
        lacking = clock.lacking(time_ns)
        if lacking < 0:
            found.append(-1)
            continue
        clock.add(lacking + 1)
        count += lacking + 1
        found.append(count - 1)
    return found


def at(rate_hz: float, *numbers: float) -> list[int]:
    return [round(START + number * SECOND / rate_hz) for number in numbers]


def test_frames_at_the_rate_are_one_picture_each() -> None:
    assert film(60000, at(60, *range(100))) == list(range(100))


def test_a_gap_is_as_long_in_the_film() -> None:
    assert film(60000, at(60, 0, 1, 2, 7, 8)) == [0, 1, 2, 7, 8]


def test_jitter_repeats_and_leaves_out_nothing() -> None:
    jitter = random.Random(1)
    times = at(60, *(number + jitter.uniform(-0.35, 0.35) for number in range(1000)))
    assert film(60000, times) == list(range(1000))


@pytest.mark.parametrize("real_hz", [59.9, 60.1])
def test_a_film_is_as_long_as_it_took_where_the_rate_is_not_quite_the_displays(
    real_hz: float,
) -> None:
    seconds = 100
    shown = film(60000, at(real_hz, *range(round(real_hz * seconds))))
    assert abs(max(shown) + 1 - 60 * seconds) <= 2


def test_a_limit_that_is_no_fraction_of_the_displays_rate_is_kept() -> None:
    vblanks = [-(-number * 60 // 25) for number in range(250)]  # the first that is not too soon
    assert film(25000, at(60, *vblanks)) == list(range(250))


def test_what_is_skipped_is_taken_out_of_the_film() -> None:
    clock = FilmClock(60000)
    clock.lacking(START)
    clock.add()
    clock.skip()
    assert clock.lacking(START + 5 * SECOND) == 0
    clock.add()
    assert clock.lacking(START + 5 * SECOND + SECOND // 10) == 5


@pytest.mark.parametrize("seconds", [-3600, 11, 3600])
def test_hours_are_no_gap_to_be_filled(seconds: int) -> None:
    assert film(60000, [START, START + seconds * SECOND]) == [0, 1]
