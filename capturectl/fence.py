# SPDX-License-Identifier: MIT
"""The fence of a picture that is being written, as a client has it."""

from __future__ import annotations

import array
import fcntl
import math
import select
import struct

from capturectl.errors import CaptureLostError, CaptureTimeoutError
from capturectl.reach import LONGEST_TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.fd import OwnedFd

# linux/sync_file.h
_FILE_INFO = 0xC0383E04
_SYNC_FILE_INFO = struct.Struct("=32siIIIQ")  # name, status, flags, num_fences, pad, address
_SYNC_FENCE_INFO = struct.Struct("=32s32siIQ")  # obj, driver, status, flags, timestamp_ns


class Fence:
    """A sync_file. Owns its descriptor; open until `close()`."""

    def __init__(self, fd: OwnedFd) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Lend the fd: it polls readable when the picture is written, or never will be."""
        return self._fd.fileno()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the picture is written.

        Args:
            timeout: Seconds; None waits for as long as it takes.

        Returns:
            CLOCK_MONOTONIC of the last write, in nanoseconds.

        Raises:
            CaptureTimeoutError: Not in time.
            CaptureLostError: The capture failed; the reason has the errno.
        """
        poller = select.poll()
        poller.register(self._fd.fileno(), select.POLLIN)
        if not poller.poll(None if timeout is None else _milliseconds(timeout)):
            raise CaptureTimeoutError("the picture was not written in time", "wait for longer")
        status, time_ns = self._read()
        if status != 1:
            raise CaptureLostError(f"the capture failed with errno {-status}", "take the next")
        return time_ns

    def has_ended_well(self) -> bool:
        """Whether the picture is written, without waiting."""
        return self._read()[0] == 1

    def _read(self) -> tuple[int, int]:
        fence = array.array("B", bytes(_SYNC_FENCE_INFO.size))
        address, _ = fence.buffer_info()
        info = bytearray(_SYNC_FILE_INFO.pack(b"", 0, 0, 1, 0, address))
        fcntl.ioctl(self._fd.fileno(), _FILE_INFO, info)
        status = _SYNC_FILE_INFO.unpack(info)[1]
        return status, _SYNC_FENCE_INFO.unpack(fence)[4]

    def close(self) -> None:
        """Close it. Twice is fine."""
        self._fd.close()


def _milliseconds(timeout: float) -> int:
    """Return what poll takes: no less than 0, which would not end, and nothing without end."""
    return math.ceil(min(max(timeout, 0), LONGEST_TIMEOUT) * 1000)
