# SPDX-License-Identifier: MIT
"""What `stream` makes of frames: a film, raw pixels, or lines of JSON."""

from __future__ import annotations

import json

from capturectl import y4m
from capturectl.cli.filmclock import FilmClock
from capturectl.cli.output import SCHEMA
from capturectl.conversation import millihertz
from capturectl.encode import describe
from capturectl.errors import CaptureUnsupportedError
from capturectl.fourcc import fourcc_name
from capturectl.pixels import copy_rows
from capturectl.region import within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.cli.sink import Piece
    from capturectl.frame import Frame
    from capturectl.region import Region

FORMATS = ("y4m", "raw", "jsonl")
"""What a stream can be written as."""
_TEXTS = ("output", "source", "driver", "format")
_FFMPEG_NAMES = {
    "XR24": "bgr0", "AR24": "bgra", "XB24": "rgb0", "AB24": "rgba", "RX24": "0bgr",
    "RA24": "abgr", "BX24": "0rgb", "BA24": "argb", "RG24": "bgr24", "BG24": "rgb24",
    "RG16": "rgb565le", "BG16": "bgr565le", "XR15": "rgb555le", "XR12": "rgb444le",
    "XR30": "x2rgb10le", "XB30": "x2bgr10le", "XR48": "bgra64le", "AR48": "bgra64le",
    "XB48": "rgba64le", "AB48": "rgba64le",
}  # fmt: skip
"""What ffmpeg calls a layout, in -pixel_format."""


class Film:
    """One stream's form: what its first frame fixes, and the bytes of each.

    Attributes:
        clock: Says when to repeat pictures; None where each frame stands for itself.
        head: What stands before the first frame.
    """

    def __init__(
        self, frame: Frame, form: str, *, rate_mhz: int, region: Region | None, chroma: str
    ) -> None:
        """Fix the form by a held frame.

        Raises:
            UsageError: The region does not lie in the frame.
            CaptureUnsupportedError: The frame's pixel format is not known here.
        """
        self.form = form
        self.part = within(region, frame)
        self._region, self._chroma, self._rate_mhz = region, chroma, rate_mhz
        self._layout = frame.pixel_format
        self._size = frame.width, frame.height
        is_film = form == "y4m"
        self._copy = bytearray()
        self.clock = FilmClock(rate_mhz) if is_film else None
        size = self.part.width, self.part.height
        self.head = y4m.header(*size, rate_mhz, chroma) if is_film else b""

    def fits(self, frame: Frame) -> bool:
        """Whether a frame can follow: its mode is the first one's."""
        if self.form == "jsonl":
            return True
        return (frame.width, frame.height) == self._size and frame.pixel_format == self._layout

    @property
    def size_text(self) -> str:
        """The mode of the first frame, for messages."""
        return "{}x{}".format(*self._size)

    def caps(self) -> dict[str, object]:
        """Return what a reader of raw pixels has to know."""
        row = self.part.width * self._layout.bytes_per_pixel
        name = fourcc_name(self._layout.fourcc)
        return {
            "format": name,
            "ffmpeg_pixel_format": _FFMPEG_NAMES.get(name),
            "width": self.part.width,
            "height": self.part.height,
            "pitch": row,
            "frame_size": row * self.part.height,
            "rate_hz": self._rate_mhz / 1000,
        }

    def piece(self, frame: Frame, driver: str) -> Piece:
        """Return the bytes of a frame, and release it as soon as its pixels are copied."""
        if self.form == "jsonl":
            return [_line(frame, driver)]
        part, layout, pitch = self.part, self._layout, frame.pitch
        row = part.width * layout.bytes_per_pixel
        first = frame.offset + part.y * pitch + part.x * layout.bytes_per_pixel
        if self.form == "raw":
            rows = copy_rows(frame.memory, row, part.height, pitch, first)
            frame.release()
            return [rows]
        self._copy_out(frame.memory[first : first + (part.height - 1) * pitch + row])
        frame.release()
        return y4m.picture(self._copy, layout, part.width, part.height, pitch, self._chroma)

    def _copy_out(self, memory: memoryview) -> None:
        # The same memory each time: fresh pages would cost as much as the copy.
        if len(self._copy) != len(memory):
            self._copy = bytearray(len(memory))
        self._copy[:] = memory


def rate_of(refresh_mhz: int, max_fps: float) -> int:
    """Return the rate that a film says it has, in pictures per 1000 seconds.

    Raises:
        CaptureUnsupportedError: Neither the display's rate nor a limit is known.
    """
    rates = [rate for rate in (refresh_mhz, millihertz(max_fps)) if rate > 0]
    if not rates:
        raise CaptureUnsupportedError("the output has no refresh rate", "give --max-fps")
    return min(rates)


def _line(frame: Frame, driver: str) -> bytes:
    known = describe(frame, driver)
    del known["Software"]
    texts = {name: known.pop(name) for name in _TEXTS}
    size = {"width": frame.width, "height": frame.height}
    numbers = {name: int(text) for name, text in known.items()}
    fields = {"schema": f"{SCHEMA}/frame", **texts, **size, **numbers}
    return json.dumps(fields).encode() + b"\n"
