# SPDX-License-Identifier: MIT
"""The daemon as a service of a real systemd, in the guest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.processes import PROJECT, Lost, Process
from tests.support.service import PREFIX, SOCKET, drop_in, show, systemctl, take_back

if TYPE_CHECKING:
    from typing import Self

UNIT = "captured.service"
_CGROUP = Path("/sys/fs/cgroup/system.slice/captured.service")
DAEMON = str(PREFIX / "sbin/captured")
_DEBUG = Path("/sys/module/drm/parameters/debug")
_DRM_UT_ATOMIC = 0x10
_JOURNAL = Path("/run/systemd/journald.conf.d/no-kmsg.conf")
FRAME_NS = 1_000_000_000 / 60
_MODESET = "needs all connectors"
"""Kernel: drm_atomic_helper.c, drm_atomic_helper_check_modeset says so of every CRTC that a
commit would set anew, for its mode or for a connector that comes or goes."""

_DROP_IN = """
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=
ExecStart={daemon}
{settings}
"""


def journal() -> str:
    """Return what the service logged."""
    words = ["journalctl", "-b", "-o", "short-monotonic", "--no-pager", "-u", UNIT]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def _keep_kernel_out_of_journal() -> None:
    """Spare the guest's one CPU the thousands of lines that `KernelLog` asks for."""
    if not _JOURNAL.exists():
        _JOURNAL.parent.mkdir(parents=True, exist_ok=True)
        _JOURNAL.write_text("[Journal]\nReadKMsg=no\n")
        systemctl("restart", "systemd-journald")


class Service:
    """The installed service, as a test wants it: `install` and `remove` change it around one."""

    def install(self, *arguments: str, **settings: str) -> None:
        """Give the units what a test needs on top, and start the socket.

        Args:
            arguments: Of the daemon.
            settings: Of [Service].
        """
        more = "\n".join(f"{name}={value}" for name, value in settings.items())
        _keep_kernel_out_of_journal()
        drop_in("test", _DROP_IN.format(daemon=" ".join([DAEMON, *arguments]), settings=more))
        systemctl("start", "captured.socket")

    def set_restart_delay(self, seconds: float) -> None:
        """Let a daemon that was killed be missing for so long."""
        drop_in("test-delay", f"[Service]\nRestartSec={seconds}\n")

    def start(self) -> None:
        systemctl("start", UNIT)

    def stop(self) -> None:
        systemctl("stop", UNIT)

    def remove(self) -> None:
        """Stop everything; the units are again as they were installed."""
        systemctl("stop", "captured.socket", UNIT)
        take_back("test", "test-delay")

    def show(self, name: str) -> str:
        """Return a property."""
        return show(name)

    @property
    def pid(self) -> int:
        """The daemon's; 0 while there is none. Costs nothing: the guest has one CPU."""
        try:
            return int((_CGROUP / "cgroup.procs").read_text().split()[0])
        except (OSError, IndexError):
            return 0

    def fd_count(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def stored(self) -> int:
        """How many descriptors the manager keeps."""
        return int(self.show("NFileDescriptorStore"))


class Seen(NamedTuple):
    """What a watcher saw."""

    frames: list[dict[str, Any]]
    statistics: dict[str, int]
    error: str | None


def frames_between(before: dict[str, Any], after: dict[str, Any]) -> float:
    """Return the time between the commits of two frames, in frames."""
    gap_ns: int = after["commit_ns"] - before["commit_ns"]
    return gap_ns / FRAME_NS


def longest_gap(frames: list[dict[str, Any]]) -> float:
    """Return the longest time between two commits, in frames."""
    return max(frames_between(before, after) for before, after in pairwise(frames))


class _Speaker(Process):
    """A client program that says "begun", "gap" and, at the end of its input, what it saw."""

    def begun(self) -> None:
        """Wait until frames come steadily."""
        self._expect("begun")

    def saw_gap(self) -> None:
        """Wait until a frame came after a gap."""
        self._expect("gap")

    def _expect(self, word: str) -> None:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if line != f"{word}\n":
            raise Lost(f"instead of {word}: {line}{self.log()}{journal()}")

    def _end(self) -> Any:
        assert self.popen.stdin is not None
        self.popen.stdin.write("end\n")
        self.popen.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self.popen.stdout is not None
        lines = [line for line in self.popen.stdout if line != "gap\n"]
        return json.loads(lines[-1])


class Watcher(_Speaker):
    """A client that streams; with "look" it looks at the pixels as well."""

    def __init__(self, *arguments: str) -> None:
        super().__init__(
            [sys.executable, "-m", "tests.support.watcher", str(SOCKET), *arguments], cwd=PROJECT
        )

    def wait_for_error(self) -> str | None:
        """Wait for its end; return why it ended."""
        error: str | None = self._read()["error"]
        return error

    def finish(self) -> Seen:
        """Let it take one more frame and end."""
        said = self._end()
        return Seen(said["seen"], said["statistics"], said["error"])


class Crowd(_Speaker):
    """Clients in one process, which look at nothing."""

    def __init__(self, count: int) -> None:
        super().__init__(
            [sys.executable, "-m", "tests.support.crowd", str(SOCKET), str(count)], cwd=PROJECT
        )

    def finish(self) -> list[list[dict[str, Any]]]:
        """End it; return the frames of each."""
        seen: list[list[dict[str, Any]]] = self._end()["seen"]
        return seen


class KernelLog:
    """The kernel's messages from now on, with those about modesets."""

    def __enter__(self) -> Self:
        _DEBUG.write_text(str(_DRM_UT_ATOMIC))
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)
        return self

    def modesets(self) -> list[str]:
        """Return the messages of commits that set a mode, or route a connector anew."""
        return [line for line in self._lines() if _MODESET in line]

    def _lines(self) -> list[str]:
        lines = []
        while True:
            try:
                lines.append(os.read(self._fd, 8192).decode(errors="replace"))
            except BlockingIOError:
                return lines
            except BrokenPipeError as error:
                raise Lost("the kernel's log was overwritten before it was read") from error

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._fd)
        _DEBUG.write_text("0")
