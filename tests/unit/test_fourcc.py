# SPDX-License-Identifier: MIT
"""Pixel formats: codes, names, and where the components lie."""

from __future__ import annotations

import pytest

from capturectl.errors import CaptureUnsupportedError
from capturectl.fourcc import fourcc_code, fourcc_name, is_known, pixel_format

# include/uapi/drm/drm_fourcc.h, fourcc_code(a, b, c, d) worked out by hand.
XRGB8888 = 0x34325258
RGB565 = 0x36314752
XRGB2101010 = 0x30335258
XRGB16161616 = 0x38345258
NV12 = 0x3231564E
R8 = 0x20203852


@pytest.mark.parametrize(
    ("name", "code"), [("XR24", XRGB8888), ("RG16", RGB565), ("NV12", NV12), ("R8", R8)]
)
def test_a_code_is_its_letters_little_endian(name: str, code: int) -> None:
    assert fourcc_code(name) == code


@pytest.mark.parametrize(
    ("code", "name"), [(XRGB8888, "XR24"), (R8, "R8"), (0x34325200, "?R24"), (0xFFFFFFFF, "????")]
)
def test_a_name_is_the_printable_letters(code: int, name: str) -> None:
    assert fourcc_name(code) == name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (XRGB8888, "XRGB8888"),
        (RGB565, "RGB565"),
        (XRGB2101010, "XRGB2101010"),
        (XRGB16161616, "XRGB16161616"),
    ],
)
def test_a_format_has_the_kernels_name(code: int, name: str) -> None:
    assert pixel_format(code).name == name


@pytest.mark.parametrize(
    ("code", "size"), [(XRGB8888, 4), (RGB565, 2), (XRGB2101010, 4), (XRGB16161616, 8)]
)
def test_bytes_per_pixel(code: int, size: int) -> None:
    assert pixel_format(code).bytes_per_pixel == size


@pytest.mark.parametrize(
    ("code", "depth"), [(XRGB8888, 8), (RGB565, 6), (XRGB2101010, 10), (XRGB16161616, 16)]
)
def test_depth_is_that_of_the_widest_colour(code: int, depth: int) -> None:
    assert pixel_format(code).depth == depth


@pytest.mark.parametrize(("letter", "shift", "bits"), [("B", 0, 5), ("G", 5, 6), ("R", 11, 5)])
def test_components_of_rgb565(letter: str, shift: int, bits: int) -> None:
    assert pixel_format(RGB565).shift(letter) == (shift, bits)


def test_a_component_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="A"):
        pixel_format(XRGB8888).shift("A")


def test_an_unknown_format_is_unsupported_and_named() -> None:
    with pytest.raises(CaptureUnsupportedError, match="NV12"):
        pixel_format(NV12)


def test_is_known_tells_known_from_unknown() -> None:
    assert is_known(XRGB8888)
    assert not is_known(NV12)
