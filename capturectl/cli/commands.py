# SPDX-License-Identifier: MIT
"""What commands there are. Imports nothing: `capturectl --help` is this page."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Look": {
        "list": "show the outputs that can be captured",
        "status": "show all that the daemon knows of its outputs",
        "doctor": "say what can be captured on this machine, and why not",
        "clients": "show who is connected, or disconnect one of them",
        "top": "show rates and buffers, again and again",
        "monitor": "print what happens, one JSON object a line",
        "metrics": "print counters as Prometheus reads them",
    },
    "Capture": {
        "snapshot": "capture one picture of an output into a file",
        "stream": "write frame after frame, for ffmpeg, players and programs",
        "compare": "check that an output shows a picture",
    },
    "Set up": {
        "config": "check or show the daemon's settings",
        "version": "print the versions of command and daemon",
        "completion": "print the completions for a shell",
    },
}
"""Group to its commands, each with its line in the help; the module of that name has the rest."""

SHARED_OPTIONS = (
    ("-S, --socket SOCKET", "the daemon's socket (default: $CAPTURECTL_SOCKET, else\n"
     "/run/captured/captured.sock)"),
    ("-H, --host HOST", "run the command on [USER@]HOST, through ssh; files are those\n"
     "of this machine"),
)  # fmt: skip
"""Flags, and what they are for; every command takes them, and so does capturectl before it."""

EXIT_STATUS = """\
exit status:
  0 done  1 failed  2 usage  3 daemon not reachable  4 no such output or not capturable
  5 output is off  6 timeout  7 not allowed  130 interrupted
"""


def names() -> list[str]:
    """Return the commands, in the order of the help."""
    return [name for group in COMMANDS.values() for name in group]


def summary(name: str) -> str:
    """Return a command's line."""
    return next(group[name] for group in COMMANDS.values() if name in group)


def usage() -> str:
    """Return the help of the whole command."""
    lines = ["usage: capturectl [-S SOCKET] [-H HOST] COMMAND [OPTION]...", ""]
    lines += ["See what is really on the glass of this device.", ""]
    for group, commands in COMMANDS.items():
        lines.append(f"{group}:")
        lines += [f"  {name:<12}{line}" for name, line in commands.items()]
        lines.append("")
    lines.append("options:")
    for flags, about in (*SHARED_OPTIONS, ("--version", "print the version")):
        first, *more = about.split("\n")
        lines.append(f"  {flags:<24}{first}")
        lines += [" " * 26 + line for line in more]
    lines += ["", "capturectl COMMAND --help says more of a command.", "", EXIT_STATUS.rstrip()]
    return "\n".join(lines) + "\n"
