# SPDX-License-Identifier: MIT
"""Pixel formats: the kernel's codes, and how their components lie in memory.

Source: include/uapi/drm/drm_fourcc.h. Only packed RGB is here: what writeback connectors
write and what a picture file can hold.
"""

from __future__ import annotations

from capturectl.errors import CaptureUnsupportedError
from capturectl.typed import NamedTuple

MODIFIER_LINEAR = 0
"""Rows one after the other, pixels left to right."""


class PixelFormat(NamedTuple):
    """One packed RGB layout."""

    fourcc: int
    name: str
    """The kernel's name without its prefix: "XRGB8888"."""
    components: tuple[tuple[str, int], ...]
    """(letter, bits) from the least significant bit of the little-endian pixel."""

    @property
    def bits_per_pixel(self) -> int:
        """Size of a pixel in memory."""
        return sum(bits for _, bits in self.components)

    @property
    def bytes_per_pixel(self) -> int:
        """Size of a pixel in memory."""
        return self.bits_per_pixel // 8

    @property
    def depth(self) -> int:
        """Bits of the widest colour component."""
        return max(bits for letter, bits in self.components if letter in "RGB")

    def shift(self, letter: str) -> tuple[int, int]:
        """Return (shift, bits) of a component in the little-endian pixel.

        Raises:
            KeyError: The format has no such component.
        """
        position = 0
        for name, bits in self.components:
            if name == letter:
                return position, bits
            position += bits
        raise KeyError(letter)


def fourcc_code(name: str) -> int:
    """Return the code of a four-letter name: "XR24" is 0x34325258."""
    return int.from_bytes(name.encode("ascii").ljust(4), "little")


def fourcc_name(fourcc: int) -> str:
    """Return the four letters of a code; unprintable ones become "?"."""
    letters = fourcc.to_bytes(4, "little")
    return "".join(chr(c) if 32 <= c < 127 else "?" for c in letters).rstrip()


def _packed(code: str, name: str, components: str) -> PixelFormat:
    return PixelFormat(
        fourcc_code(code), name, tuple((c[0], int(c[1:])) for c in components.split())
    )


_FORMATS = {
    entry.fourcc: entry
    for entry in (
        _packed("XR24", "XRGB8888", "B8 G8 R8 X8"),
        _packed("AR24", "ARGB8888", "B8 G8 R8 A8"),
        _packed("XB24", "XBGR8888", "R8 G8 B8 X8"),
        _packed("AB24", "ABGR8888", "R8 G8 B8 A8"),
        _packed("RX24", "RGBX8888", "X8 B8 G8 R8"),
        _packed("RA24", "RGBA8888", "A8 B8 G8 R8"),
        _packed("BX24", "BGRX8888", "X8 R8 G8 B8"),
        _packed("BA24", "BGRA8888", "A8 R8 G8 B8"),
        _packed("RG24", "RGB888", "B8 G8 R8"),
        _packed("BG24", "BGR888", "R8 G8 B8"),
        _packed("RG16", "RGB565", "B5 G6 R5"),
        _packed("BG16", "BGR565", "R5 G6 B5"),
        _packed("XR15", "XRGB1555", "B5 G5 R5 X1"),
        _packed("AR15", "ARGB1555", "B5 G5 R5 A1"),
        _packed("XR12", "XRGB4444", "B4 G4 R4 X4"),
        _packed("AR12", "ARGB4444", "B4 G4 R4 A4"),
        _packed("XR30", "XRGB2101010", "B10 G10 R10 X2"),
        _packed("AR30", "ARGB2101010", "B10 G10 R10 A2"),
        _packed("XB30", "XBGR2101010", "R10 G10 B10 X2"),
        _packed("AB30", "ABGR2101010", "R10 G10 B10 A2"),
        _packed("XR48", "XRGB16161616", "B16 G16 R16 X16"),
        _packed("AR48", "ARGB16161616", "B16 G16 R16 A16"),
        _packed("XB48", "XBGR16161616", "R16 G16 B16 X16"),
        _packed("AB48", "ABGR16161616", "R16 G16 B16 A16"),
    )
}


def pixel_format(fourcc: int) -> PixelFormat:
    """Return the layout of a pixel format.

    Raises:
        CaptureUnsupportedError: It is not a packed RGB format that we know.
    """
    try:
        return _FORMATS[fourcc]
    except KeyError:
        raise CaptureUnsupportedError(
            f"pixel format {fourcc_name(fourcc)} is not known",
            f"known are {', '.join(map(fourcc_name, _FORMATS))}",
        ) from None


def is_known(fourcc: int) -> bool:
    """Whether `pixel_format` knows the code."""
    return fourcc in _FORMATS
