# SPDX-License-Identifier: MIT
"""Pixels: every format as a numpy view and as plain RGB."""

from __future__ import annotations

import random
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from capturectl.fourcc import _FORMATS, fourcc_name, pixel_format
from capturectl.pixels import to_rgb, view
from tests.support.pixel_table import EXAMPLES, Example

each_format = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)

JUNK = b"\xee"
OFFSET = 24
PADDING = 16
"""Both whole pixels of every format whose pixels are whole numbers."""


def buffer_of(example: Example) -> tuple[memoryview, int]:
    """Return two rows, example white / black example, with junk around them; and the pitch."""
    size = len(example.pixel)
    white, black = b"\xff" * size, bytes(size)
    padding = JUNK * PADDING
    data = JUNK * OFFSET + example.pixel + white + padding + black + example.pixel
    return memoryview(data), 2 * size + PADDING


def pack_rgb(depth: int, *pixels: tuple[int, int, int]) -> bytes:
    letter = "B" if depth == 8 else "H"
    return b"".join(struct.pack(f">3{letter}", *pixel) for pixel in pixels)


def test_the_table_has_every_known_format() -> None:
    assert set(EXAMPLES) == {fourcc_name(fourcc) for fourcc in _FORMATS}


# --- plain RGB -------------------------------------------------------------------------------


@each_format
def test_rgb_has_the_right_colours_in_the_right_places(example: Example) -> None:
    memory, pitch = buffer_of(example)
    full = (1 << example.depth) - 1
    image = to_rgb(memory, pixel_format(example.fourcc), 2, 2, pitch, OFFSET)
    assert image.data == pack_rgb(
        example.depth, example.rgb, (full, full, full), (0, 0, 0), example.rgb
    )


@each_format
def test_rgb_has_8_bits_unless_the_format_has_more(example: Example) -> None:
    memory, pitch = buffer_of(example)
    image = to_rgb(memory, pixel_format(example.fourcc), 2, 2, pitch, OFFSET)
    assert (image.width, image.height, image.depth) == (2, 2, example.depth)


@each_format
def test_rgb_of_a_picture_that_is_big_enough_for_numpy(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capturectl.pixels.BIG", 1)
    memory, pitch = buffer_of(example)
    full = (1 << example.depth) - 1
    image = to_rgb(memory, pixel_format(example.fourcc), 2, 2, pitch, OFFSET)
    assert bytes(image.data) == pack_rgb(
        example.depth, example.rgb, (full, full, full), (0, 0, 0), example.rgb
    )


def test_a_big_picture_of_whole_bytes_needs_no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capturectl.pixels.BIG", 1)
    monkeypatch.setitem(sys.modules, "numpy", None)
    example = EXAMPLES["XR24"]
    image = to_rgb(memoryview(example.pixel), pixel_format(example.fourcc), 1, 1, 4)
    assert bytes(image.data) == pack_rgb(8, example.rgb)


@each_format
def test_rgb_of_rows_without_padding(example: Example) -> None:
    memory = memoryview(example.pixel * 6)
    image = to_rgb(memory, pixel_format(example.fourcc), 3, 2, 3 * len(example.pixel))
    assert image.data == pack_rgb(example.depth, *[example.rgb] * 6)


@each_format
def test_the_last_row_needs_no_padding_behind_it(example: Example) -> None:
    memory, pitch = buffer_of(example)
    assert len(memory) < OFFSET + 2 * pitch
    assert to_rgb(memory, pixel_format(example.fourcc), 2, 2, pitch, OFFSET).data


@pytest.mark.parametrize(
    ("code", "zero", "one"),
    [
        ("XR24", "56341200", "563412ff"),
        ("RX24", "00563412", "ff563412"),
        ("XR15", "d548", "d5c8"),
        ("XR12", "3501", "35f1"),
        ("XR30", "1cc3532a", "1cc353ea"),
        ("XR48", "bc9a785634120000", "bc9a78563412ffff"),
    ],
)
def test_the_x_bits_do_not_matter(code: str, zero: str, one: str) -> None:
    layout = pixel_format(EXAMPLES[code].fourcc)
    results = {
        bytes(to_rgb(memoryview(bytes.fromhex(pixel)), layout, 1, 1, layout.bytes_per_pixel).data)
        for pixel in (zero, one)
    }
    assert results == {pack_rgb(EXAMPLES[code].depth, EXAMPLES[code].rgb)}


def widened(code: str, value: int) -> tuple[int, ...]:
    layout = pixel_format(EXAMPLES[code].fourcc)
    pixel = value.to_bytes(layout.bytes_per_pixel, "little")
    image = to_rgb(memoryview(pixel), layout, 1, 1, len(pixel))
    return struct.unpack(">3B" if image.depth == 8 else ">3H", image.data)


# Of five bits abcde widening makes abcdeabc; of six, abcdefab.
@pytest.mark.parametrize(
    ("value", "rgb"),
    [
        (0x0000, (0, 0, 0)),
        (0xFFFF, (255, 255, 255)),
        (0x8000, (0b10000100, 0, 0)),
        (0x0800, (0b00001000, 0, 0)),
        (0x0400, (0, 0b10000010, 0)),
        (0x0020, (0, 0b00000100, 0)),
        (0x0010, (0, 0, 0b10000100)),
        (0x0001, (0, 0, 0b00001000)),
    ],
)
def test_rg16_widens_by_repeating_the_upper_bits(value: int, rgb: tuple[int, ...]) -> None:
    assert widened("RG16", value) == rgb


@pytest.mark.parametrize(
    ("value", "rgb"),
    [(0x3FF << 20, (0xFFFF, 0, 0)), (0x200 << 10, (0, 0x8020, 0)), (0x001, (0, 0, 0x0040))],
)
def test_xr30_widens_to_16_bits(value: int, rgb: tuple[int, ...]) -> None:
    assert widened("XR30", value) == rgb


@pytest.mark.parametrize(
    ("code", "raw_mode"), [("XR24", "BGRX"), ("XB24", "RGBX"), ("RG24", "BGR")]
)
def test_a_random_picture_is_what_pillow_makes_of_it(code: str, raw_mode: str) -> None:
    layout = pixel_format(EXAMPLES[code].fourcc)
    width, height, pitch = 37, 11, 160
    data = random.Random(37).randbytes(pitch * height)
    image = to_rgb(memoryview(data), layout, width, height, pitch)
    expected = Image.frombytes("RGB", (width, height), data, "raw", raw_mode, pitch, 1)
    assert image.data == expected.tobytes()


# --- numpy views -----------------------------------------------------------------------------


def expected_shape(example: Example) -> tuple[int, ...]:
    return (2, 2, example.components) if example.components > 1 else (2, 2)


@each_format
def test_a_view_has_rows_columns_and_components(example: Example) -> None:
    memory, pitch = buffer_of(example)
    array = view(memory, pixel_format(example.fourcc), 2, 2, pitch, OFFSET)
    assert array.shape == expected_shape(example)


@each_format
def test_a_view_has_elements_of_whole_components_or_pixels(example: Example) -> None:
    memory, pitch = buffer_of(example)
    array = view(memory, pixel_format(example.fourcc), 2, 2, pitch, OFFSET)
    assert array.dtype == np.dtype(example.dtype)


@each_format
def test_a_view_steps_rows_by_the_pitch(example: Example) -> None:
    memory, pitch = buffer_of(example)
    array = view(memory, pixel_format(example.fourcc), 2, 2, pitch, OFFSET)
    assert array.strides[:2] == (pitch, len(example.pixel))


@each_format
def test_a_view_shows_the_pixels_in_memory_order(example: Example) -> None:
    memory, pitch = buffer_of(example)
    array = view(memory, pixel_format(example.fourcc), 2, 2, pitch, OFFSET)
    black = bytes(len(example.pixel))
    assert (array[0, 0].tobytes(), array[1, 0].tobytes()) == (example.pixel, black)


@each_format
def test_a_view_shares_its_memory(example: Example) -> None:
    memory, pitch = buffer_of(example)
    writable = bytearray(memory)
    array = view(memoryview(writable), pixel_format(example.fourcc), 2, 2, pitch, OFFSET)
    writable[OFFSET : OFFSET + len(example.pixel)] = b"\x77" * len(example.pixel)
    assert array[0, 0].tobytes() == b"\x77" * len(example.pixel)
