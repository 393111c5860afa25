# SPDX-License-Identifier: MIT
"""PNG of 8 and 16 bits a component, with text chunks.

Pillow cannot write 16-bit RGB, and importing it takes longer than a capture; see
docs/decisions/0003-own-png-writer.md. Source: the PNG specification, third edition.
"""

from __future__ import annotations

import struct
import zlib

from capturectl.pixels import is_for_numpy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from capturectl.pixels import RgbImage

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUECOLOUR = 2
_FILTER_NONE = b"\0"
_FILTER_UP = 2
_LEVEL = 6
_STRIP = 1 << 16
"""Bytes that stay in the processor's cache between filter and compression. Compressing row by row
would take a third longer, and where memory is slow to be had, a multiple."""


def encode(image: RgbImage, texts: Mapping[str, str]) -> bytes:
    """Return the file.

    Args:
        image: The picture.
        texts: Keyword (1 to 79 Latin-1 characters) to text, for iTXt chunks.
    """
    head = struct.pack(">IIBBBBB", image.width, image.height, image.depth, _TRUECOLOUR, 0, 0, 0)
    compressor = zlib.compressobj(_LEVEL)
    filtered = _up(image) if is_for_numpy(image.width, image.height) else _unfiltered(image)
    pixels = b"".join([*(compressor.compress(rows) for rows in filtered), compressor.flush()])
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", head),
            *(_text(keyword, text) for keyword, text in texts.items()),
            _chunk(b"IDAT", pixels),
            _chunk(b"IEND", b""),
        )
    )


def _unfiltered(image: RgbImage) -> Iterator[bytes]:
    row = image.width * 3 * image.depth // 8
    strip = row * max(1, _STRIP // row)
    for top in range(0, len(image.data), strip):
        end = min(top + strip, len(image.data))
        rows = (image.data[start : start + row] for start in range(top, end, row))
        yield _FILTER_NONE.join((b"", *rows))


def _up(image: RgbImage) -> Iterator[memoryview]:
    """Each byte less the one above it: a sixteenth of the file for a screen, in the same time.

    Without numpy it takes longer than the compression, so small pictures go without.
    """
    import numpy as np

    row = image.width * 3 * image.depth // 8
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, row)
    above = np.zeros(row, np.uint8)
    count = max(1, _STRIP // row)
    for top in range(0, image.height, count):
        strip = rows[top : top + count]
        filtered = np.full((len(strip), 1 + row), _FILTER_UP, np.uint8)
        np.subtract(strip[0], above, out=filtered[0, 1:])
        np.subtract(strip[1:], strip[:-1], out=filtered[1:, 1:])
        above = strip[-1]
        yield filtered.data


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
