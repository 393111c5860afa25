# SPDX-License-Identifier: MIT
"""PNG of 8 and 16 bits a component, with text chunks.

Pillow cannot write 16-bit RGB, and importing it takes longer than a capture; see
docs/decisions/0003-own-png-writer.md. Source: the PNG specification, third edition.
"""

from __future__ import annotations

import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from capturectl.pixels import RgbImage

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUECOLOUR = 2
_FILTER_NONE = b"\0"
_LEVEL = 6


def encode(image: RgbImage, texts: Mapping[str, str]) -> bytes:
    """Return the file.

    Args:
        image: The picture.
        texts: Keyword (1 to 79 Latin-1 characters) to text, for iTXt chunks.
    """
    head = struct.pack(">IIBBBBB", image.width, image.height, image.depth, _TRUECOLOUR, 0, 0, 0)
    pixels = zlib.compress(b"".join(_filtered(image)), _LEVEL)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", head),
            *(_text(keyword, text) for keyword, text in texts.items()),
            _chunk(b"IDAT", pixels),
            _chunk(b"IEND", b""),
        )
    )


def _filtered(image: RgbImage) -> Iterator[bytes]:
    row = image.width * 3 * image.depth // 8
    for start in range(0, len(image.data), row):
        yield _FILTER_NONE
        yield image.data[start : start + row]


def _text(keyword: str, text: str) -> bytes:
    uncompressed, no_language, no_translation = b"\0\0", b"\0", b"\0"
    return _chunk(
        b"iTXt",
        keyword.encode("latin-1") + b"\0" + uncompressed + no_language + no_translation
        + text.encode(),
    )  # fmt: skip


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)
