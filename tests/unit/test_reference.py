# SPDX-License-Identifier: MIT
"""Comparing pictures: how many pixels differ, by how much, where; and the picture of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from capturectl.errors import CaptureError
from capturectl.pixels import RgbImage
from capturectl.reference import as_array, compare, draw, read_mask, read_picture

if TYPE_CHECKING:
    from pathlib import Path

    from capturectl.reference import Rgb


def grey(value: int, depth: int = 8, width: int = 8, height: int = 6) -> Rgb:
    return np.full((height, width, 3), value, f"u{depth // 8}")


def with_pixel(picture: Rgb, x: int, y: int, *rgb: int) -> Rgb:
    changed = picture.copy()
    changed[y, x] = rgb
    return changed


# --- what differs ----------------------------------------------------------------------------


def test_a_picture_is_itself() -> None:
    found = compare(grey(7), grey(7), 0)
    assert (found.pixels, found.most, found.box) == (0, 0, None)


def test_one_component_of_one_pixel_is_found() -> None:
    found = compare(grey(7), with_pixel(grey(7), 5, 2, 7, 8, 7), 0)
    assert (found.pixels, found.most, found.box) == (1, 1, (5, 2, 1, 1))


def test_the_box_holds_all_that_differs() -> None:
    shown = with_pixel(with_pixel(grey(7), 1, 4, 0, 0, 0), 6, 2, 0, 0, 0)
    assert compare(grey(7), shown, 0).box == (1, 2, 6, 3)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (255, 0), (100, 220), (220, 100)])
def test_the_largest_difference_has_no_sign_and_does_not_wrap(low: int, high: int) -> None:
    assert compare(grey(low), grey(high), 0).most == abs(low - high)


@pytest.mark.parametrize(("tolerance", "pixels"), [(2, 1), (3, 0), (4, 0)])
def test_what_is_within_the_tolerance_does_not_differ(tolerance: int, pixels: int) -> None:
    assert compare(grey(7), with_pixel(grey(7), 0, 0, 7, 7, 10), tolerance).pixels == pixels


@pytest.mark.parametrize(("tolerance", "pixels"), [(0, 1), (0.9, 1), (1, 0)])
def test_the_tolerance_of_16_bits_is_in_steps_of_8(tolerance: float, pixels: int) -> None:
    shown = with_pixel(grey(1000, 16), 3, 3, 1000, 1257, 1000)
    found = compare(grey(1000, 16), shown, tolerance)
    assert (found.pixels, found.most) == (pixels, 1)


@pytest.mark.parametrize("deep", [0x1212, 0x1212 - 128, 0x1212 + 128])
def test_16_bits_and_8_are_compared_as_8(deep: int) -> None:
    assert compare(grey(0x12), grey(deep, 16), 0).pixels == 0
    assert compare(grey(deep, 16), grey(0x12), 0).pixels == 0
    assert compare(grey(0x13), grey(deep, 16), 0).pixels == 48


def test_only_what_the_mask_has_counts() -> None:
    shown = with_pixel(with_pixel(grey(7), 1, 1, 0, 0, 0), 6, 2, 9, 7, 7)
    mask = np.ones((6, 8), bool)
    mask[1, 1] = False
    found = compare(grey(7), shown, 0, mask)
    assert (found.pixels, found.most, found.box) == (1, 2, (6, 2, 1, 1))


@pytest.mark.parametrize(
    ("image", "values"),
    [
        (RgbImage(2, 1, 8, bytes.fromhex("010203 040506")), [[[1, 2, 3], [4, 5, 6]]]),
        (RgbImage(1, 1, 16, bytes.fromhex("0102 0304 ff00")), [[[0x0102, 0x0304, 0xFF00]]]),
    ],
)
def test_a_captured_picture_is_an_array_of_its_depth(
    image: RgbImage, values: list[list[list[int]]]
) -> None:
    array = as_array(image)
    assert (array.dtype.itemsize * 8, array.tolist()) == (image.depth, values)


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.ppm", "a.bmp"])
def test_a_picture_file_is_read(tmp_path: Path, name: str) -> None:
    Image.fromarray(with_pixel(grey(7), 1, 0, 1, 2, 3).astype(np.uint8)).save(tmp_path / name)
    picture = read_picture(str(tmp_path / name))
    assert (picture.dtype.name, picture[0, :2].tolist()) == ("uint8", [[7, 7, 7], [1, 2, 3]])


def test_alpha_is_left_out(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 1), (1, 2, 3, 0)).save(tmp_path / "a.png")
    assert read_picture(str(tmp_path / "a.png")).tolist() == [[[1, 2, 3]] * 2]


@pytest.mark.parametrize("depth", [8, 16])
def test_an_array_keeps_its_depth(tmp_path: Path, depth: int) -> None:
    np.save(tmp_path / "a.npy", grey(200, depth))
    picture = read_picture(str(tmp_path / "a.npy"))
    assert (picture.dtype.itemsize * 8, picture.shape) == (depth, (6, 8, 3))


def test_an_array_of_another_byte_order_keeps_its_depth(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", grey(0x1234, 16).astype(">u2"))
    picture = read_picture(str(tmp_path / "a.npy"))
    assert compare(picture, grey(0x1233, 16), 0).pixels == 48


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2)),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((2, 2, 3), np.int16),
        np.array({"a": 1}),
    ],
    ids=["flat", "alpha", "signed", "object"],
)
def test_an_array_that_is_no_picture_is_refused(tmp_path: Path, array: Rgb) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(CaptureError) as caught:
        read_picture(str(tmp_path / "a.npy"))
    assert caught.value.code == "not-a-picture"


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"])
@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_a_file_that_is_no_picture_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CaptureError) as caught:
        read_picture(str(tmp_path / name))
    assert caught.value.code == "not-a-picture"


def test_an_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=grey(1))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(CaptureError) as caught:
        read_picture(str(tmp_path / "a.npy"))
    assert caught.value.code == "not-a-picture"


def test_an_array_larger_than_memory_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 0, 3), np.uint8))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(
        data.replace(b"(0, 0, 3), }             ", b"(99999999, 9999999, 3), }")
    )
    with pytest.raises(CaptureError) as caught:
        read_picture(str(tmp_path / "a.npy"))
    assert caught.value.code == "not-a-picture"


def test_a_picture_larger_than_pillow_opens_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(CaptureError) as caught:
        read_picture(str(tmp_path / "a.png"))
    assert caught.value.code == "not-a-picture"


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_a_missing_file_has_a_word_of_its_own(tmp_path: Path, name: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read_picture(str(tmp_path / name))
    assert caught.value.code == "no-file"


def test_white_counts_in_a_mask(tmp_path: Path) -> None:
    mask = Image.new("L", (3, 1))
    mask.putdata([0, 127, 128])
    mask.save(tmp_path / "mask.png")
    assert read_mask(str(tmp_path / "mask.png")).tolist() == [[False, False, True]]


# --- the picture of it -----------------------------------------------------------------------


def drawn(expected: Rgb, shown: Rgb) -> Rgb:
    with Image.open(io.BytesIO(draw(expected, shown, compare(expected, shown, 0)))) as image:
        return np.asarray(image.convert("RGB"))


def test_expected_and_shown_stand_beside_each_other() -> None:
    sheet = drawn(grey(10, 8, 40, 30), grey(200, 8, 40, 30))
    assert sheet[24 + 15, 20].tolist() == [10, 10, 10]
    assert sheet[24 + 15, 40 + 16 + 20].tolist() == [200, 200, 200]


def test_a_single_differing_pixel_is_red_and_framed() -> None:
    expected = grey(10, 8, 40, 30)
    sheet = drawn(expected, with_pixel(expected, 20, 15, 11, 10, 10))
    part = sheet[24:, 2 * (40 + 16) :]
    red, yellow = (part == (255, 0, 0)).all(axis=2), (part == (255, 255, 0)).all(axis=2)
    assert np.argwhere(red).tolist() == [[15, 20]]
    assert yellow[12, 17]
    assert yellow[18, 23]


def test_deep_pictures_are_drawn_in_8_bits() -> None:
    sheet = drawn(grey(0x4040, 16, 40, 30), grey(0x8080, 16, 40, 30))
    assert sheet[24 + 15, 20].tolist() == [0x40] * 3
