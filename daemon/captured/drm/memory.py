# SPDX-License-Identifier: MIT
"""The memory that a writeback connector writes one picture to, as the engine wants it."""

from __future__ import annotations

import contextlib
import os

from capturectl.fourcc import pixel_format
from capturectl.typed import Protocol
from captured.capture.source import Geometry, Plane
from captured.drm.framebuffer import DumbFramebuffer
from captured.drm.sealed import SealedFramebuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from contextlib import AbstractContextManager
    from typing import Self

    from captured.drm.card import Card
    from captured.drm.ids import FbId, GemHandle

_PARTS, _MARK = 16, 64  # parts that a picture's height is marked in, and bytes of a mark


class _Sized(Protocol):
    """What the marks and the geometry of both kinds are made of."""

    fb_id: FbId
    width: int
    height: int
    fourcc: int

    @property
    def pitch(self) -> int:
        """Bytes from one row to the next."""

    @property
    def size(self) -> int:
        """Bytes of the whole memory."""

    def close(self) -> None:
        """Free it."""


class WritebackMemory:
    """A framebuffer for one picture. Exists until `close()`.

    Ownership: owns the framebuffer; `planes` say what clients get.
    """

    planes: tuple[Plane, ...]
    takes_fences = True

    def __init__(self, framebuffer: _Sized) -> None:
        self._framebuffer = framebuffer
        self._marks: dict[int, bytes] = {}

    @property
    def fb_id(self) -> FbId:
        """The framebuffer's number, for WRITEBACK_FB_ID."""
        return self._framebuffer.fb_id

    @property
    def size(self) -> int:
        """Bytes of what clients get."""
        return self._framebuffer.size

    def _map(self) -> AbstractContextManager[mmap.mmap]:
        """Lend the pixels, writable for us."""
        raise NotImplementedError

    def poison(self) -> None:
        """Put random bytes on pixels of the first, the last and some rows between."""
        self._marks = _random_marks(self._framebuffer)
        with self._map() as memory:
            for offset, mark in self._marks.items():
                memory[offset : offset + len(mark)] = mark

    def is_poisoned(self) -> bool:
        """Whether any of those bytes are left."""
        with self._map() as memory:
            return any(memory[o : o + len(mark)] == mark for o, mark in self._marks.items())

    def close(self) -> None:
        """Free it. A job that still writes keeps its own reference. Twice is fine."""
        self._framebuffer.close()


def _random_marks(framebuffer: _Sized) -> dict[int, bytes]:
    """Return random bytes by their offset, from the first pixels of a picture to its last.

    They lie on pixels alone: what is behind a row, up to the pitch, hardware need not write.
    """
    row = framebuffer.width * pixel_format(framebuffer.fourcc).bytes_per_pixel
    size = min(_MARK, row)
    last = framebuffer.height - 1
    rows = {last * part // _PARTS for part in range(_PARTS + 1)}
    # Further to the right the lower they are, so that a column that is missing shows as well.
    places = (y * framebuffer.pitch + (row - size) * y // max(last, 1) for y in rows)
    return {offset: os.urandom(size) for offset in places}


class DumbMemory(WritebackMemory):
    """In a dumb buffer of the card; clients get a dma-buf that they can only map for reading.

    Ownership: owns the dma-buf as well.
    """

    def __init__(self, framebuffer: DumbFramebuffer) -> None:
        """Export it; use `allocate` for a new one.

        Ownership: the framebuffer is owned from here on, also when this fails.
        Kernel: what was exported before is exported again as the same dma-buf, and as read-only
        as it was (drm_prime.c, drm_gem_prime_handle_to_dmabuf).
        """
        super().__init__(framebuffer)
        self._buffer = framebuffer.buffer
        try:
            self.planes = (Plane(self._buffer.export(), framebuffer.pitch, 0),)
        except BaseException:
            framebuffer.close()
            raise

    @classmethod
    def allocate(cls, card: Card, geometry: Geometry) -> Self:
        """Allocate, register and export it."""
        return cls(DumbFramebuffer(card, geometry.width, geometry.height, geometry.fourcc))

    @property
    def gem_handle(self) -> GemHandle:
        """The buffer's number in the card's open file."""
        return self._buffer.gem_handle

    def _map(self) -> AbstractContextManager[mmap.mmap]:
        return self._buffer.map()

    def close(self) -> None:
        """Free it. A job that still writes keeps its own reference. Twice is fine."""
        for plane in self.planes:
            plane.dmabuf.close()
        super().close()


class SealedMemory(WritebackMemory):
    """In a sealed memfd: clients get that, and nothing in their machine can write to it."""

    @classmethod
    def allocate(cls, card: Card, geometry: Geometry) -> Self:
        """Allocate, import, register and seal it.

        Raises:
            CaptureUnsupportedError: no-udmabuf.
        """
        return cls(SealedFramebuffer(card, geometry.width, geometry.height, geometry.fourcc))

    def __init__(self, framebuffer: SealedFramebuffer) -> None:
        super().__init__(framebuffer)
        self._memory = framebuffer.memory
        self.planes = (Plane(framebuffer.memfd, framebuffer.pitch, 0),)

    def _map(self) -> AbstractContextManager[mmap.mmap]:
        return contextlib.nullcontext(self._memory)
