# SPDX-License-Identifier: MIT
"""captured.drm.modewish: modes as people write them."""

from __future__ import annotations

import pytest

from captured.drm.modewish import ModeWish, is_wish, parse_wish
from tests.support.topology import FULL_HD

NTSC = FULL_HD._replace(clock_khz=148352, mode_type=0x40)
PAL = FULL_HD._replace(hsync_start=2448, hsync_end=2492, htotal=2640, vrefresh_hz=50, mode_type=0)
HD = FULL_HD._replace(name="1280x720", hdisplay=1280, vdisplay=720, clock_khz=74250)


@pytest.mark.parametrize("wish", ["keep", "preferred", "640x480", "640x480@60"])
def test_a_wish_that_means_something_is_one(wish: str) -> None:
    assert is_wish(wish)


@pytest.mark.parametrize("wish", ["", "on", "Keep", "640*480"])
def test_a_wish_that_means_nothing_is_none(wish: str) -> None:
    assert not is_wish(wish)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1920x1080", ModeWish(1920, 1080, None)),
        ("1920x1080@60", ModeWish(1920, 1080, 60.0)),
        ("1920x1080@59.94", ModeWish(1920, 1080, 59.94)),
    ],
)
def test_a_wish_is_a_size_and_perhaps_a_rate(text: str, expected: ModeWish) -> None:
    assert parse_wish(text) == expected


@pytest.mark.parametrize(
    "text", ["", "keep", "1920", "1920x", "x1080", "1920x1080@", "1920x1080@60Hz", " 1920x1080"]
)
def test_anything_else_is_no_wish(text: str) -> None:
    assert parse_wish(text) is None


def test_a_size_alone_chooses_the_displays_first_mode_of_that_size() -> None:
    assert ModeWish(1920, 1080, None).choose([HD, PAL, FULL_HD]) == PAL


def test_a_rate_chooses_the_nearest_mode_of_that_size() -> None:
    modes = [FULL_HD, NTSC, PAL]
    assert ModeWish(1920, 1080, 59.94).choose(modes) == NTSC
    assert ModeWish(1920, 1080, 60).choose(modes) == FULL_HD
    assert ModeWish(1920, 1080, 50).choose(modes) == PAL


def test_a_rate_that_is_nowhere_near_chooses_nothing() -> None:
    assert ModeWish(1920, 1080, 75).choose([FULL_HD, NTSC, PAL]) is None


def test_a_size_that_the_display_does_not_have_chooses_nothing() -> None:
    assert ModeWish(800, 600, None).choose([FULL_HD, HD]) is None
