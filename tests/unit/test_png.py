# SPDX-License-Identifier: MIT
"""The PNG writer, read back by Pillow and by a reader of our own."""

from __future__ import annotations

import io
import random
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from capturectl import png
from capturectl.pixels import BIG, RgbImage
from tests.support import png_reader

SMALL = RgbImage(2, 2, 8, bytes(range(12)))
DEEP = RgbImage(2, 1, 16, bytes.fromhex("1234 5678 9abc ffff 0000 8001"))


def opened(file: bytes) -> Image.Image:
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        return image


def test_pillow_reads_the_same_pixels() -> None:
    data = random.Random(1).randbytes(31 * 17 * 3)
    image = opened(png.encode(RgbImage(31, 17, 8, data), {}))
    assert (image.mode, image.size, image.tobytes()) == ("RGB", (31, 17), data)


def test_pillow_reads_the_texts() -> None:
    image = opened(png.encode(SMALL, {"output": "HDMI-A-1", "driver": "größe ☃"}))
    assert image.info == {"output": "HDMI-A-1", "driver": "größe ☃"}


def test_16_bit_components_are_most_significant_byte_first() -> None:
    file = png.encode(DEEP, {})
    assert png_reader.samples(file) == [(0x1234, 0x5678, 0x9ABC, 0xFFFF, 0x0000, 0x8001)]


@pytest.mark.parametrize(
    ("image", "expected"), [(SMALL, (2, 2, 8, 2, 0, 0, 0)), (DEEP, (2, 1, 16, 2, 0, 0, 0))]
)
def test_the_header_says_size_depth_and_true_colour(
    image: RgbImage, expected: tuple[int, ...]
) -> None:
    assert png_reader.header(png.encode(image, {})) == expected


def test_texts_stand_before_the_pixels() -> None:
    kinds = [chunk.kind for chunk in png_reader.chunks(png.encode(SMALL, {"a": "1", "b": "2"}))]
    assert kinds == ["IHDR", "iTXt", "iTXt", "IDAT", "IEND"]


def test_every_checksum_is_right() -> None:
    file = png.encode(DEEP, {"output": "HDMI-A-1"})
    assert all(chunk.crc_is_right for chunk in png_reader.chunks(file))


def test_a_text_chunk_is_uncompressed_and_of_no_language() -> None:
    text = png_reader.chunks(png.encode(SMALL, {"output": "é"}))[1]
    assert text.data == b"output\0\0\0\0\0\xc3\xa9"


@pytest.fixture(scope="module")
def big() -> bytes:
    """Noise over a gradient, as large as pictures get that are filtered."""
    rows, noise = BIG // 2048, random.Random(2).randbytes(2048 * 3)
    return b"".join(bytes((byte + row) % 256 for byte in noise[:64]) * 96 for row in range(rows))


@pytest.mark.slow
def test_pillow_reads_a_big_picture(big: bytes) -> None:
    image = opened(png.encode(RgbImage(2048, BIG // 2048, 8, big), {}))
    assert (image.size, image.tobytes() == big) == ((2048, BIG // 2048), True)


@pytest.mark.slow
def test_a_big_picture_needs_no_numpy(big: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    file = png.encode(RgbImage(2048, BIG // 2048, 8, big), {})
    monkeypatch.undo()
    assert opened(file).tobytes() == big


@pytest.mark.slow
def test_a_big_picture_of_16_bits_has_every_bit(big: bytes) -> None:
    file = png.encode(RgbImage(2048, BIG // 2048, 16, big + big), {})
    stored = zlib.decompress(png_reader.chunks(file)[1].data)
    rows = np.frombuffer(stored, np.uint8).reshape(BIG // 2048, 1 + 2048 * 6)
    assert set(rows[:, 0].tolist()) == {2}, "the filter Up"
    undone = np.add.accumulate(rows[:, 1:], axis=0, dtype=np.uint8)
    assert undone.tobytes() == big + big
