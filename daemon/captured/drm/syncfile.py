# SPDX-License-Identifier: MIT
"""sync_file: a fence as a file descriptor."""

from __future__ import annotations

import ctypes
import select

from capturectl.typed import NamedTuple
from captured.drm import libdrm, uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from capturectl.fd import OwnedFd


class FenceStatus(NamedTuple):
    """What SYNC_IOC_FILE_INFO says of a fence."""

    status: int
    """0 while pending, 1 when signalled, a negative errno when it failed."""
    timestamp_ns: int
    """CLOCK_MONOTONIC at which it signalled; 0 while pending."""


class SyncFile:
    """A fence. Open until `close()`; polls readable when it has signalled or failed.

    Ownership: owns its fd.
    Kernel: drivers/dma-buf/sync_file.c; include/uapi/linux/sync_file.h.
    """

    def __init__(self, fd: OwnedFd) -> None:
        """Take ownership of a sync_file."""
        self._fd = fd

    def fileno(self) -> int:
        """Lend the fd, for a poller."""
        return self._fd.fileno()

    def wait(self, timeout: float) -> bool:
        """Wait until the fence has ended.

        Args:
            timeout: Seconds; 0 only looks.

        Returns:
            False when the time passed first.
        """
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        return bool(poller.poll(timeout * 1000))

    def read_status(self) -> FenceStatus:
        """Read how the fence stands; readable is not enough, for a failed one is too.

        Raises:
            OSError: EINVAL or ENOTTY when the fd is no sync_file.
        """
        fence = uapi.SyncFenceInfo()
        info = uapi.SyncFileInfo(num_fences=1, sync_fence_info=ctypes.addressof(fence))
        libdrm.ioctl(self.fileno(), uapi.SYNC_IOC_FILE_INFO, info, "fence")
        return FenceStatus(info.status, fence.timestamp_ns if info.status else 0)

    def close(self) -> None:
        """Close the fd; the work behind the fence goes on. Twice is fine."""
        self._fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
