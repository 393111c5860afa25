# SPDX-License-Identifier: MIT
"""The pattern source: a test picture at a display's pace, with no display and no DRM at all.

Colour bars, the capture's number in binary, and a box that moves. For writing clients, for the
CI of client programs, and for benchmarks. What a capture costs does not depend on its size.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
import struct
import time
from functools import cache
from typing import TYPE_CHECKING

from capturectl.errors import UsageError
from capturectl.fd import OwnedFd
from capturectl.fourcc import MODIFIER_LINEAR, fourcc_code
from capturectl.protocol import Source as SourceKind
from captured.capture.source import FenceResult, Geometry, Plane, Vblank

if TYPE_CHECKING:
    from captured.capture.source import Memory

BAR_COLOURS = (0xC0C0C0, 0xC0C000, 0x00C0C0, 0x00C000, 0xC000C0, 0xC00000, 0x0000C0)
"""0xRRGGBB, from left to right."""
BIT = 8
"""Side of one bit's square, in pixels; 32 of them from the left in the top rows."""
BITS = 32
BOX = 32
"""Side of the white box, which moves right by 8 pixels a capture in the middle of the height."""
SMALLEST = (BIT * BITS, 2 * (BIT + BOX))

_F_ADD_SEALS = 1033
_F_SEAL_SEAL, _F_SEAL_SHRINK, _F_SEAL_GROW, _F_SEAL_FUTURE_WRITE = 1, 2, 4, 16
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_PIXEL = 4


def parse_geometry(text: str) -> Geometry:
    """Read "WxH@HZ".

    Raises:
        UsageError: It is not that, or smaller than what is drawn.
    """
    size, _, rate = text.partition("@")
    width, _, height = size.partition("x")
    try:
        refresh_mhz = round(float(rate or 60) * 1000)
        geometry = Geometry(
            int(width), int(height), refresh_mhz, fourcc_code("XR24"), MODIFIER_LINEAR
        )
    except ValueError:
        raise UsageError(f"pattern {text!r} is not WxH or WxH@HZ") from None
    if not 0 < refresh_mhz <= 1_000_000 or max(geometry[:2]) > 16384:
        raise UsageError(f"pattern {text!r} is too large or too fast")
    if geometry.width < SMALLEST[0] or geometry.height < SMALLEST[1]:
        raise UsageError(f"pattern {text!r} is smaller than {SMALLEST[0]}x{SMALLEST[1]}")
    return geometry


def _pixel(colour: int) -> bytes:
    return struct.pack("<I", 0xFF000000 | colour)


@cache
def _bits_of(byte: int) -> bytes:
    """Return the row of squares of one byte, highest bit first."""
    return b"".join(_pixel(0xFFFFFF if byte >> (7 - i) & 1 else 0) * BIT for i in range(8))


@cache
def _row_of_bars(width: int) -> bytes:
    edges = [width * i // len(BAR_COLOURS) for i in range(len(BAR_COLOURS) + 1)]
    return b"".join(
        _pixel(colour) * (edges[i + 1] - edges[i]) for i, colour in enumerate(BAR_COLOURS)
    )


class PatternMemory:
    """One picture in a memfd, which its receivers can read and never write.

    Ownership: owns the memfd and the mapping.
    Kernel: F_SEAL_FUTURE_WRITE leaves the mapping that we have and forbids all later ones.
    """

    def __init__(self, geometry: Geometry) -> None:
        """Allocate it and draw the bars."""
        self._width, self._height = geometry.width, geometry.height
        self._pitch = geometry.width * _PIXEL
        self.size = self._pitch * geometry.height
        memfd = OwnedFd(os.memfd_create("pattern", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "memfd")
        os.ftruncate(memfd.fileno(), self.size)
        self._map = mmap.mmap(memfd.fileno(), self.size)
        seals = _F_SEAL_SHRINK | _F_SEAL_GROW | _F_SEAL_FUTURE_WRITE | _F_SEAL_SEAL
        fcntl.fcntl(memfd.fileno(), _F_ADD_SEALS, seals)
        self.planes = (Plane(memfd, self._pitch, 0),)
        self._bars = _row_of_bars(self._width)
        self._map[:] = self._bars * self._height
        self._box_x = 0

    def draw(self, number: int) -> None:
        """Draw the picture of a capture: its number, and the box in its place."""
        row = b"".join(map(_bits_of, (number & 0xFFFF_FFFF).to_bytes(BITS // 8, "big")))
        for y in range(BIT):
            self._map[y * self._pitch : y * self._pitch + len(row)] = row
        self._draw_box(self._box_x, None)
        self._box_x = number * 8 % (self._width - BOX)
        self._draw_box(self._box_x, _pixel(0xFFFFFF) * BOX)

    def _draw_box(self, x: int, row: bytes | None) -> None:
        left, right = x * _PIXEL, (x + BOX) * _PIXEL
        row = self._bars[left:right] if row is None else row
        first = (self._height // 2) * self._pitch + left
        for start in range(first, first + BOX * self._pitch, self._pitch):
            self._map[start : start + len(row)] = row

    def poison(self) -> None:
        """Put something into the first row that no picture holds."""
        self._map[: BIT * _PIXEL] = b"poison!!" * 4

    def is_poisoned(self) -> bool:
        """Whether that is left."""
        return self._map[: BIT * _PIXEL] == b"poison!!" * 4

    def close(self) -> None:
        """Free it. Twice is fine."""
        self._map.close()
        for plane in self.planes:
            plane.dmabuf.close()


class PatternFence:
    """Signals at the next frame of the pattern's clock. Borrows the source's timer."""

    def __init__(self, timer: int, due_ns: int) -> None:
        self._timer = timer
        self._due_ns = due_ns

    def fileno(self) -> int:
        """Polls readable when the picture is due."""
        return self._timer

    def read_result(self) -> FenceResult:
        """Say whether the picture is due."""
        try:
            os.read(self._timer, 8)
        except BlockingIOError:
            return FenceResult(0, 0)
        return FenceResult(1, self._due_ns)

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds at most for it."""
        poller = select.poll()
        poller.register(self._timer, select.POLLIN)
        return bool(poller.poll(timeout * 1000))

    def close(self) -> None:
        """Do nothing: the timer is the source's."""


class PatternSource:
    """Test pictures, one for each frame of a steady clock.

    Ownership: owns its timer while attached.
    """

    kind = SourceKind.PATTERN

    def __init__(self, geometry: Geometry) -> None:
        """Describe it; nothing is allocated yet."""
        self._geometry = geometry
        self._period_ns = 10**12 // geometry.refresh_mhz
        self._timer: OwnedFd | None = None
        self._due_ns = 0

    @property
    def is_attached(self) -> bool:
        """Whether it has its timer."""
        return self._timer is not None

    def attach(self) -> Geometry:
        """Make the timer."""
        if self._timer is None:
            self._timer = _make_timer()
        return self._geometry

    def detach(self) -> None:
        """Close the timer. Twice is fine."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()

    def allocate(self) -> PatternMemory:
        """Make memory for one picture."""
        return PatternMemory(self._geometry)

    def commit(self, memory: Memory, number: int) -> PatternFence:
        """Draw a picture, due at the next frame of the clock."""
        if not isinstance(memory, PatternMemory) or self._timer is None:
            raise TypeError("memory of another source")
        memory.draw(number)
        self._due_ns = (time.monotonic_ns() // self._period_ns + 1) * self._period_ns
        _set_timer(self._timer.fileno(), self._due_ns)
        return PatternFence(self._timer.fileno(), self._due_ns)

    def vblank_of(self, number: int) -> Vblank:
        """Return the frame of the clock that the last picture was due at."""
        return Vblank(self._due_ns // self._period_ns, self._due_ns)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _make_timer() -> OwnedFd:
    fd = _libc().timerfd_create(time.CLOCK_MONOTONIC, _TFD_FLAGS)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return OwnedFd(fd, "timer")


def _set_timer(fd: int, due_ns: int) -> None:
    # struct itimerspec: interval, then value; seconds and nanoseconds each.
    spec = struct.pack("@llll", 0, 0, *divmod(due_ns, 1_000_000_000))
    if _libc().timerfd_settime(fd, _TFD_TIMER_ABSTIME, spec, None) < 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")
