# SPDX-License-Identifier: MIT
"""Whether the end that is asked for is one for good, or the first half of a restart.

Decision 0016: the service manager sends the same signal for both, and says which only to those who
ask it for its jobs.
"""

from __future__ import annotations

import os
import signal

from captured import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.reactor import Reactor, Timer

_PATIENCE_S = 5.0
"""Waiting costs no frame; being taken for a stop costs every client its connection."""


def unit_name(cgroup: str) -> str:
    """Return our unit's name from /proc/self/cgroup; empty when we are in none.

    Kernel: "0::/system.slice/captured.service"; a manager of before cgroup v2 has a line for each
    controller, and its own is named systemd.
    """
    for line in cgroup.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" or controllers == "name=systemd":
            name = path.rpartition("/")[2]
            if name.endswith(".service"):
                return name
    return ""


def is_restart(answer: str, unit: str) -> bool:
    """Read the job of our unit in what `systemctl list-jobs` prints: JOB UNIT TYPE STATE."""
    rows = [line.split() for line in answer.splitlines()]
    return any(len(row) >= 3 and row[1] == unit and "restart" in row[2] for row in rows)


class StopQuestion:
    """Asks the manager while the loop goes on. Owns the child and its pipe until it answers.

    Whoever cannot be asked, or does not answer in time, means stop: that leaves the display as it
    was found.
    """

    def __init__(self, reactor: Reactor, answered: Callable[[bool], None]) -> None:
        """Ask; call back once with whether it is a restart, at once where nobody can be asked."""
        self._reactor = reactor
        self._answered = answered
        self._text = b""
        self._unit = _our_unit()
        self._pid, self._pipe = 0, -1
        self._timer: Timer = reactor.call_later(_PATIENCE_S, self._lose_patience)
        self._failure = "" if self._unit else "this process is in no unit"
        if self._unit:
            try:
                self._ask()
            except OSError as error:
                self._failure = f"systemctl: {error.strerror}"
        if self._failure:
            self._end()

    def _ask(self) -> None:
        self._pipe, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._pid = _start(self._unit, write)
        finally:
            os.close(write)
        self._reactor.watch(self._pipe, self._read)

    def _read(self, events: int) -> None:
        try:
            part = os.read(self._pipe, 4096)
        except BlockingIOError:
            return
        self._text += part
        if not part:
            self._end()

    def _lose_patience(self) -> None:
        self._failure = f"systemctl has not answered for {_PATIENCE_S:g} s"
        self._end()

    def _end(self) -> None:
        self._timer.cancel()
        if self._pipe >= 0:
            self._reactor.unwatch(self._pipe)
            os.close(self._pipe)
        status = _reap(self._pid) if self._pid else 0
        answer = self._text.decode(errors="replace").strip()
        is_for_restart = is_restart(answer, self._unit)
        failure = self._failure or (status and f"systemctl ended with {status}: {_last(answer)}")
        if failure and not is_for_restart:
            log.warning("whether to end for good cannot be asked, so it is: %s", failure)
        else:
            log.info("asked to end: %s", answer or "the service manager names no job")
        self._answered(is_for_restart)


def _last(text: str) -> str:
    return text.rpartition("\n")[2]


def _our_unit() -> str:
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            return unit_name(file.read())
    except OSError:
        return ""


def _start(unit: str, write: int) -> int:
    """Start systemctl with all it says in a pipe; return its pid.

    The manager, which is just going through our control group, sends a SIGTERM to whatever it
    finds there: this child is not to hear it.
    """
    words = ["systemctl", "list-jobs", "--no-legend", "--plain", "--no-pager", unit]
    actions = [(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_DUP2, write, 2)]
    return os.posix_spawnp(
        words[0], words, os.environ, file_actions=actions, setsigmask=[signal.SIGTERM]
    )


def _reap(pid: int) -> int:
    """Return the exit status of a child that has ended, or has to; -N for signal N.

    Kernel: descriptors are closed before a process can be waited for, and one that has begun to
    exit keeps its status whatever signal comes (kernel/exit.c, do_exit and do_group_exit).
    """
    found, status = os.waitpid(pid, os.WNOHANG)
    if found != pid:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
