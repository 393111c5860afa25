# SPDX-License-Identifier: MIT
"""A command in a terminal of its own: what it draws, which keys it gets, how it leaves."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING, Any

from tests.support.processes import Lost, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

_END = "\0"
_CONTROL = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


class Terminal:
    """Runs a command in a pseudo-terminal; ended at the latest on leaving."""

    def __init__(
        self,
        *words: str,
        socket: Path,
        size: tuple[int, int] = (80, 24),
        environment: dict[str, str] | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        self._text = ""
        self.resize(*size)
        self.mode_before = termios.tcgetattr(slave)
        self._slave = slave
        variables = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "NO_COLOR"}}
        variables |= {"TERM": "xterm", "CAPTURECTL_SOCKET": str(socket)} | (environment or {})
        self.popen = subprocess.Popen(
            ["setsid", "--ctty", *words],  # for Ctrl-C and Ctrl-Z
            stdin=slave, stdout=slave, stderr=slave, env=variables,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._is_over = False
        self._reader.start()

    def _read(self) -> None:
        while not self._is_over:
            if select.select([self._master], [], [], 0.05)[0]:
                self._text += os.read(self._master, 1 << 16).decode(errors="replace")

    @property
    def text(self) -> str:
        """All that it wrote so far."""
        return self._text

    def frame(self) -> list[str]:
        """The lines that were drawn last, without control sequences."""
        drawn = [frame for frame in self._text.split("\x1b[H")[1:-1] if frame]
        return _CONTROL.sub("", drawn[-1]).replace("\r", "").split("\n") if drawn else []

    def wait_for(self, words: str) -> None:
        """Wait until the screen shows these words."""
        wait_until(lambda: words in "\n".join(self.frame()), f"{words!r} on the screen")

    def mode(self) -> Sequence[Any]:
        """The terminal's line discipline, as it is now."""
        return termios.tcgetattr(self._slave)

    def resize(self, width: int, rows: int) -> None:
        """Give the terminal another size; the kernel tells the program."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, width, 0, 0))

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def signal(self, number: int) -> None:
        """Send a signal to the program."""
        self.popen.send_signal(number)

    def end(self) -> int:
        """Wait for its end; return the exit status, as subprocess has it."""
        try:
            status = self.popen.wait(10)
        except subprocess.TimeoutExpired:
            raise Lost(f"the command does not end: {self._text!r}") from None
        os.write(self._slave, _END.encode())  # a terminal has no end by itself
        wait_until(lambda: self._text.endswith(_END), "all of it is read")
        self._text = self._text.removesuffix(_END)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        self._is_over = True
        self._reader.join()
        os.close(self._slave)
        os.close(self._master)
