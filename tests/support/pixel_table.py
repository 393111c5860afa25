# SPDX-License-Identifier: MIT
"""One pixel of every format, worked out by hand from the comments in drm_fourcc.h.

Nothing of the product is used here.
"""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A pixel in memory, its colour, and how numpy shows it."""

    fourcc: int
    pixel: bytes
    """In memory order; X and A are neither all zeroes nor all ones."""
    depth: int
    """Bits of a component in a picture file."""
    rgb: tuple[int, int, int]
    """The colour at that depth."""
    dtype: str
    components: int
    """Elements of a pixel in `Frame.array`; 1 where a pixel is one number."""


def _code(letters: str) -> int:
    a, b, c, d = letters.encode()
    return a | b << 8 | c << 16 | d << 24


def _examples(
    codes: str, pixel: str, depth: int, rgb: tuple[int, int, int], dtype: str, components: int
) -> list[tuple[str, Example]]:
    return [
        (code, Example(_code(code), bytes.fromhex(pixel), depth, rgb, dtype, components))
        for code in codes.split()
    ]


_BYTES = (0x12, 0x34, 0x56)
# R 18 of 31, G 13 of 63, B 21 of 31: 10010|100, 001101|00, 10101|101.
_565 = (0x94, 0x34, 0xAD)
# G 6 of 31: 00110|001.
_555 = (0x94, 0x31, 0xAD)
_444 = (0x11, 0x33, 0x55)
# R 0x2A5, G 0x0F0, B 0x31C of 1023, their upper six bits repeated below.
_101010 = (0xA96A, 0x3C0F, 0xC731)
_WORDS = (0x1234, 0x5678, 0x9ABC)

EXAMPLES: dict[str, Example] = dict(
    # 8 bits: the header's [31:0] x:R:G:B is little-endian, so B is first in memory.
    _examples("XR24 AR24", "56 34 12 a5", 8, _BYTES, "uint8", 4)
    + _examples("XB24 AB24", "12 34 56 a5", 8, _BYTES, "uint8", 4)
    + _examples("RX24 RA24", "a5 56 34 12", 8, _BYTES, "uint8", 4)
    + _examples("BX24 BA24", "a5 12 34 56", 8, _BYTES, "uint8", 4)
    + _examples("RG24", "56 34 12", 8, _BYTES, "uint8", 3)
    + _examples("BG24", "12 34 56", 8, _BYTES, "uint8", 3)
    # 10010 001101 10101 = 0x91b5, and 10101 001101 10010 = 0xa9b2.
    + _examples("RG16", "b5 91", 8, _565, "uint16", 1)
    + _examples("BG16", "b2 a9", 8, _565, "uint16", 1)
    # 1 10010 00110 10101 = 0xc8d5.
    + _examples("XR15 AR15", "d5 c8", 8, _555, "uint16", 1)
    + _examples("XR12 AR12", "35 a1", 8, _444, "uint16", 1)
    # 10 1010100101 0011110000 1100011100 = 0xaa53c31c, and with B and R exchanged 0xb1c3c2a5.
    + _examples("XR30 AR30", "1c c3 53 aa", 16, _101010, "uint32", 1)
    + _examples("XB30 AB30", "a5 c2 c3 b1", 16, _101010, "uint32", 1)
    + _examples("XR48 AR48", "bc 9a 78 56 34 12 f0 de", 16, _WORDS, "uint16", 4)
    + _examples("XB48 AB48", "34 12 78 56 bc 9a f0 de", 16, _WORDS, "uint16", 4)
)
