# SPDX-License-Identifier: MIT
"""Writing beside capturing: a thread that may block, so that frames are given back in time."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import threading
from collections import deque

from capturectl.cli.output import require_stdout, write_error
from capturectl.errors import CaptureError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Piece = Sequence[bytes]
    """What is written as a whole, or not at all."""

STDOUT = "-"
_ROOM = 32 << 20  # bytes that may wait; two pictures always may
_PIPE_SIZE = 1 << 20  # the most that a user may ask for, by default


def open_for_writing(path: str, *, binary: bool) -> int:
    """Open a file, a pipe, or standard output ("-").

    Returns:
        An fd for `Sink`.

    Raises:
        CaptureError: It cannot be written, or it is a terminal and binary data is meant.
    """
    if path == STDOUT:
        require_stdout()
        fd = os.dup(sys.stdout.fileno())
    else:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise write_error(path, error) from error
    if binary and os.isatty(fd):
        os.close(fd)
        raise CaptureError(
            f"{'standard output' if path == STDOUT else path} is a terminal",
            "redirect it, such as to `mpv -`, or give a file name", code="terminal",
        )  # fmt: skip
    return fd


class Sink:
    """Writes what it is offered, whole pieces in order. Open until `close()`.

    Ownership: owns the fd.
    Synchronization: a thread of its own writes; everything else is called from one other.
    """

    def __init__(self, fd: int, name: str) -> None:
        """Start to write to a file; its name is for messages."""
        self._fd, self._name = fd, "standard output" if name == STDOUT else name
        self._is_ours = name != STDOUT  # a redirection may have had other content before
        self._mode = os.fstat(fd).st_mode
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Piece, int]] = deque()
        self._waiting_bytes = 0
        self._is_ending = False
        self._error: OSError | None = None
        self.written = 0
        """Bytes, of whole pieces."""
        if stat.S_ISFIFO(self._mode):
            _enlarge(fd)
        # It may hang in a write for as long as the reader likes, also when we want to leave.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_broken(self) -> bool:
        """Whether nothing more can be written; `close` says why."""
        return self._error is not None

    def offer(self, piece: Piece, times: int = 1) -> bool:
        """Have a piece written, perhaps several times; False when it cannot be taken now."""
        size = sum(map(len, piece))
        with self._changed:
            is_full = len(self._waiting) > 1 and self._waiting_bytes + size > _ROOM
            if self._error or is_full:
                return False
            self._waiting.append((piece, times))
            self._waiting_bytes += size
            self._changed.notify()
        return True

    def close(self) -> None:
        """Wait until all is written that was offered, and close. Twice is fine.

        Raises:
            BrokenPipeError: The reader has gone.
            CaptureError: The disk is full, for example; a file ends with its last whole piece.
        """
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._thread.join()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        if isinstance(self._error, BrokenPipeError):
            raise self._error
        if self._error is not None:
            raise write_error(self._name, self._error) from self._error

    def _run(self) -> None:
        try:
            while (taken := self._take()) is not None:
                piece, times = taken
                for _ in range(times):
                    self._write(piece)
        except OSError as error:
            self._forget_the_rest(error)

    def _take(self) -> tuple[Piece, int] | None:
        with self._changed:
            while not self._waiting:
                if self._is_ending:
                    return None
                self._changed.wait()
            piece, times = self._waiting.popleft()
            self._waiting_bytes -= sum(map(len, piece))
            return piece, times

    def _write(self, piece: Piece) -> None:
        for part in piece:
            left = memoryview(part)
            while left:
                left = left[self._write_some(left) :]
        self.written += sum(map(len, piece))

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:  # somebody else has made the pipe non-blocking
            poller = select.poll()
            poller.register(self._fd, select.POLLOUT)
            poller.poll()
            return 0

    def _forget_the_rest(self, error: OSError) -> None:
        with self._changed:
            self._error = error
            self._waiting.clear()
        if stat.S_ISREG(self._mode) and self._is_ours:
            os.ftruncate(self._fd, self.written)


def _enlarge(fd: int) -> None:
    """Let a pipe take more at once: fewer turns between writer and reader."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    except OSError:
        return  # the user's limit for all pipes is reached
