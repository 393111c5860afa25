# SPDX-License-Identifier: MIT
"""Tables and lists for people: aligned where they fit, one thing a line where they do not."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GREEN, _YELLOW, _RED = "32", "33", "31"
_COLOURS = {
    "ready": _GREEN, "pass": _GREEN, "capturing": _GREEN,
    "off": _YELLOW, "warn": _YELLOW, "lingering": _YELLOW, "suspended": _YELLOW,
    "blocked": _RED, "fail": _RED, "doubted": _RED,
}  # fmt: skip


def columns() -> int | None:
    """Return the width of the terminal; None when standard output is none."""
    if not sys.stdout.isatty():
        return None
    words = os.environ.get("COLUMNS", "")
    if words.isdigit() and int(words):
        return int(words)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return None


def has_colour() -> bool:
    """Whether standard output is a terminal that shows colours, and nobody minds."""
    if "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return sys.stdout.isatty()


def paint(word: str, text: str | None = None) -> str:
    """Return a text (the word itself) in the colour of a state's word."""
    text = word if text is None else text
    colour = _COLOURS.get(word.lower())
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and has_colour() else text


def table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Yield the lines of a table, the first row of which are the headings.

    In a terminal that is too narrow each row becomes a block of "HEADING value" lines.
    """
    headings, *rest = rows
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    limit = columns()
    if limit is not None and sum(widths) + 2 * len(widths) - 2 > limit:
        yield from _blocks(headings, rest)
        return
    for row in rows:
        cells = [
            paint(cell, cell.ljust(width)) if row is not headings else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _blocks(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    for number, row in enumerate(rows):
        if number:
            yield ""
        yield from pairs(list(zip(headings, row, strict=True)))


def pairs(fields: Sequence[tuple[str, str]]) -> Iterable[str]:
    """Yield "label: value" lines, labels to the right; empty values are left out."""
    width = max((len(label) for label, value in fields if value), default=0)
    for label, value in fields:
        first, *more = value.split("\n") if value else [""]
        if value:
            yield f"{label:>{width}}: {paint(first)}"
        yield from (" " * (width + 2) + line for line in more)


def counted(number: int, what: str) -> str:
    """Return "1 output" or "2 outputs"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
