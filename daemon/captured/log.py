# SPDX-License-Identifier: MIT
"""The daemon's log: one line an event, on standard error.

The standard library's `logging` costs a megabyte of memory, of the sixteen that the daemon may
have, for handlers, filters and a tree of loggers that a service with one log has no use for.
"""

from __future__ import annotations

import os
import sys

LEVELS = ("debug", "info", "warning", "error")
_SYSLOG = {"debug": 7, "info": 6, "warning": 4, "error": 3}

_from = LEVELS.index("info")
_to_journal = False


def begin(level: str) -> None:
    """Say what is worth a line.

    Args:
        level: One of LEVELS; what stands before it is left out.
    """
    global _from, _to_journal  # noqa: PLW0603 - the process has one log
    _from = LEVELS.index(level)
    _to_journal = _is_journal(2, os.environ.get("JOURNAL_STREAM", ""))


def debug(message: str, *parts: object) -> None:
    """Say what only a developer wants to know."""
    _write("debug", message, parts)


def info(message: str, *parts: object) -> None:
    """Say what happened in the normal course."""
    _write("info", message, parts)


def warning(message: str, *parts: object) -> None:
    """Say what somebody else did wrong, or what stands in the way."""
    _write("warning", message, parts)


def error(message: str, *parts: object) -> None:
    """Say what an operator has to look at."""
    _write("error", message, parts)


def exception(message: str, *parts: object) -> None:
    """Say that the daemon itself is wrong, with the traceback of the present exception."""
    import traceback

    _write("error", f"{message}\n%s", (*parts, traceback.format_exc().rstrip()))


def _write(level: str, message: str, parts: tuple[object, ...]) -> None:
    if LEVELS.index(level) < _from:
        return
    line = message % parts if parts else message
    # systemd.journal-fields(7), sd-daemon(3): <N> at the beginning of a line is its priority.
    prefix = f"<{_SYSLOG[level]}>" if _to_journal else "captured: "
    try:
        sys.stderr.write("".join(f"{prefix}{part}\n" for part in line.splitlines()))
    except (OSError, ValueError):
        return  # nobody reads the log; that must not end the daemon


def _is_journal(fd: int, stream: str) -> bool:
    """Whether a descriptor is the stream that the journal reads, systemd.exec(5)."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return stream == f"{found.st_dev}:{found.st_ino}"
