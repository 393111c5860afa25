# SPDX-License-Identifier: MIT
"""Client programs, as processes that can be stopped and killed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.processes import PROJECT

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


class Clients:
    """Processes that run one program, which says "begun"; all end with `close()`."""

    def __init__(self, program: str, socket: Path) -> None:
        """Start none yet.

        Args:
            program: Its source; gets the socket's path as its first argument.
            socket: The daemon's.
        """
        self._words = [sys.executable, "-c", program, str(socket)]
        self._running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start one; it has begun on return."""
        words = [*self._words, *map(str, arguments)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        self._running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    def close(self) -> None:
        """Kill all that run. Twice is fine."""
        while self._running:
            process = self._running.pop()
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
