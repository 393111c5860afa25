# SPDX-License-Identifier: MIT
"""Looks at the machine: asks `captured` about cards, systemd about units, the daemon about itself.

Nothing is changed. A connection starts a daemon that systemd keeps ready behind its socket, as
that of any client does.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from capturectl.client import connect, default_socket
from capturectl.doctor.cards import Examination, Node, Problem, examination_from
from capturectl.doctor.facts import Daemon, Facts, Memory, SocketFile, Unit, User
from capturectl.errors import CaptureError, CaptureUnsupportedError
from capturectl.installed import find_captured
from capturectl.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from capturectl.client import Client
    from capturectl.protocol import EngineStatus

UNITS = ("captured.service", "captured.socket")
PATIENCE_S = 15.0
"""A program that has not answered by then is not waited for: a card's driver may hang."""
_UNIT_WORDS = ("Id", "LoadState", "ActiveState", "SubState", "Result", "SocketGroup")


def gather(socket: str | None) -> Facts:
    """Return all that can be seen of this machine.

    Args:
        socket: The daemon's; None takes the usual one.
    """
    path = socket or default_socket()
    command = find_captured()
    examination, problem = _examine(command) if command else (None, "")
    units, socket_file = _units(), _socket_file(path)
    # The daemon is asked last: it wants to be master for a moment, as the examination does.
    return Facts(
        VERSION, _user(), socket_file, _daemon(path), command, examination, problem,
        _existing(_asked_groups(examination, units, socket_file)), units, _memory(),
    )  # fmt: skip


def run(*words: str) -> tuple[int, str, str]:
    """Run a program; return its status, standard output and standard error.

    A program that cannot be run or does not end has the status -1, and says why in the last.
    """
    import subprocess

    try:
        done = subprocess.run(
            words, capture_output=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return -1, "", f"{words[0]} did not answer within {PATIENCE_S:g} s"
    except OSError as error:
        return -1, "", f"{words[0]}: {error.strerror}"
    return done.returncode, _text(done.stdout), _text(done.stderr)


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")


def _examine(command: str) -> tuple[Examination | None, str]:
    import json

    status, output, errors = run(command, "--examine")
    if status != 0:
        lines = errors.strip().splitlines() or [f"it ended with status {status}"]
        return None, lines[-1]
    try:
        return examination_from(json.loads(output)), ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"its answer is not understood ({error})"


def _user() -> User:
    import pwd

    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user {uid}"
    gids = {os.getegid(), *os.getgroups()}
    return User(uid, name, tuple(_group_name(gid) for gid in sorted(gids)))


def _group_name(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _asked_groups(
    examination: Examination | None, units: Mapping[str, Unit] | None, socket: SocketFile
) -> Iterator[str]:
    """Yield the groups that anything names."""
    yield examination.settings.get("group", "") if examination else ""
    yield from (unit.group for unit in (units or {}).values())
    yield socket.node.group if socket.node else ""


def _existing(names: Iterator[str]) -> frozenset[str]:
    """Return those that exist; one by one, as a directory service does not list them all."""
    import grp

    found = set()
    for name in filter(None, names):
        with contextlib.suppress(KeyError):
            found.add(grp.getgrnam(name).gr_name)
    return frozenset(found)


def _socket_file(path: str) -> SocketFile:
    import pwd

    try:
        found = os.stat(path)  # noqa: PTH116 - pathlib is not needed for one call
    except PermissionError as error:
        problem = Problem("not-allowed", f"{path}: {error.strerror}", "ask as root", 7)
        return SocketFile(path, problem=problem)
    except OSError:
        return SocketFile(path)
    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    node = Node(f"{stat.S_IMODE(found.st_mode):04o}", owner, _group_name(found.st_gid))
    return SocketFile(path, node, stat.S_ISSOCK(found.st_mode))


def _daemon(path: str) -> Daemon:
    try:
        with connect(path, name="capturectl doctor") as client:
            return Daemon(None, client.daemon_version, client.outputs(), _engines(client))
    except CaptureError as error:
        return Daemon(Problem(error.code, error.reason, error.hint, error.exit_code))


def _engines(client: Client) -> Mapping[str, EngineStatus]:
    try:
        return client.engines()
    except CaptureUnsupportedError:
        return {}  # an old daemon


def _units() -> Mapping[str, Unit] | None:
    if not os.path.isdir("/run/systemd/system"):  # noqa: PTH112 - sd_booted(3)
        return None
    status, output, _ = run("systemctl", "show", f"--property={','.join(_UNIT_WORDS)}", *UNITS)
    return parse_units(output) if status == 0 else None


def parse_units(output: str) -> Mapping[str, Unit]:
    """Return the units that `systemctl show` printed: NAME=VALUE lines, a blank line between."""
    units = {}
    for block in output.split("\n\n"):
        words = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        unit = Unit(*(words.get(name, "") for name in _UNIT_WORDS))
        units[unit.name] = unit
    return units


def _memory() -> Memory:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - as above
            return parse_memory(file.read().splitlines())
    except OSError:
        return Memory()


def parse_memory(lines: Sequence[str]) -> Memory:
    """Return what the lines of /proc/meminfo say, in bytes."""
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if ":" in line}
    names = ("MemAvailable", "CmaTotal", "CmaFree")
    return Memory(*(kib.get(name, 0) * 1024 for name in names))
