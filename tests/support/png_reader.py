# SPDX-License-Identifier: MIT
"""A reader of PNG files, from the specification; nothing of the product is used here."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple


class Chunk(NamedTuple):
    """One chunk of a file."""

    kind: str
    data: bytes
    crc_is_right: bool


def chunks(file: bytes) -> list[Chunk]:
    """Return the chunks behind the signature."""
    assert file[:8] == bytes.fromhex("89504e470d0a1a0a")
    found, at = [], 8
    while at < len(file):
        (size,) = struct.unpack_from(">I", file, at)
        kind, data = file[at + 4 : at + 8], file[at + 8 : at + 8 + size]
        (crc,) = struct.unpack_from(">I", file, at + 8 + size)
        found.append(Chunk(kind.decode(), data, crc == zlib.crc32(kind + data)))
        at += 12 + size
    return found


def header(file: bytes) -> tuple[int, ...]:
    """Return width, height, depth, colour type, compression, filter, interlace."""
    return struct.unpack(">IIBBBBB", chunks(file)[0].data)


def samples(file: bytes) -> list[tuple[int, ...]]:
    """Return each row's components; the rows must be unfiltered true colour."""
    width, height, depth = header(file)[:3]
    data = zlib.decompress(b"".join(c.data for c in chunks(file) if c.kind == "IDAT"))
    row = 1 + width * 3 * depth // 8
    assert len(data) == row * height
    rows = [data[start : start + row] for start in range(0, len(data), row)]
    assert all(line[0] == 0 for line in rows)
    letter = "B" if depth == 8 else "H"
    return [struct.unpack(f">{width * 3}{letter}", line[1:]) for line in rows]
