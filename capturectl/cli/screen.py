# SPDX-License-Identifier: MIT
"""A terminal that is drawn anew again and again, and given back as it was."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
from enum import Enum, auto

from capturectl.cli.table import columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Any, Self

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
"""Alternate screen, no cursor, nothing on it."""
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_LFLAG, _CC = 3, 6
_LONGEST_S = 10.0**6


class Wake(Enum):
    """Why a wait is over."""

    TIME = auto()
    QUIT = auto()
    """Somebody pressed q."""
    REDRAW = auto()
    """The terminal has another size, or is ours again."""


class Ended(BaseException):
    """A signal ends the program; raised wherever it is, so that the terminal is given back."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._number = number

    def end(self) -> None:
        """End as whoever sent the signal expects it."""
        signal.signal(self._number, signal.SIG_DFL)
        signal.raise_signal(self._number)


def is_possible() -> bool:
    """Whether standard output is a terminal that can be drawn on."""
    is_dumb = os.environ.get("TERM", "dumb") == "dumb"
    return not is_dumb and sys.stdout is not None and sys.stdout.isatty()


class Screen:
    """The alternate screen of the terminal, while entered; in the main thread only.

    Ctrl-C raises KeyboardInterrupt, SIGTERM and SIGHUP raise `Ended`, Ctrl-Z stops the program
    with the terminal as it was.

    Ownership: borrows standard input and output; owns the handlers of the signals meanwhile.
    """

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._terminal = _terminal_of(sys.stdin)
        self._keys = self._terminal
        """What is read from; None when there is nothing more to read."""
        self._saved: list[Any] | None = None
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._handlers = {
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, _nothing),
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, _nothing),
            signal.SIGINT: signal.getsignal(signal.SIGINT),
        }
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
                self._handlers[number] = signal.signal(number, _end)
        try:
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Give the terminal back. It may be gone."""
        for number in self._handlers:
            signal.signal(number, _nothing)  # a second Ctrl-C would leave it as it is
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._wake)
        os.close(self._waker)

    def _take(self) -> None:
        if self._terminal is not None:
            self._saved = termios.tcgetattr(self._terminal)
            mode = termios.tcgetattr(self._terminal)
            mode[_LFLAG] &= ~(termios.ECHO | termios.ICANON)
            mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
            termios.tcsetattr(self._terminal, termios.TCSANOW, mode)
        _write(_ENTER)

    def _give_back(self) -> None:
        with contextlib.suppress(OSError):
            _write(_LEAVE)
        if self._terminal is not None and self._saved is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._saved)

    def size(self) -> tuple[int, int]:
        """Return columns and rows; 80 by 24 where the terminal does not know."""
        try:
            rows = os.get_terminal_size(sys.stdout.fileno()).lines
        except OSError:
            rows = 0
        return columns() or 80, rows or 24

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, and nothing else; they must fit."""
        # Cleared before it is written: behind a full line, its last character would go.
        text = "\r\n".join(_CLEAR_LINE + line for line in lines)
        rest = f"\r\n{_CLEAR_REST}" if len(lines) < self.size()[1] else ""
        _write(f"{_HOME}{text}{rest}{_HOME}")

    def wait(self, seconds: float) -> Wake:
        """Wait for a time to pass, or for what comes before its end."""
        deadline = time.monotonic() + min(seconds, _LONGEST_S)
        while True:
            watched = [self._wake] if self._keys is None else [self._wake, self._keys]
            left = max(0.0, deadline - time.monotonic())
            ready = select.select(watched, [], [], left)[0]
            if not ready:
                return Wake.TIME
            if self._wake in ready and self._has_changed():
                return Wake.REDRAW
            if self._keys in ready and self._is_left():
                return Wake.QUIT

    def _has_changed(self) -> bool:
        signals = os.read(self._wake, 64)
        if signal.SIGTSTP in signals:
            self._stop()
        return signal.SIGTSTP in signals or signal.SIGWINCH in signals

    def _stop(self) -> None:
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)  # returns when somebody continues us
        signal.signal(signal.SIGTSTP, _nothing)
        self._take()

    def _is_left(self) -> bool:
        try:
            keys = os.read(self._keys, 64) if self._keys is not None else b""
        except OSError:
            keys = b""
        if not keys:
            self._keys = None  # the terminal is gone; a signal tells the rest
        return keys[:1] in {b"q", b"Q"}


def _terminal_of(stream: Any) -> int | None:  # noqa: ANN401 - a file, or None when closed
    if stream is None or not stream.isatty():
        return None
    number: int = stream.fileno()
    return number


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "ascii"
    rest = text.encode(encoding, "replace")
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]


def _nothing(number: int, frame: FrameType | None) -> None:
    """The wake-up pipe has the signal's number."""


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended(number)
