# SPDX-License-Identifier: MIT
"""Tables and lists for people: aligned where they fit, one thing a line where they do not."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_GREEN, _YELLOW, _RED = "32", "33", "31"
_COLOURS = {
    "ready": _GREEN, "pass": _GREEN, "capturing": _GREEN,
    "off": _YELLOW, "warn": _YELLOW, "lingering": _YELLOW, "suspended": _YELLOW,
    "blocked": _RED, "fail": _RED, "doubted": _RED,
}  # fmt: skip
_GAP = "  "
_MEBIBYTE = 1 << 20


# -- the terminal -----------------------------------------------------------------------------


def columns() -> int | None:
    """Return the width of the terminal; None when standard output is none."""
    return terminal_columns() if _is_terminal() else None


def terminal_columns() -> int | None:
    """Return the width that COLUMNS or standard output's terminal has; None when neither says."""
    words = os.environ.get("COLUMNS", "")
    if words.isdecimal() and int(words):
        return int(words)
    try:
        # A serial line does not know its size and says 0.
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def has_colour() -> bool:
    """Whether standard output is a terminal that shows colours, and nobody minds."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return _is_terminal()


def _is_terminal() -> bool:
    # None when it was closed before the command began.
    return sys.stdout is not None and sys.stdout.isatty()


# -- texts ------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Return a text that came from elsewhere, with nothing in it that a terminal would obey.

    Control characters, escape sequences and marks that turn the direction of writing become
    question marks, and so does what standard output cannot encode.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "?" for c in text)
    if text.isascii():
        return text
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)


def clip(text: str, width: int) -> str:
    """Return as much of a text as so many columns hold."""
    while width_of(text) > width:
        text = text[:-1]
    return text


def _pad(text: str, width: int, *, to_right: bool = False) -> str:
    gap = " " * (width - width_of(text))
    return gap + text if to_right else text + gap


def paint(word: str, text: str | None = None) -> str:
    """Return a text (the word itself) in the colour of a state's word."""
    text = word if text is None else text
    colour = _COLOURS.get(word.lower())
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and has_colour() else text


def counted(number: int, what: str) -> str:
    """Return "1 output" or "2 outputs"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def age(seconds: float) -> str:
    """Return a span of time in its two largest units: "3d 4h", "59s"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def mebibytes(size: int) -> str:
    """Return a number of bytes as "7.9 MiB"."""
    return f"{size / _MEBIBYTE:.1f} MiB"


def milliseconds(microseconds: int) -> str:
    """Return a duration as "16.7 ms"."""
    return f"{microseconds / 1000:.1f} ms"


# -- tables -----------------------------------------------------------------------------------


def table(rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> Iterable[str]:
    """Yield the lines of a table, the first row of which are the headings.

    In a terminal that is too narrow each row becomes a block of "HEADING value" lines.

    Args:
        rows: The cells; they are made `printable` here.
        right: Headings of columns that are aligned to the right.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    limit = columns()
    if limit is not None and _width(rows) > limit:
        return _blocks(rows[0], rows[1:])
    return _lines(rows, right)


def narrow_table(
    rows: Sequence[Sequence[str]], limit: int | None, right: Collection[str] = ()
) -> list[str]:
    """Return the lines of a table that goes without its last columns where there is no room.

    Args:
        rows: As for `table`.
        limit: The widest that a line may be; None for any width.
        right: As for `table`.
    """
    kept = [[printable(cell) for cell in row] for row in rows]
    while limit is not None and len(kept[0]) > 1 and _width(kept) > limit:
        kept = [row[:-1] for row in kept]
    if limit is not None and _width(kept) > limit:
        kept = [[clip(row[0], limit)] for row in kept]
    return list(_lines(kept, right))


def _width(rows: Sequence[Sequence[str]]) -> int:
    return sum(_widths(rows)) + len(_GAP) * (len(rows[0]) - 1)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(width_of, column)) for column in zip(*rows, strict=True)]


def _lines(rows: Sequence[Sequence[str]], right: Collection[str]) -> Iterable[str]:
    headings, widths = rows[0], _widths(rows)
    for row in rows:
        cells = [
            _pad(cell, width, to_right=heading in right)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        ]
        if row is not headings:
            cells = [paint(word, cell) for word, cell in zip(row, cells, strict=True)]
        yield _GAP.join(cells).rstrip()


def _blocks(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    for number, row in enumerate(rows):
        if number:
            yield ""
        yield from pairs(list(zip(headings, row, strict=True)))


def pairs(fields: Sequence[tuple[str, str]]) -> Iterable[str]:
    """Yield "label: value" lines, labels to the right; empty values are left out.

    A value may have several lines, and is wrapped to the terminal. It is made `printable` but for
    its line ends, so a text from elsewhere in it must be made so before.
    """
    width = max((len(label) for label, value in fields if value), default=0)
    limit = columns()
    room = None if limit is None else limit - width - 2
    for label, value in fields:
        lines = [part for line in value.split("\n") for part in _wrapped(printable(line), room)]
        for number, line in enumerate(lines if value else ()):
            head = f"{label:>{width}}: " if not number else " " * (width + 2)
            yield head + paint(line)


_NARROWEST = 12


def _wrapped(text: str, room: int | None) -> Iterable[str]:
    """Yield a text in lines of so many columns where its words allow that."""
    if room is None or room < _NARROWEST:
        yield text
        return
    line = ""
    for word in text.split(" "):
        if line and width_of(line) + 1 + width_of(word) > room:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line
