# SPDX-License-Identifier: MIT
"""What was seen of the machine: records without judgement, as checks read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capturectl.doctor.cards import Examination, Node, Problem
    from capturectl.output import Output
    from capturectl.protocol import EngineStatus


class User(NamedTuple):
    """Who asks."""

    uid: int
    name: str
    groups: tuple[str, ...] = ()


class SocketFile(NamedTuple):
    """The path at which the daemon should listen."""

    path: str
    node: Node | None = None
    """None when there is nothing."""
    is_socket: bool = False
    problem: Problem | None = None
    """Why it could not be looked at."""


class Unit(NamedTuple):
    """A systemd unit; the words are systemd's."""

    name: str
    load: str = ""
    active: str = ""
    sub: str = ""
    result: str = ""
    group: str = ""
    """SocketGroup of a socket."""


class Daemon(NamedTuple):
    """What the daemon says, or why it does not."""

    problem: Problem | None = None
    version: str = ""
    outputs: tuple[Output, ...] = ()
    engines: Mapping[str, EngineStatus] = {}
    """By the output's name; empty where an old daemon does not tell."""


class Memory(NamedTuple):
    """Bytes, of /proc/meminfo."""

    available: int = 0
    cma_total: int = 0
    """0 where the kernel has no CMA."""
    cma_free: int = 0


class Facts(NamedTuple):
    """Everything that was seen."""

    version: str
    """Of capturectl."""
    user: User
    socket: SocketFile
    daemon: Daemon
    command: str = ""
    """The `captured` that looked at the cards; empty when there is none."""
    examination: Examination | None = None
    examination_problem: str = ""
    """Why the command did not answer."""
    groups: frozenset[str] = frozenset()
    """Of the groups that checks ask for, those that exist."""
    units: Mapping[str, Unit] | None = None
    """None where systemd does not run."""
    memory: Memory = Memory()
