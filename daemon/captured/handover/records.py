# SPDX-License-Identifier: MIT
"""What one daemon writes down for the next, as bytes. A change here is a new `state.VERSION`."""

from __future__ import annotations

import struct

from capturectl.protocol import MAX_CREDITS
from capturectl.typed import NamedTuple
from captured.capture.pool import MAXIMUM

_SESSION = struct.Struct("<QQI???32sI6I?I?Q")
_OUTPUT = struct.Struct("<32s64s5IQ3I")
_SLOT = struct.Struct("<4IQ?")

MOST_PATH = 64
"""Bytes of a card's path."""
MOST_NUMBER = 1 << 48
"""What counts captures or clients is below: a thousand a second are nine thousand years."""
MOST_GENERATION = 1 << 31
"""What counts pools and buffers is below; clients are told of it in 32 bits."""
SESSION_SIZE = _SESSION.size
OUTPUT_SIZE = _OUTPUT.size + MAXIMUM * _SLOT.size


class Wish(NamedTuple):
    """A subscription, or one that has ended while its frames are held."""

    stream: int
    request: tuple[int, int, int, int, int, int]
    """The fields of its SUBSCRIBE."""
    is_active: bool
    left: int
    """Frames until it ends; 0 where it has no limit."""
    is_paused: bool
    counted: int
    """Sequence of the last frame that `left` knows of."""


NO_WISH = Wish(0, (0, 0, 0, 0, 0, 0), False, 0, False, 0)


class SessionRecord(NamedTuple):
    """A client, but for what the kernel knows of it: that goes with its socket."""

    number: int
    time_connected_ns: int
    revoked: int
    is_greeted: bool
    is_introduced: bool
    is_watching: bool
    name: str
    wish: Wish

    def pack(self) -> bytes:
        """Return it as bytes."""
        name, wish = self.name.encode()[:32], self.wish
        return _SESSION.pack(
            *self[:6], name, wish.stream, *wish.request, wish.is_active, wish.left,
            wish.is_paused, wish.counted,
        )  # fmt: skip

    @classmethod
    def unpack(cls, data: bytes) -> SessionRecord:
        """Read it.

        Raises:
            ValueError: It has another length, or numbers that cannot be true.
        """
        try:
            values = _SESSION.unpack(data)
        except struct.error as error:
            raise ValueError(f"no session: {error}") from error
        wish = Wish(values[7], values[8:14], *values[14:])
        found = cls(*values[:6], _text(values[6]), wish)  # type: ignore[call-arg]  # a star's length
        if not 0 < found.number < MOST_NUMBER or wish.request[3] > MAX_CREDITS:
            raise ValueError(f"no session has number {found.number}, or such a wish")
        return found


class SlotRecord(NamedTuple):
    """A buffer of the pool; its place is that in the list."""

    buffer: int
    fb_id: int
    gem_handle: int
    pitch: int
    size: int
    is_tainted: bool


class LitRecord(NamedTuple):
    """What the daemon did to light the display."""

    is_lit: int
    fb_id: int
    """0 when it was switched on with the picture that it had."""
    gem_handle: int


class OutputRecord(NamedTuple):
    """An output that is attached, and its pool."""

    name: str
    card: str
    """Path of the card."""
    generation: int
    width: int
    height: int
    refresh_mhz: int
    fourcc: int
    modifier: int
    lit: LitRecord
    slots: tuple[SlotRecord, ...]

    def pack(self) -> bytes:
        """Return it as bytes."""
        head = _OUTPUT.pack(self.name.encode(), self.card.encode(), *self[2:8], *self.lit)
        return head + b"".join(_SLOT.pack(*slot) for slot in self.slots)

    @classmethod
    def unpack(cls, data: bytes) -> OutputRecord:
        """Read it.

        Raises:
            ValueError: It has no such length, or numbers that cannot be true.
        """
        try:
            values = _OUTPUT.unpack_from(data)
            slots = tuple(SlotRecord(*slot) for slot in _SLOT.iter_unpack(data[_OUTPUT.size :]))
        except struct.error as error:
            raise ValueError(f"no output: {error}") from error
        if max([values[2], *(slot.buffer for slot in slots)]) >= MOST_GENERATION:
            raise ValueError(f"no output has generation {values[2]}, or such buffers")
        name, card, generation, width, height, refresh_mhz, fourcc, modifier = values[:8]
        shape = width, height, refresh_mhz, fourcc, modifier
        lit = LitRecord(*values[8:])
        return cls(_text(name), _text(card), generation, *shape, lit, slots)


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode(errors="ignore")
