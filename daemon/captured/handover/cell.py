# SPDX-License-Identifier: MIT
"""A place for a few bytes that are whole after a kill at any moment."""

from __future__ import annotations

import struct
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEAD = struct.Struct("<III")  # checksum, serial, length
_ABOVE_CHECKSUM = 4


class Cell:
    """Two banks in a piece of shared memory, written in turn.

    Whoever dies while one is written leaves the other, which is the one from before.
    """

    HEAD: Final = _HEAD.size

    def __init__(self, memory: memoryview) -> None:
        """Use a piece of memory; what is in it stays. All zeros is an empty cell."""
        half = len(memory) // 2
        self._banks = memory[:half], memory[half : 2 * half]

    def store(self, content: bytes) -> None:
        """Replace the content.

        Raises:
            ValueError: It is longer than a bank.
        """
        _, serial, place = max(self._read(place) for place in (0, 1))
        body = struct.pack("<II", serial + 1 & 0xFFFF_FFFF, len(content)) + content
        whole = struct.pack("<I", crc32(body)) + body
        # Nothing is valid in the beginning: then either bank will do.
        self._banks[1 - place][: len(whole)] = whole

    def load(self) -> bytes:
        """Return the content; empty when there is none, or none that is whole."""
        is_whole, _, place = max(self._read(place) for place in (0, 1))
        if not is_whole:
            return b""
        length = _HEAD.unpack_from(self._banks[place])[2]
        return bytes(self._banks[place][_HEAD.size : _HEAD.size + length])

    def clear(self) -> None:
        """Make it empty."""
        self.store(b"")

    def _read(self, place: int) -> tuple[bool, int, int]:
        """Return whether a bank is whole, its serial, and its place."""
        bank = self._banks[place]
        checksum, serial, length = _HEAD.unpack_from(bank)
        end = _HEAD.size + length
        is_whole = serial > 0 and end <= len(bank) and crc32(bank[_ABOVE_CHECKSUM:end]) == checksum
        return is_whole, serial if is_whole else 0, place
