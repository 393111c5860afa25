# SPDX-License-Identifier: MIT
"""The programs of a test: the scene, the daemon, the command. Started, asked, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

PROJECT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 20.0
_ENVIRONMENT = {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}


class Lost(Exception):  # noqa: N818 - the process was lost
    """A program of the test did not do what the test needs of it."""


class Process:
    """A child that is ended at the latest on leaving."""

    def __init__(self, words: Sequence[str], **options: Any) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        environment = os.environ | _ENVIRONMENT
        self.popen = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            text=True, env=environment, **options,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_for_state(self, letter: str) -> None:
        """Wait until the kernel says that it runs (R), sleeps (S), or was stopped (T)."""
        stat = Path(f"/proc/{self.pid}/stat")
        wait_until(
            lambda: stat.read_text().rpartition(")")[2].split()[0] == letter,
            f"process {self.pid} is {letter}",
        )

    def log(self) -> str:
        """Return what it wrote to standard error so far."""
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode()

    def end(self, number: int = signal.SIGTERM, timeout: float = 10.0) -> int:
        """Send a signal and return the exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.popen.wait()
        if exc is not None:
            sys.stderr.write(f"--- {self.popen.args!r}\n{self.log()}")
        self.errors.close()


class SceneProcess(Process):
    """The scene, told what to draw line by line."""

    def __init__(self, mode: str = "640x480@60", *arguments: str) -> None:
        super().__init__([sys.executable, "-m", "tests.support.scene", "--mode", mode, *arguments])
        try:
            self._answer()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def tell(self, *words: object) -> dict[str, Any]:
        """Give a command and return the answer."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(" ".join(map(str, words)) + "\n")
        self.popen.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.popen.stdout is not None
        if not select.select([self.popen.stdout], [], [], START_TIMEOUT)[0]:
            raise Lost("the scene does not answer")
        line = self.popen.stdout.readline()
        if not line:
            raise Lost(f"the scene ended: {self.log()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class DaemonProcess(Process):
    """captured, on a socket of its own; ready when it is made."""

    def __init__(
        self, socket: Path, *arguments: str, prefix: Sequence[str] = (), **options: Any
    ) -> None:
        self.socket = socket
        words = [*prefix, *self._command(), "--socket", str(socket), *arguments]
        super().__init__(words, **options)
        try:
            wait_until(self._is_ready, "captured gets ready")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def _command(self) -> list[str]:
        return [program("captured")]

    def _is_ready(self) -> bool:
        if self.popen.poll() is not None:
            raise Lost(f"captured ended with {self.popen.returncode}: {self.log()}")
        return "ready on" in self.log()

    def fd_count(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


class BareDaemon(DaemonProcess):
    """captured with the standard library alone, and without what site hooks of a developer's
    environment import: what a board runs."""

    def _command(self) -> list[str]:
        return bare_command()


def bare_command(first: str = "") -> list[str]:
    """Return the command of a `BareDaemon`; what it is to do first is Python."""
    start = (
        f"import sys; sys.path[:0] = [{str(PROJECT)!r}, {str(PROJECT / 'daemon')!r}]\n{first}\n"
        "from captured.main import main; sys.exit(main())"
    )
    return [sys.executable, "-I", "-S", "-c", start]


def wait_until(condition: Any, what: str, timeout: float = START_TIMEOUT) -> None:
    """Wait for a condition; fail with its name when it does not come true."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Lost(f"waited {timeout:g} s in vain: {what}")
        time.sleep(0.01)


def program(name: str) -> str:
    """Return the path of one of the project's commands."""
    return str(Path(sys.executable).with_name(name))


def capturectl(
    *arguments: str, socket: Path | None = None, timeout: float = 30.0, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    words = [program("capturectl"), *arguments]
    environment = os.environ | _ENVIRONMENT
    if socket is not None:
        environment["CAPTURECTL_SOCKET"] = str(socket)
    options = {"capture_output": True, "text": True} | options
    return subprocess.run(words, env=environment, timeout=timeout, check=False, **options)


def captured(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected to end by itself."""
    return subprocess.run(
        [program("captured"), *arguments], env=os.environ | _ENVIRONMENT, timeout=30,
        check=False, capture_output=True, text=True, **options,
    )  # fmt: skip
