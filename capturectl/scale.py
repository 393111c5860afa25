# SPDX-License-Identifier: MIT
"""Pictures larger or smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl.errors import UsageError
from capturectl.pixels import RgbImage

if TYPE_CHECKING:
    from PIL import Image

LONGEST = 16384
"""Pixels that a side of the result may have."""
_ENDLESS = 10**9
"""What is longer is no longer: a factor may be so large that the product is infinite."""


def scale(image: RgbImage, factor: float) -> RgbImage:
    """Return a picture with its sides multiplied, each rounded and at least 1 pixel.

    The filter is Pillow's BOX: a smaller picture has the mean of the pixels that fall together,
    a larger one repeats them. It rings at no edge and invents no colour that was not there.

    Raises:
        UsageError: The result would be longer than `LONGEST`.
    """
    width, height = (
        max(1, round(min(side * factor, _ENDLESS))) for side in (image.width, image.height)
    )
    if max(width, height) > LONGEST:
        raise UsageError(f"{width}x{height} is too large", f"up to {LONGEST} pixels a side")
    if image.depth == 8:
        return RgbImage(width, height, 8, _resized(image, width, height).tobytes())
    return RgbImage(width, height, 16, _resized_deep(image, width, height))


def _resized(image: RgbImage, width: int, height: int) -> Image.Image:
    from PIL import Image

    whole = Image.frombytes("RGB", (image.width, image.height), image.data)
    return whole.resize((width, height), Image.Resampling.BOX)


def _resized_deep(image: RgbImage, width: int, height: int) -> bytes:
    # Pillow has no 16-bit RGB; its 32-bit floats hold 16 bits exactly.
    import numpy as np
    from PIL import Image

    components = np.frombuffer(image.data, ">u2").reshape(image.height, image.width, 3)
    scaled = np.empty((height, width, 3), ">u2")
    for place in range(3):
        plane = Image.fromarray(components[:, :, place].astype(np.float32))
        resized = plane.resize((width, height), Image.Resampling.BOX)
        scaled[:, :, place] = np.rint(np.asarray(resized))
    return scaled.tobytes()
