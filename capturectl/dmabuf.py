# SPDX-License-Identifier: MIT
"""dma-bufs in a client: mapped once, read between balanced sync calls."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.fd import OwnedFd

# include/uapi/linux/dma-buf.h: DMA_BUF_IOCTL_SYNC = _IOW('b', 0, struct dma_buf_sync)
_DMA_BUF_IOCTL_SYNC = 0x40086200
_SYNC_READ = 1
_SYNC_END = 4


class MappedDmabuf:
    """A dma-buf, mapped read-only. Open until `close()`.

    Ownership: owns the fd and the mapping.
    Synchronization: `begin_read` and `end_read` bracket every look at the pixels; they nest.
    Kernel: Documentation/driver-api/dma-buf.rst, "CPU Access to DMA Buffer Objects".
    """

    def __init__(self, fd: OwnedFd, size: int) -> None:
        """Map it.

        Args:
            fd: The dma-buf; owned from here on, also when this fails.
            size: Bytes to map.

        Raises:
            OSError: EACCES, EINVAL or ENOMEM of mmap.
        """
        self._fd = fd
        self._readers = 0
        try:
            self._map = mmap.mmap(fd.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ)
        except BaseException:
            fd.close()
            raise

    @property
    def memory(self) -> mmap.mmap:
        """The mapping: a read-only buffer of bytes.

        Raises:
            CaptureClosedError: Closed.
        """
        self._fd.fileno()
        return self._map

    def begin_read(self) -> None:
        """Wait for the fences on it and make the pixels visible to the CPU."""
        if not self._readers:
            self._sync(_SYNC_READ)
        self._readers += 1

    def end_read(self) -> None:
        """Say that this look is over."""
        self._readers -= 1
        if not self._readers:
            self._sync(_SYNC_READ | _SYNC_END)

    def _sync(self, flags: int) -> None:
        if not self._fd:
            return  # the client was closed before its frame was released
        while True:
            try:
                fcntl.ioctl(self._fd.fileno(), _DMA_BUF_IOCTL_SYNC, struct.pack("=Q", flags))
            except OSError as error:
                # Kernel: waiting for a fence may be interrupted, and is to be repeated.
                if error.errno in {errno.EINTR, errno.EAGAIN}:
                    continue
                if error.errno != errno.ENOTTY:  # a plain memfd has no caches to sync
                    raise
            return

    def close(self) -> None:
        """Unmap and close. Twice is fine.

        A numpy view that somebody still has keeps the mapping until it goes.
        """
        with contextlib.suppress(BufferError):
            self._map.close()
        self._fd.close()
