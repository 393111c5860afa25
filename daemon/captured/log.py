# SPDX-License-Identifier: MIT
"""The daemon's log: one line an event, in the journal or on standard error.

The standard library's `logging` costs a megabyte of memory, of the sixteen that the daemon may
have, for handlers, filters and a tree of loggers that a service with one log has no use for.

A part of a message that knows more of itself says so in the journal's fields: an error its code,
whatever has `log_fields` these.
"""

from __future__ import annotations

import os
import sys

from capturectl.errors import CaptureError
from captured.journal import Journal
from captured.throttle import INTERVAL_S, Throttle

LEVELS = ("debug", "info", "warning", "error")
_SYSLOG = {"debug": 7, "info": 6, "warning": 4, "error": 3}

_from = LEVELS.index("info")
_to_journal = False
_journal: Journal | None = None
_throttle = Throttle()


def begin(level: str) -> None:
    """Say what is worth a line, and find out who reads it.

    Args:
        level: One of LEVELS; what stands before it is left out.
    """
    global _from, _to_journal, _journal  # noqa: PLW0603 - the process has one log
    _from = LEVELS.index(level)
    _to_journal = _is_journal(2, os.environ.get("JOURNAL_STREAM", ""))
    if _journal is not None:
        _journal.close()
    _journal = Journal() if _to_journal else None


def debug(message: str, *parts: object, **fields: object) -> None:
    """Say what only a developer wants to know."""
    _write("debug", message, parts, fields)


def info(message: str, *parts: object, **fields: object) -> None:
    """Say what happened in the normal course.

    Args:
        message: A format string.
        parts: What is put into it.
        fields: What the journal is told beside; `code="denied"` becomes CAPTURED_CODE.
    """
    _write("info", message, parts, fields)


def warning(message: str, *parts: object, **fields: object) -> None:
    """Say what somebody else did wrong, or what stands in the way."""
    _write("warning", message, parts, fields)


def error(message: str, *parts: object, **fields: object) -> None:
    """Say what an operator has to look at."""
    _write("error", message, parts, fields)


def exception(message: str, *parts: object, **fields: object) -> None:
    """Say that the daemon itself is wrong, with the traceback of the present exception."""
    import traceback

    parts = (*parts, traceback.format_exc().rstrip())
    _write("error", f"{message}\n%s", parts, {"code": "internal"} | fields)


def _write(level: str, message: str, parts: tuple[object, ...], fields: dict[str, object]) -> None:
    if LEVELS.index(level) < _from:
        return
    for (uid, _), first, count in _throttle.ended():
        text = f"suppressed {count} more of user {uid} in {INTERVAL_S:g} s: {first}"
        _emit("warning", text, {"uid": uid, "code": "suppressed"})
    known: dict[str, object] = {}
    for part in parts:
        known |= _fields_of(part)
    known |= fields
    # What clients provoke is bounded by user: a process number is had for nothing.
    line = known.get("uid"), message
    is_bounded = "uid" in known
    if is_bounded and not _throttle.admits(line):
        return  # not even put together: a flood is cheap
    text = message % parts if parts else message
    if is_bounded:
        _throttle.note(line, text)
    _emit(level, text, known)


def _fields_of(part: object) -> dict[str, object]:
    if isinstance(part, CaptureError):
        return {"code": part.code}
    return getattr(part, "log_fields", {})


def _emit(level: str, line: str, fields: dict[str, object]) -> None:
    if _journal is not None and _journal.send(_SYSLOG[level], line, fields):
        return
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
