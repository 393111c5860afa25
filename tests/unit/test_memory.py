# SPDX-License-Identifier: MIT
"""captured.drm.memory: poison says whether a picture was written, whatever its rows look like."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from capturectl.fourcc import fourcc_code
from captured.capture.source import Geometry
from captured.drm.memory import DumbMemory
from tests.support.fake_card import FakeCard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., "Picture"]

SIZES = [
    (640, 480), (800, 480), (480, 800), (1080, 1920), (1366, 768), (1680, 1050),
    (1, 1), (5, 3), (1920, 1), (3, 700),
]  # fmt: skip
BYTES_PER_PIXEL = {"XR24": 4, "RG24": 3, "RG16": 2, "XR48": 8}


class Picture:
    """One picture's memory, and the hardware that writes rows of it."""

    def __init__(self, card: FakeCard, width: int, height: int, name: str = "XR24") -> None:
        self.memory = DumbMemory.allocate(card, Geometry(width, height, 0, fourcc_code(name), 0))
        self.pixel = BYTES_PER_PIXEL[name]
        self.row = width * self.pixel
        self.height, self.pitch = height, self.memory.planes[0].pitch
        self._fd = card.fileno()

    def write(self, first: int, end: int) -> None:
        """Write all pixels of some rows, and nothing of what is behind them."""
        for y in range(first, end):
            self.write_part(y, 0, self.row // self.pixel)

    def write_part(self, y: int, x: int, count: int) -> None:
        """Write so many pixels of one row."""
        os.pwrite(self._fd, bytes(count * self.pixel), y * self.pitch + x * self.pixel)

    def read(self, y: int) -> bytes:
        """Return one row, with what is behind its pixels."""
        return os.pread(self._fd, self.pitch, y * self.pitch)

    def padding(self) -> bytes:
        """Return what is behind the pixels, of all rows."""
        return b"".join(self.read(y)[self.row :] for y in range(self.height))


@pytest.fixture
def make() -> Iterator[Make]:
    """Make pictures on a card whose pitches are multiples of 256."""
    made: list[Picture] = []
    with FakeCard(alignment=256) as card:

        def make_one(width: int, height: int, name: str = "XR24") -> Picture:
            made.append(Picture(card, width, height, name))
            return made[-1]

        yield make_one
        for picture in made:
            picture.memory.close()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_poison_is_gone_once_all_pixels_are_written(make: Make, width: int, height: int) -> None:
    picture = make(width, height)
    picture.memory.poison()
    assert picture.memory.is_poisoned()
    picture.write(0, height)
    assert not picture.memory.is_poisoned()


@pytest.mark.parametrize("name", BYTES_PER_PIXEL)
def test_poison_is_gone_once_all_pixels_of_any_size_are_written(make: Make, name: str) -> None:
    picture = make(1366, 768, name)
    picture.memory.poison()
    picture.write(0, 768)
    assert not picture.memory.is_poisoned()


def test_poison_stays_out_of_the_padding(make: Make) -> None:
    picture = make(1366, 768)
    picture.memory.poison()
    assert picture.padding() == bytes(768 * 168), "1366 pixels fill 5464 of 5632 bytes"


@pytest.mark.parametrize("missing", [0, 767])
def test_poison_is_left_when_the_first_or_the_last_row_is_missing(
    make: Make, missing: int
) -> None:
    picture = make(1366, 768)
    picture.memory.poison()
    picture.write(0, missing)
    picture.write(missing + 1, 768)
    assert picture.memory.is_poisoned()


@pytest.mark.parametrize("first", range(0, 768, 48))
def test_poison_is_left_when_a_sixteenth_of_the_picture_is_missing(make: Make, first: int) -> None:
    picture = make(1366, 768)
    picture.memory.poison()
    picture.write(0, first)
    picture.write(first + 48, 768)
    assert picture.memory.is_poisoned()


@pytest.mark.parametrize("half", [0, 1])
def test_poison_is_left_when_one_half_of_every_row_is_missing(make: Make, half: int) -> None:
    picture = make(1366, 768)
    picture.memory.poison()
    for y in range(768):
        picture.write_part(y, half * 683, 683)
    assert picture.memory.is_poisoned()


def test_poison_is_another_each_time(make: Make) -> None:
    picture = make(640, 480)
    seen = []
    for _ in range(2):
        picture.memory.poison()
        seen.append(picture.read(0))
    assert seen[0] != seen[1]


def test_the_dmabuf_of_a_card_that_is_gone_is_closed() -> None:
    with FakeCard() as card:
        memory = DumbMemory.allocate(card, Geometry(640, 480, 0, fourcc_code("XR24"), 0))
        card.is_gone = True
        with pytest.raises(OSError, match="DESTROY_DUMB") as caught:
            memory.close()
    assert caught.value.errno == errno.ENODEV
    assert not memory.planes[0].dmabuf
