# SPDX-License-Identifier: MIT
"""Pixels as numpy arrays and as plain RGB, for any packed format."""

from __future__ import annotations

from capturectl.typed import NamedTuple

TYPE_CHECKING = False

if TYPE_CHECKING:
    from mmap import mmap
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from capturectl.fourcc import PixelFormat

    Pixels = NDArray[np.unsignedinteger[Any]]

BIG = 1 << 22
"""Pixels of a picture that is worth the import of numpy: more than 2560x1440, and all of 4K."""

_STRIP = 1 << 16  # bytes that stay in the processor's cache between one step and the next


class RgbImage(NamedTuple):
    """A picture as rows of R G B, without padding: what picture files hold."""

    width: int
    height: int
    depth: int
    """Bits of a component: 8, or 16 most significant byte first."""
    data: bytes | memoryview


def view(
    memory: memoryview | mmap,
    layout: PixelFormat,
    width: int,
    height: int,
    pitch: int,
    offset: int = 0,
) -> Pixels:
    """Return the pixels as a numpy view that keeps the memory: see `Frame.array`."""
    import numpy as np

    component, count = _element(layout)
    size = component // 8
    shape = (height, width, count) if count > 1 else (height, width)
    strides = (pitch, size * count, size)[: len(shape)]
    # Of a memoryview itself, ndarray keeps the mapping but not the export that forbids unmapping.
    kept = np.frombuffer(memory, np.uint8)
    return np.ndarray(shape, f"<u{size}", kept, offset, strides)


def _element(layout: PixelFormat) -> tuple[int, int]:
    """Return (bits, count) of the array elements in one pixel."""
    bits = {bits for _, bits in layout.components}
    if len(bits) == 1 and bits <= {8, 16}:
        return bits.pop(), len(layout.components)
    return layout.bits_per_pixel, 1


def is_for_numpy(width: int, height: int) -> bool:
    """Whether a picture is worth the import of numpy, and numpy is installed."""
    if width * height < BIG:
        return False
    try:
        import numpy as np  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def to_rgb(
    memory: memoryview, layout: PixelFormat, width: int, height: int, pitch: int, offset: int = 0
) -> RgbImage:
    """Copy a picture out of its buffer as plain RGB; alpha and X are left out.

    Formats of whole bytes need no numpy, whose import takes longer than the capture of a
    picture that is not `BIG`. Components of less than 8 bits are widened to 8, those of 10 to 16.
    """
    bits, count = _element(layout)
    if count == 1:
        return _unpack_bits(view(memory, layout, width, height, pitch, offset), layout)
    if is_for_numpy(width, height):
        pixels = view(memory, layout, width, height, pitch, offset)
        return RgbImage(width, height, bits, _pick_components(pixels, layout))
    return RgbImage(width, height, bits, _pick_bytes(memory, layout, width, height, pitch, offset))


def copy_rows(memory: memoryview, row: int, height: int, pitch: int, offset: int = 0) -> bytes:
    """Copy rows of so many bytes out of a buffer, without what pads them."""
    # One copy first: the buffer may be uncached, and strided reads of it very slow.
    copy = bytes(memory[offset : offset + pitch * (height - 1) + row])
    if pitch == row:
        return copy
    return b"".join(copy[start : start + row] for start in range(0, pitch * height, pitch))


def _pick_bytes(
    memory: memoryview, layout: PixelFormat, width: int, height: int, pitch: int, offset: int
) -> memoryview:
    pixel, size = layout.bytes_per_pixel, layout.depth // 8
    row, step = width * pixel, 3 * size
    rgb = bytearray(width * height * step)
    count = max(1, _STRIP // pitch)
    for top in range(0, height, count):
        rows = copy_rows(memory, row, min(count, height - top), pitch, offset + top * pitch)
        start = top * width * step
        stop = start + len(rows) // pixel * step
        for place, letter in enumerate("RGB"):
            first = layout.shift(letter)[0] // 8
            for byte in range(size):  # most significant first, from little-endian
                target = start + place * size + byte
                rgb[target:stop:step] = rows[first + size - 1 - byte :: pixel]
    return memoryview(rgb)


def _pick_components(pixels: Pixels, layout: PixelFormat) -> memoryview:
    import numpy as np

    height, width, _ = pixels.shape
    size = pixels.itemsize
    places = [layout.shift(letter)[0] // (8 * size) for letter in "RGB"]
    rgb = np.empty((height, width, 3), f">u{size}")
    rows = max(1, _STRIP // pixels.strides[0])
    for top in range(0, height, rows):
        strip = pixels[top : top + rows].copy()  # as above: the buffer is read once, in order
        for place, component in enumerate(places):
            rgb[top : top + rows, :, place] = strip[:, :, component]
    return rgb.view(np.uint8).reshape(-1).data


def _unpack_bits(pixels: Pixels, layout: PixelFormat) -> RgbImage:
    import numpy as np

    height, width = pixels.shape
    depth = 8 if layout.depth <= 8 else 16
    rgb = np.empty((height, width, 3), f">u{depth // 8}")
    for place, letter in enumerate("RGB"):
        shift, bits = layout.shift(letter)
        value = pixels.astype(np.uint32) >> np.uint32(shift) & np.uint32((1 << bits) - 1)
        rgb[:, :, place] = _widen(value, bits, depth)
    return RgbImage(width, height, depth, rgb.tobytes())


def _widen(value: Pixels, bits: int, depth: int) -> Pixels:
    """Repeat the upper bits below, so that full stays full."""
    import numpy as np

    filled = bits
    wide = value << np.uint32(depth - bits)
    while filled < depth:
        wide |= wide >> np.uint32(filled)
        filled *= 2
    return wide
