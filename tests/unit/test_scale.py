# SPDX-License-Identifier: MIT
"""Scaling: the mean of what falls together, copies of what is spread."""

from __future__ import annotations

import struct

import pytest

from capturectl.errors import UsageError
from capturectl.pixels import RgbImage
from capturectl.scale import scale


def grey(depth: int, width: int, *values: int) -> RgbImage:
    letter = "B" if depth == 8 else "H"
    pixels = [component for value in values for component in (value, value, value)]
    data = struct.pack(f">{len(pixels)}{letter}", *pixels)
    return RgbImage(width, len(values) // width, depth, data)


def values(image: RgbImage) -> list[int]:
    letter = "B" if image.depth == 8 else "H"
    count = image.width * image.height * 3
    return list(struct.unpack(f">{count}{letter}", image.data)[::3])


@pytest.mark.parametrize(
    ("depth", "four", "mean"),
    [(8, (10, 20, 30, 40), 25), (16, (1000, 2001, 3002, 65533), 17884)],
)
def test_half_is_the_mean_of_four_pixels(depth: int, four: tuple[int, ...], mean: int) -> None:
    half = scale(grey(depth, 2, *four), 0.5)
    assert (half.width, half.height, half.depth, values(half)) == (1, 1, depth, [mean])


@pytest.mark.parametrize("depth", [8, 16])
def test_twice_is_each_pixel_four_times(depth: int) -> None:
    assert values(scale(grey(depth, 2, 10, 200), 2)) == [10, 10, 200, 200] * 2


@pytest.mark.parametrize("depth", [8, 16])
def test_components_stay_in_their_places(depth: int) -> None:
    colour = bytes(range(1, 1 + 3 * depth // 8))
    assert scale(RgbImage(2, 2, depth, colour * 4), 0.5).data == colour


@pytest.mark.parametrize(
    ("factor", "size"),
    [(0.4, (2, 1)), (0.34, (2, 1)), (0.001, (1, 1)), (1, (5, 3)), (1.7, (8, 5))],
)
def test_sides_are_rounded_and_at_least_one_pixel(factor: float, size: tuple[int, int]) -> None:
    picture = scale(grey(8, 5, *range(15)), factor)
    assert (picture.width, picture.height) == size


def test_a_result_that_is_too_large_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="20000x10000 is too large"):
        scale(grey(8, 2, 1, 2), 10000)


@pytest.mark.parametrize("factor", [8193, 1.7e308, float("inf")])
def test_a_factor_that_is_far_too_large_is_one_too(factor: float) -> None:
    with pytest.raises(UsageError, match="is too large: up to 16384"):
        scale(grey(8, 2, 1, 2), factor)
