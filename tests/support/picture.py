# SPDX-License-Identifier: MIT
"""What the scene shows, as a formula: every layer's pixels for every frame number.

The scene draws with it and the tests compare with it. Nothing of the product is used here.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
"""(height, width, 3) R G B."""

BIT = 6
"""Side of one bit's square, in pixels."""
BITS = 16
MARK_WIDTH, MARK_HEIGHT = BIT * (BITS + 2), BIT
_RED, _WHITE, _BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


class Layer(NamedTuple):
    """One plane of the scene: where it is and how it is painted."""

    name: str
    x: int
    y: int
    width: int
    height: int


def layers_for(width: int, height: int) -> tuple[Layer, ...]:
    """Return the scene for a mode: a dashboard, another machine's window, a camera."""
    return (
        Layer("dashboard", 0, 0, width, height),
        Layer("window", width * 3 // 8, height // 8, width // 2, height // 2),
        Layer("camera", width // 16, height * 5 // 8, width // 4, height // 4),
    )


def paint(layer: Layer, frame: int) -> Rgb:
    """Return a layer's pixels at a frame number."""
    picture = _background(layer).copy()
    _PAINTERS[layer.name](picture, frame)
    for x, y in mark_places(layer.width, layer.height):
        stamp(picture, x, y, frame)
    return picture


def compose(width: int, height: int, frame: int, names: tuple[str, ...] = ()) -> Rgb:
    """Return what the glass shows: all layers, or only those named, bottom first."""
    glass = np.zeros((height, width, 3), np.uint8)
    for layer in layers_for(width, height):
        if not names or layer.name in names:
            rows = slice(layer.y, layer.y + layer.height)
            columns = slice(layer.x, layer.x + layer.width)
            glass[rows, columns] = paint(layer, frame)
    return glass


# -- the frame number, in several places --------------------------------------------------------


def mark_places(width: int, height: int) -> tuple[tuple[int, int], ...]:
    """Return (x, y) of the marks in a layer: two corners that a torn picture tells apart."""
    return ((0, 0), (width - MARK_WIDTH, height - MARK_HEIGHT))


def stamp(picture: Rgb, x: int, y: int, frame: int) -> None:
    """Write a frame number as squares: red, 16 bits with the highest first, red."""
    bits = [frame >> (BITS - 1 - bit) & 1 for bit in range(BITS)]
    colours = [_RED, *(_WHITE if bit else _BLACK for bit in bits), _RED]
    for place, colour in enumerate(colours):
        left = x + place * BIT
        picture[y : y + BIT, left : left + BIT] = colour


def read_stamp(picture: Rgb, x: int, y: int) -> int | None:
    """Return the number written there; None when none is."""
    middle = picture[y + BIT // 2, x + BIT // 2 : x + MARK_WIDTH : BIT].astype(int)
    if tuple(middle[0]) != _RED or tuple(middle[-1]) != _RED:
        return None
    return int("".join(str(int(value[1] > 127)) for value in middle[1:-1]), 2)


# -- painting -----------------------------------------------------------------------------------


@cache
def _grid(width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.mgrid[0:height, 0:width]
    return columns.astype(float), rows.astype(float)


@cache
def _polar(
    width: int, height: int, cx: float, cy: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from a centre, and degrees clockwise from eight o'clock."""
    x, y = _grid(width, height)
    return np.hypot(x - cx, y - cy), np.degrees(np.arctan2(x - cx, cy - y)) + 120


@cache
def _background(layer: Layer) -> Rgb:
    """Every pixel differs from its neighbours, so that no shift goes unseen."""
    x, y = _grid(layer.width, layer.height)
    tint = {
        "dashboard": (0.10, 0.12, 0.22),
        "window": (0.30, 0.50, 0.35),
        "camera": (0.5, 0.4, 0.3),
    }
    shade = 96 + 96 * y / layer.height
    picture = np.empty((layer.height, layer.width, 3), np.uint8)
    for channel, part in enumerate(tint[layer.name]):
        picture[:, :, channel] = shade * part
    picture[:, :, 0] += (x % 16).astype(np.uint8)
    picture[:, :, 1] += (y % 16).astype(np.uint8)
    picture[:, :, 2] += ((x // 16 + y // 16) % 16).astype(np.uint8)
    return picture


def _dashboard(picture: Rgb, frame: int) -> None:
    height, width, _ = picture.shape
    for place, speed in ((0.22, 3), (0.78, 5)):
        _gauge(picture, width * place, height * 0.45, height * 0.30, frame * speed % 240)
    lane = (np.arange(width) + frame * 8) // 24 % 2 == 0
    picture[height - 40 : height - 32, lane] = (250, 220, 60)


def _gauge(picture: Rgb, cx: float, cy: float, radius: float, degrees: float) -> None:
    height, width, _ = picture.shape
    distance, angle = _polar(width, height, cx, cy)
    ring = (abs(distance - radius) < radius * 0.05) & (angle >= 0) & (angle <= 240)
    picture[ring] = (90, 200, 250)
    ticks = (abs(distance - radius * 0.85) < radius * 0.06) & (angle >= -2) & (angle <= 242)
    picture[ticks & (abs((angle + 10) % 20 - 10) < 1.5)] = (230, 230, 230)
    picture[(distance < radius * 0.75) & (abs(angle - degrees) * distance < radius * 3)] = (
        255,
        80,
        40,
    )
    picture[distance < radius * 0.10] = (200, 200, 210)


def _window(picture: Rgb, frame: int) -> None:
    height, width, _ = picture.shape
    picture[:24] = (40, 44, 52)
    for place, colour in enumerate(((255, 95, 86), (255, 189, 46), (39, 201, 63))):
        picture[8:16, width - 20 - place * 16 : width - 12 - place * 16] = colour
    x, y = _grid(width, height)
    wave = height * 0.6 + height * 0.2 * np.sin((x + frame * 6) * 0.04)
    picture[abs(y - wave) < 3] = (255, 255, 120)
    picture[:, :2] = picture[:, -2:] = picture[-2:] = (40, 44, 52)


def _camera(picture: Rgb, frame: int) -> None:
    height, width, _ = picture.shape
    x, y = _grid(width, height)
    depth = (y - height * 0.2) / (height * 0.8)
    for side, colour in ((-1, (70, 220, 70)), (1, (220, 70, 70))):
        line = width / 2 + side * (width * 0.05 + depth * width * 0.4)
        picture[(depth > 0) & (abs(x - line) < 2)] = colour
    left = frame * 4 % (width - 20)
    picture[height // 2 : height // 2 + 12, left : left + 20] = (240, 240, 240)


_PAINTERS = {"dashboard": _dashboard, "window": _window, "camera": _camera}
