# SPDX-License-Identifier: MIT
"""The daemon's buffers as this client has them: sent once, mapped once, kept while needed."""

from __future__ import annotations

import os

from capturectl.errors import ProtocolError
from capturectl.fourcc import is_known, pixel_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl import protocol
    from capturectl.dmabuf import MappedDmabuf
    from capturectl.fd import OwnedFd

Key = tuple[int, int, int]
"""(stream, generation, buffer): of one daemon, the same key is the same memory."""


class FrameBuffer:
    """One buffer of the daemon's pool. Its table owns the memory."""

    __slots__ = ("dmabuf", "is_gone", "key", "layout", "users")

    def __init__(
        self, layout: protocol.Buffer, dmabuf: MappedDmabuf, key: Key = (0, 0, 0)
    ) -> None:
        self.layout = layout
        self.dmabuf = dmabuf
        self.key = key
        self.users = 0
        """How many frames show it."""
        self.is_gone = False
        """Whether it goes with the last of them."""


class BufferTable:
    """All buffers that a connection was sent. Open until `close()`.

    A newer generation replaces the older ones of its stream, but for those that a frame still
    shows.

    Ownership: owns every fd and mapping in it.
    """

    def __init__(self) -> None:
        self._buffers: dict[Key, FrameBuffer] = {}
        self._going: set[FrameBuffer] = set()
        """Given up, but shown by a frame still."""

    def add(self, stream: int, layout: protocol.Buffer, fd: OwnedFd) -> None:
        """Map a buffer that was sent.

        Args:
            stream: The output that it is of.
            layout: What BUFFER said.
            fd: The dma-buf; owned from here on, also when this fails.

        Raises:
            ProtocolError: The memory is smaller than the layout says.
            OSError: It cannot be mapped.
        """
        from capturectl.dmabuf import MappedDmabuf  # who only looks needs no mmap

        try:
            _check(layout, os.lseek(fd.fileno(), 0, os.SEEK_END))
            dmabuf = MappedDmabuf(fd, layout.size)
        except BaseException:
            fd.close()
            raise
        key = (stream, layout.generation, layout.buffer)
        self.give_up(key)  # another daemon's may have the same number, and be other memory
        self._buffers[key] = FrameBuffer(layout, dmabuf, key)
        self._give_up_older(stream)

    def use(self, key: Key) -> FrameBuffer:
        """Return a buffer, and keep it until `let_go`.

        Raises:
            ProtocolError: It was never sent.
        """
        buffer = self._buffers.get(key)
        if buffer is None:
            raise ProtocolError(f"a FRAME in buffer {key[2]}.{key[1]}, which was never sent")
        buffer.users += 1
        return buffer

    def let_go(self, buffer: FrameBuffer) -> None:
        """Say that a frame shows a buffer no more."""
        buffer.users -= 1
        if not buffer.users and buffer.is_gone:
            self._going.discard(buffer)
            buffer.dmabuf.close()

    def give_up(self, key: Key) -> None:
        """Drop a buffer, as soon as no frame shows it."""
        buffer = self._buffers.pop(key, None)
        if buffer is None:
            return
        buffer.is_gone = True
        if buffer.users:
            self._going.add(buffer)
        else:
            buffer.dmabuf.close()

    def retire(self) -> None:
        """Give all buffers up."""
        for key in list(self._buffers):
            self.give_up(key)

    def _give_up_older(self, stream: int) -> None:
        newest = max(key[1] for key in self._buffers if key[0] == stream)
        for key in list(self._buffers):
            if key[0] == stream and key[1] < newest:
                self.give_up(key)

    def close(self) -> None:
        """Unmap and close everything. Twice is fine."""
        self.retire()
        while self._going:
            self._going.pop().dmabuf.close()


def _check(layout: protocol.Buffer, size: int) -> None:
    if layout.size > size:
        raise ProtocolError(f"BUFFER of {layout.size} bytes in a dma-buf of {size}")
    if not is_known(layout.fourcc):
        return
    row = layout.width * pixel_format(layout.fourcc).bytes_per_pixel
    end = layout.offset[0] + layout.pitch[0] * (layout.height - 1) + row
    if row > layout.pitch[0] or end > layout.size:
        raise ProtocolError(f"a picture that ends at {end} in a buffer of {layout.size} bytes")
