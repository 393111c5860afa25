# SPDX-License-Identifier: MIT
"""YUV4MPEG2: uncompressed video that describes itself; see docs/decisions/0013-y4m.md.

The colours are those of JPEG: ITU-R BT.601, full range. Pillow converts in C, which is the one
thing at hand that keeps 1080p60 on one core.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from capturectl.pixels import to_rgb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from capturectl.fourcc import PixelFormat

CHROMAS = {"444": "444", "420": "420jpeg"}
"""How much colour is kept, and its tag: all of it, or the mean of four pixels."""
_FRAME = b"FRAME\n"


def header(width: int, height: int, rate_mhz: int, chroma: str) -> bytes:
    """Return the first line of a film.

    Args:
        width: Pixels.
        height: Pixels.
        rate_mhz: Pictures per 1000 seconds, more than 0.
        chroma: A key of `CHROMAS`.
    """
    common = math.gcd(rate_mhz, 1000)
    rate = f"{rate_mhz // common}:{1000 // common}"
    tag = CHROMAS[chroma]
    return f"YUV4MPEG2 W{width} H{height} F{rate} Ip A1:1 C{tag} XCOLORRANGE=FULL\n".encode()


def picture(
    rows: bytearray, layout: PixelFormat, width: int, height: int, pitch: int, chroma: str
) -> Sequence[bytes]:
    """Return a picture of a film: its head, Y, Cb and Cr.

    Args:
        rows: The pixels, from the first of the first row to the last of the last.
        layout: Of a pixel.
        width: Pixels.
        height: Pixels.
        pitch: Bytes from one row to the next.
        chroma: A key of `CHROMAS`. With 420 the colour planes have half the sides, rounded up.
    """
    rgb = _image(rows, layout, width, height, pitch)
    if chroma == "444":
        return [_FRAME, *(plane.tobytes() for plane in rgb.convert("YCbCr").split())]
    colours = rgb.reduce(2).convert("YCbCr").split()[1:]
    return [_FRAME, rgb.convert("L").tobytes(), *(plane.tobytes() for plane in colours)]


def _image(
    rows: bytearray, layout: PixelFormat, width: int, height: int, pitch: int
) -> Image.Image:
    from PIL import Image

    mode = _raw_mode(layout)
    if mode:
        return Image.frombuffer("RGB", (width, height), rows, "raw", mode, pitch, 1)
    image = to_rgb(memoryview(rows), layout, width, height, pitch)
    data = image.data if image.depth == 8 else bytes(image.data[::2])  # the upper bytes
    return Image.frombytes("RGB", (width, height), data)


def _raw_mode(layout: PixelFormat) -> str:
    """Return what Pillow calls the layout of a pixel; empty where it has no name for it."""
    if any(bits != 8 for _, bits in layout.components):
        return ""
    return "".join(letter for letter, _ in layout.components).replace("A", "X")
