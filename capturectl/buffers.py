# SPDX-License-Identifier: MIT
"""The daemon's buffers as this client has them: sent once, mapped once, kept while needed."""

from __future__ import annotations

import os

from capturectl.errors import ProtocolError
from capturectl.fourcc import is_known, pixel_format
from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl import protocol
    from capturectl.dmabuf import MappedDmabuf
    from capturectl.fd import OwnedFd

Key = tuple[int, int, int]
"""(stream, generation, buffer): the same key is the same memory."""


class FrameBuffer(NamedTuple):
    """One buffer of the daemon's pool."""

    layout: protocol.Buffer
    dmabuf: MappedDmabuf
    """Owned by the table."""


class BufferTable:
    """All buffers that a connection was sent. Open until `close()`.

    A newer generation replaces the older ones of its stream, but for those that a frame still
    shows.

    Ownership: owns every fd and mapping in it.
    """

    def __init__(self) -> None:
        self._buffers: dict[Key, FrameBuffer] = {}
        self._users: dict[Key, int] = {}
        self._gone: set[Key] = set()

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
        self._drop(key)
        self._buffers[key] = FrameBuffer(layout, dmabuf)
        self._drop_older(stream)

    def use(self, key: Key) -> FrameBuffer:
        """Return a buffer, and keep it until `let_go`.

        Raises:
            ProtocolError: It was never sent.
        """
        buffer = self._buffers.get(key)
        if buffer is None:
            raise ProtocolError(f"a FRAME in buffer {key[2]}.{key[1]}, which was never sent")
        self._users[key] = self._users.get(key, 0) + 1
        return buffer

    def let_go(self, key: Key) -> None:
        """Say that a frame shows the buffer no more."""
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            if key in self._gone:
                self._drop(key)
            self._drop_older(key[0])

    def give_up(self, key: Key) -> None:
        """Drop a buffer, as soon as no frame shows it."""
        if key in self._users:
            self._gone.add(key)
        else:
            self._drop(key)

    def retire(self) -> None:
        """Give all buffers up."""
        for key in list(self._buffers):
            self.give_up(key)

    def _drop_older(self, stream: int) -> None:
        newest = max((key[1] for key in self._buffers if key[0] == stream), default=0)
        for key in list(self._buffers):
            if key[0] == stream and key[1] < newest and key not in self._users:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        self._gone.discard(key)
        buffer = self._buffers.pop(key, None)
        if buffer is not None:
            buffer.dmabuf.close()

    def close(self) -> None:
        """Unmap and close everything. Twice is fine."""
        for key in list(self._buffers):
            self._drop(key)


def _check(layout: protocol.Buffer, size: int) -> None:
    if layout.size > size:
        raise ProtocolError(f"BUFFER of {layout.size} bytes in a dma-buf of {size}")
    if not is_known(layout.fourcc):
        return
    row = layout.width * pixel_format(layout.fourcc).bytes_per_pixel
    end = layout.offset[0] + layout.pitch[0] * (layout.height - 1) + row
    if row > layout.pitch[0] or end > layout.size:
        raise ProtocolError(f"a picture that ends at {end} in a buffer of {layout.size} bytes")
