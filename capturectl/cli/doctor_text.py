# SPDX-License-Identifier: MIT
"""Checks as people and programs read them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from capturectl.cli.table import paint
from capturectl.doctor.verdict import Level, exit_status, root_cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capturectl.doctor.verdict import Check

_NARROW = 64


def printable(text: str) -> str:
    """Return a text that does nothing to a terminal, and that standard output can show.

    Programs choose their names themselves.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text.encode(encoding, "replace").decode(encoding)


def lines(checks: Sequence[Check], summary: str, columns: int | None) -> Iterator[str]:
    """Yield the checks and the summary, wrapped to a width where there is one."""
    widest = max((len(check.topic) for check in checks), default=0)
    for check in checks:
        head = f"{check.number:2} {check.level.name} "
        label = check.topic if columns and columns < _NARROW else check.topic.ljust(widest)
        indent = 4 if columns and columns < _NARROW else len(head) + widest + 1
        for number, line in enumerate(
            _wrapped(f"{head}{label} {check.sentence}", columns, indent)
        ):
            yield line if number else line.replace(check.level.name, paint(check.level.name), 1)
        if check.remedy and check.level is not Level.PASS:
            arrow = " " * indent + f"-> {check.remedy}"
            yield from _wrapped(arrow, columns, indent + 3)
    yield ""
    yield from _wrapped(summary, columns, 0)


def _wrapped(text: str, columns: int | None, indent: int) -> list[str]:
    import textwrap

    text = printable(text)
    if columns is None:
        return [text]
    return textwrap.wrap(
        text, columns, subsequent_indent=" " * indent, break_on_hyphens=False
    ) or [""]


def as_json(checks: Sequence[Check], summary: str) -> dict[str, object]:
    """Return the verdict as JSON has it."""
    cause = root_cause(checks)
    return {
        "can_capture": cause is None,
        "exit_status": exit_status(checks),
        "summary": summary,
        "error": cause and {"code": cause.code, "reason": cause.sentence, "hint": cause.remedy},
        "checks": [
            {
                "number": check.number,
                "topic": check.topic,
                "level": check.level.value,
                "sentence": check.sentence,
                "remedy": check.remedy,
                "code": check.code,
            }
            for check in checks
        ],
    }
