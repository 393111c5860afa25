# SPDX-License-Identifier: MIT
"""y4m: the header, the planes' sizes, and colours against the formula of JFIF."""

from __future__ import annotations

import numpy as np
import pytest

from capturectl import y4m
from capturectl.fourcc import pixel_format
from tests.support.pixel_table import EXAMPLES, Example

XR24 = pixel_format(EXAMPLES["XR24"].fourcc)
COLOURS = [
    (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (192, 192, 0), (18, 52, 86),
]  # fmt: skip


def ycbcr(r: int, g: int, b: int) -> tuple[float, float, float]:
    """The formula of JFIF 1.02: ITU-R BT.601, full range."""
    return (
        0.299 * r + 0.587 * g + 0.114 * b,
        -0.168736 * r - 0.331264 * g + 0.5 * b + 128,
        0.5 * r - 0.418688 * g - 0.081312 * b + 128,
    )


def flat(rgb: tuple[int, int, int], pixels: int) -> bytearray:
    return bytearray(bytes((*rgb[::-1], 0x5A)) * pixels)


@pytest.mark.parametrize(
    ("rate_mhz", "rate"), [(60000, "60:1"), (59940, "2997:50"), (29970, "2997:100"), (1, "1:1000")]
)
def test_the_rate_is_a_fraction_in_lowest_terms(rate_mhz: int, rate: str) -> None:
    assert f" F{rate} ".encode() in y4m.header(2, 2, rate_mhz, "420")


@pytest.mark.parametrize(("chroma", "tag"), [("420", b"C420jpeg"), ("444", b"C444")])
def test_the_header_says_all_that_a_reader_has_to_know(chroma: str, tag: bytes) -> None:
    assert y4m.header(1919, 1081, 60000, chroma) == (
        b"YUV4MPEG2 W1919 H1081 F60:1 Ip A1:1 " + tag + b" XCOLORRANGE=FULL\n"
    )


@pytest.mark.parametrize(
    ("width", "height", "chroma", "sizes"),
    [
        (4, 2, "444", [8, 8, 8]),
        (4, 2, "420", [8, 2, 2]),
        (5, 3, "420", [15, 6, 6]),
        (1, 1, "420", [1, 1, 1]),
        (5, 3, "444", [15, 15, 15]),
    ],
)
def test_planes_are_as_large_as_the_tag_says(
    width: int, height: int, chroma: str, sizes: list[int]
) -> None:
    rows = flat((1, 2, 3), width * height)
    head, *planes = y4m.picture(rows, XR24, width, height, 4 * width, chroma)
    assert (head, [len(plane) for plane in planes]) == (b"FRAME\n", sizes)


@pytest.mark.parametrize("chroma", ["444", "420"])
@pytest.mark.parametrize("rgb", COLOURS, ids=str)
def test_colours_are_those_of_the_formula(rgb: tuple[int, int, int], chroma: str) -> None:
    _, *planes = y4m.picture(flat(rgb, 16), XR24, 4, 4, 16, chroma)
    for plane, expected in zip(planes, ycbcr(*rgb), strict=True):
        assert set(plane) == {plane[0]}
        assert abs(plane[0] - min(255, expected)) <= 1


def test_a_quarter_of_the_chroma_is_the_mean_of_four_pixels() -> None:
    rows = flat((255, 0, 0), 2) + flat((0, 0, 255), 2)
    _, luma, cb, cr = y4m.picture(rows, XR24, 2, 2, 8, "420")
    _, mean_cb, mean_cr = ycbcr(128, 0, 128)
    assert list(luma) == [76, 76, 29, 29]
    assert (abs(cb[0] - mean_cb) <= 1, abs(cr[0] - mean_cr) <= 1) == (True, True)


def test_the_padding_of_rows_is_no_picture() -> None:
    rows = flat((255, 255, 255), 2) + flat((0, 0, 0), 2) + flat((255, 255, 255), 2)
    _, luma, _, _ = y4m.picture(rows, XR24, 2, 2, 16, "444")
    assert set(luma) == {255}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_every_format_has_its_colour(example: Example) -> None:
    layout = pixel_format(example.fourcc)
    rows = bytearray(example.pixel * 4)
    _, *planes = y4m.picture(rows, layout, 2, 2, 2 * len(example.pixel), "444")
    rgb = tuple(value >> (example.depth - 8) for value in example.rgb)
    found = np.array([plane[0] for plane in planes], float)
    assert np.abs(found - ycbcr(*rgb)).max() <= 1
