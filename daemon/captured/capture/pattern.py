# SPDX-License-Identifier: MIT
"""The pattern source: a test picture at a display's pace, with no display and no DRM at all.

Colour bars, the capture's number in binary, and a box that moves. For writing clients, for the
CI of client programs, and for benchmarks. What a capture costs does not depend on its size.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from functools import cache

from capturectl.errors import UsageError
from capturectl.fd import OwnedFd
from capturectl.fourcc import MODIFIER_LINEAR, fourcc_code
from capturectl.protocol import Source as SourceKind
from captured.capture.source import Geometry, Plane
from captured.memfd import SEALS, make_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.source import Memory

BAR_COLOURS = (0xC0C0C0, 0xC0C000, 0x00C0C0, 0x00C000, 0xC000C0, 0xC00000, 0x0000C0)
"""0xRRGGBB, from left to right."""
BIT = 8
"""Side of one bit's square, in pixels; 32 of them from the left in the top rows."""
BITS = 32
BOX = 16
"""Side of the white box, which moves right by 8 pixels a capture in the middle of the height."""
SMALLEST = (BIT * BITS, 2 * (BIT + BOX))
_LARGEST = 16384
_FASTEST_MHZ = 1_000_000

_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_PIXEL = 4


def parse_geometry(text: str) -> Geometry:
    """Read "WxH@HZ".

    Raises:
        UsageError: It is not that, smaller than what is drawn, or beyond any display.
    """
    size, _, rate = text.partition("@")
    width, _, height = size.partition("x")
    try:
        refresh_mhz = round(float(rate or 60) * 1000)
        geometry = Geometry(
            int(width), int(height), refresh_mhz, fourcc_code("XR24"), MODIFIER_LINEAR
        )
    except (ValueError, OverflowError):  # the latter of infinity
        raise UsageError(f"pattern {text!r} is not WxH or WxH@HZ") from None
    if (wrong := _what_is_wrong(geometry)) is not None:
        raise UsageError(f"pattern {text!r} is {wrong}")
    return geometry


def _what_is_wrong(geometry: Geometry) -> str | None:
    width, height, refresh_mhz = geometry[:3]
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return f"smaller than {SMALLEST[0]}x{SMALLEST[1]}"
    if max(width, height) > _LARGEST:
        return f"larger than {_LARGEST}x{_LARGEST}"
    if refresh_mhz < 1:
        return "slower than 0.001 Hz"
    if refresh_mhz > _FASTEST_MHZ:
        return f"faster than {_FASTEST_MHZ // 1000} Hz"
    return None


def _pixel(colour: int) -> bytes:
    return struct.pack("<I", 0xFF000000 | colour)


_BOX = BOX * _PIXEL
_BOX_ROW = _pixel(0xFFFFFF) * BOX
_BYTE = 8 * BIT * _PIXEL
_LOW_AT = (BITS // 8 - 1) * _BYTE
"""Where the squares of a number's last byte are in the row."""
_POISON = b"poison!!" * BIT


@cache
def _rows_of_squares() -> tuple[bytes, ...]:
    """Return the row of squares of each byte, highest bit first."""
    squares = _pixel(0) * BIT, _pixel(0xFFFFFF) * BIT
    return tuple(
        b"".join(squares[byte >> bit & 1] for bit in range(7, -1, -1)) for byte in range(256)
    )


@cache
def _row_of_bars(width: int) -> bytes:
    edges = [width * i // len(BAR_COLOURS) for i in range(len(BAR_COLOURS) + 1)]
    return b"".join(
        _pixel(colour) * (edges[i + 1] - edges[i]) for i, colour in enumerate(BAR_COLOURS)
    )


class PatternMemory:
    """One picture in a memfd, which its receivers can read and never write.

    Ownership: owns the memfd and the mapping.
    """

    takes_fences = False

    def __init__(self, geometry: Geometry) -> None:
        """Allocate it and draw the bars.

        Raises:
            OSError: ENOMEM.
        """
        self._width, self._height = geometry.width, geometry.height
        self._pitch = geometry.width * _PIXEL
        self.size = self._pitch * geometry.height
        memfd, self._map = make_memory("pattern", self.size, SEALS)
        self.planes = (Plane(memfd, self._pitch, 0),)
        self._bars = _row_of_bars(self._width)
        for _ in range(self._height):  # a whole picture at once would stay in the heap
            self._map.write(self._bars)
        self._squares = _rows_of_squares()
        self._high, self._box_at = 0, 0
        self._draw_high(0)

    def draw(self, number: int) -> None:
        """Draw the picture of a capture: its number, and the box in its place.

        Between two frames the caches forget everything: so little is computed, few rows are
        touched, and it is all in one function.
        """
        number &= 0xFFFF_FFFF
        if number >> 8 != self._high:
            self._draw_high(number >> 8)
        memory, pitch = self._map, self._pitch
        row = self._squares[number & 0xFF]
        for start in range(_LOW_AT, _LOW_AT + BIT * pitch, pitch):
            memory[start : start + _BYTE] = row
        # The box and, in the same stroke, the bars where it was.
        before, bars = self._box_at, self._bars
        now = self._box_at = number * 8 % (self._width - BOX) * _PIXEL
        left, right = (before, now + _BOX) if before < now else (now, before + _BOX)
        row = bars[left:now] + _BOX_ROW + bars[now + _BOX : right]
        first = self._height // 2 * pitch + left
        for start in range(first, first + BOX * pitch, pitch):
            memory[start : start + right - left] = row

    def _draw_high(self, high: int) -> None:
        """Draw all of the number but its last byte, which is another in each picture."""
        self._high = high
        row = b"".join(map(self._squares.__getitem__, high.to_bytes(BITS // 8 - 1, "big")))
        for start in range(0, BIT * self._pitch, self._pitch):
            self._map[start : start + _LOW_AT] = row

    def poison(self) -> None:
        """Put something into the first row, where all draw, that no picture holds."""
        self._map[_LOW_AT : _LOW_AT + len(_POISON)] = _POISON

    def is_poisoned(self) -> bool:
        """Whether that is left."""
        return self._map[_LOW_AT : _LOW_AT + len(_POISON)] == _POISON

    def close(self) -> None:
        """Free it. Twice is fine."""
        self._map.close()
        for plane in self.planes:
            plane.dmabuf.close()


class PatternFence:
    """A timer that ticks once a frame: each capture is due at the next tick.

    One for all captures, which come one after the other. Ticks until `end()`.

    Ownership: owns its fd; the source has it.
    """

    is_lasting = True

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._timer = _make_timer()
        self._fd = self._timer.fileno()
        self.tick_ns = time.monotonic_ns() // period_ns * period_ns
        """The last tick that was read."""
        self.asked_ns = self.tick_ns
        """Since when a picture is wanted."""
        _set_timer(self._fd, self.tick_ns + period_ns, period_ns)

    def fileno(self) -> int:
        """Polls readable when it has ticked since the last read."""
        return self._fd

    def read_result(self) -> tuple[int, int]:
        """Say whether the picture is due, and since when."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            pass  # it has not ticked since the last read
        else:
            now_ns = time.monotonic_ns()
            self.tick_ns = now_ns - now_ns % self._period_ns
        return (1, self.tick_ns) if self.tick_ns > self.asked_ns else _PENDING

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds at most for it."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        return bool(poller.poll(timeout * 1000))

    def close(self) -> None:
        """Do nothing: the next capture has it as well."""

    def end(self) -> None:
        """Stop ticking. Twice is fine."""
        self._timer.close()


_PENDING = 0, 0


class PatternSource:
    """Test pictures, one for each frame of a steady clock.

    Ownership: owns its clock while attached.
    """

    kind = SourceKind.PATTERN
    has_fences = False
    """Its timer goes on to the next picture."""

    def __init__(self, geometry: Geometry) -> None:
        """Describe it; nothing is allocated yet."""
        self._geometry = geometry
        self._period_ns = 10**12 // geometry.refresh_mhz
        self._fence: PatternFence | None = None

    @property
    def is_attached(self) -> bool:
        """Whether its clock ticks."""
        return self._fence is not None

    def attach(self) -> Geometry:
        """Start the clock."""
        if self._fence is None:
            self._fence = PatternFence(self._period_ns)
        return self._geometry

    def detach(self) -> None:
        """Stop the clock. Twice is fine."""
        fence, self._fence = self._fence, None
        if fence is not None:
            fence.end()

    def allocate(self) -> PatternMemory:
        """Make memory for one picture."""
        return PatternMemory(self._geometry)

    def commit(self, memory: Memory, number: int) -> PatternFence:
        """Draw a picture, due at the next frame of the clock."""
        fence = self._fence
        if not isinstance(memory, PatternMemory) or fence is None:
            raise TypeError("memory of another source")
        memory.draw(number)
        fence.asked_ns = now_ns = time.monotonic_ns()
        if now_ns - fence.tick_ns >= self._period_ns:
            fence.read_result()  # the ticks before it are not for it
        return fence

    def flip_fd(self) -> int | None:
        """None: the timer is fence and vblank in one."""
        return None

    def has_flipped(self, number: int) -> bool:
        """Whatever was committed last has."""
        return True

    def vblank_of(self, number: int) -> tuple[int, int]:
        """Return the frame of the clock that the last picture was due at."""
        due_ns = self._fence.tick_ns if self._fence else 0
        return due_ns // self._period_ns, due_ns


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _make_timer() -> OwnedFd:
    fd = _libc().timerfd_create(time.CLOCK_MONOTONIC, _TFD_FLAGS)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    return OwnedFd(fd, "timer")


def _set_timer(fd: int, first_ns: int, period_ns: int) -> None:
    # struct itimerspec: interval, then value; seconds and nanoseconds each.
    spec = struct.pack("@llll", *divmod(period_ns, 10**9), *divmod(first_ns, 10**9))
    if _libc().timerfd_settime(fd, _TFD_TIMER_ABSTIME, spec, None) < 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")
