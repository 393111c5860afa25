# SPDX-License-Identifier: MIT
"""One line on a terminal that says how it is going."""

from __future__ import annotations

import os
import sys
import time

_EVERY = 0.5


class Progress:
    """The line; nothing at all where standard error is no terminal."""

    def __init__(self, *, wanted: bool = True) -> None:
        """Begin; `wanted` is False where the line would stand between the data."""
        self._is_shown = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._start = self._last = time.monotonic()
        self._last_frames = 0
        self._fps = 0.0

    def show(self, frames: int, dropped: int, size: int, note: str = "") -> None:
        """Say how many frames there were, how many were gone without, and bytes; not too often."""
        now = time.monotonic()
        if not self._is_shown or now - self._last < _EVERY:
            return
        self._fps = (frames - self._last_frames) / (now - self._last)
        self._last, self._last_frames = now, frames
        self._put(f"{frames} frames  {self._fps:.1f} fps  {dropped} dropped  {_bytes(size)}", note)

    def end(self, frames: int, dropped: int, size: int) -> None:
        """Say the last of it and leave the line."""
        if not self._is_shown:
            return
        fps = frames / max(time.monotonic() - self._start, 0.001)
        self._put(f"{frames} frames  {fps:.1f} fps  {dropped} dropped  {_bytes(size)}", "", "\n")

    def _put(self, text: str, note: str, end: str = "") -> None:
        text = f"{text}  {note}".rstrip()[: _columns() - 1]
        try:
            sys.stderr.write(f"\r{text}\x1b[K{end}")
            sys.stderr.flush()
        except OSError:  # the terminal is gone, which is no reason to write no more frames
            self._is_shown = False


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def _bytes(size: int) -> str:
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
