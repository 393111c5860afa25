# SPDX-License-Identifier: MIT
"""Who else has a card open, and which of them is its master."""

from __future__ import annotations

import os
from pathlib import Path

from capturectl.typed import NamedTuple


class Holder(NamedTuple):
    """A process that has a card open."""

    pid: int
    name: str
    is_master: bool | None
    """None when this process may not see it."""

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def find_master(path: str) -> Holder | None:
    """Return the master of a card, or its only other user; None when nobody can be named.

    Kernel: /sys/kernel/debug/dri/N/clients says who is master, to root only (drm_debugfs.c,
    drm_clients_info). Without it the open files under /proc are a hint.
    """
    holders = _from_debugfs(path) or _from_proc(path)
    masters = [holder for holder in holders if holder.is_master]
    if masters:
        return masters[0]
    return holders[0] if len(holders) == 1 else None


def open_numbers(pid: int, path: str) -> list[int]:
    """Return the descriptors under which a process has a card open; empty if it may not be seen.

    A process may have several, of which one alone is the master's: they cannot be told apart.
    """
    try:
        fds = list((Path("/proc") / str(pid) / "fd").iterdir())
    except OSError:
        return []
    return sorted(int(fd.name) for fd in fds if _target(fd) == path)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # closed meanwhile


def _from_debugfs(path: str) -> list[Holder]:
    try:
        minor = os.minor(Path(path).stat().st_rdev)
        lines = (
            Path(f"/sys/kernel/debug/dri/{minor}/clients").read_text(errors="replace").splitlines()
        )
    except OSError:
        return []
    found = []
    for line in lines[1:]:
        # "%20s %5d %3d   %c ...": command, tgid, minor, master; a command may hold blanks.
        words = line[20:].split()
        if len(words) < 3 or not words[0].isdigit():
            continue  # a command with a line break in its name
        pid, _, master = words[:3]
        if int(pid) != os.getpid():
            found.append(Holder(int(pid), line[:20].strip(), master == "y"))
    return found


def _from_proc(path: str) -> list[Holder]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid() or not _has_open(process, path):
            continue
        try:
            name = (process / "comm").read_text(errors="replace").strip()
        except OSError:
            continue
        found.append(Holder(int(process.name), name, None))
    return found


def _has_open(process: Path, path: str) -> bool:
    return bool(open_numbers(int(process.name), path))
