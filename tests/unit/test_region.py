# SPDX-License-Identifier: MIT
"""Regions: what slurp prints, and whether a frame has that part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capturectl.errors import UsageError
from capturectl.region import Region, parse_region, within
from tests.support.frames import lent_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capturectl.frame import Frame


@pytest.fixture
def frame() -> Iterator[Frame]:
    with lent_frame(bytes(4 * 3 * 4), width=4, height=3, pitch=16) as lent:
        yield lent


@pytest.mark.parametrize("text", ["10,20 30x40", " 10,20 30x40\n", "10,20  30x40"])
def test_a_region_is_read_as_slurp_prints_it(text: str) -> None:
    assert parse_region(text) == (10, 20, 30, 40)


def test_a_region_is_written_as_it_is_read() -> None:
    assert str(Region(10, 20, 30, 40)) == "10,20 30x40"


@pytest.mark.parametrize(
    "text",
    ["", "10,20", "30x40", "10,20 30", "10 20 30x40", "a,b cxd", "1,2 3x4x5", "1.5,2 3x4"],
)
def test_what_is_no_region_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match='is not "X,Y WxH"'):
        parse_region(text)


@pytest.mark.parametrize("text", ["-1,0 2x2", "0,-1 2x2", "0,0 0x2", "0,0 2x0", "0,0 -2x2"])
def test_an_empty_or_negative_region_is_no_part_of_a_picture(text: str) -> None:
    with pytest.raises(ValueError, match="is no part of a picture"):
        parse_region(text)


def test_without_a_region_all_of_the_frame_is_meant(frame: Frame) -> None:
    assert within(None, frame) == (0, 0, 4, 3)


@pytest.mark.parametrize("region", [Region(0, 0, 4, 3), Region(3, 2, 1, 1), Region(1, 1, 3, 2)])
def test_a_region_may_touch_the_edges(region: Region, frame: Frame) -> None:
    assert within(region, frame) == region


@pytest.mark.parametrize("region", [Region(1, 0, 4, 3), Region(0, 1, 4, 3), Region(4, 0, 1, 1)])
def test_a_region_beyond_the_edges_is_a_usage_error(region: Region, frame: Frame) -> None:
    with pytest.raises(UsageError, match="is not inside 4x3") as caught:
        within(region, frame)
    assert (caught.value.code, caught.value.exit_code) == ("region", 2)
