# SPDX-License-Identifier: MIT
"""A manual page in the man macros, written piece by piece."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"\*\*(.+?)\*\*|`([^`]+)`|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)")
_WIDE = 30
"""Characters of a table's cell from which on it is broken into lines."""


def escape(text: str) -> str:
    """Return plain text as roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)


def marked(text: str) -> str:
    """Return text with the light markup of our documents (`code`, **strong**, *term*) as roff."""
    found, at = [], 0
    for match in _MARKUP.finditer(text):
        found.append(_prose(text[at : match.start()]))
        strong, code, term, link, _target = match.groups()
        if strong or code:
            found.append(f"\\fB{escape(strong or code)}\\fR")
        else:
            found.append(f"\\fI{escape(term)}\\fR" if term else _prose(link))
        at = match.end()
    return "".join([*found, _prose(text[at:])])


def _prose(text: str) -> str:
    # A hyphen may be broken at; the minus of an option or a number may not.
    return re.sub(r"(?<=[a-z])\\-(?=[a-z])", "-", escape(text))


class Page:
    """One page; `text` is what there is of it."""

    def __init__(self, name: str, section: int, date: str, version: str, about: str) -> None:
        self.name, self.section = name, section
        title = f'"{escape(name.upper())}" {section} "{date}" "captured {version}"'
        self._lines = ["'\\\" t", f".TH {title}", ".nh", ".ad l"]
        self.heading("NAME")
        self._add(f"{escape(name)} \\- {_prose(about)}")

    @property
    def text(self) -> str:
        """The page."""
        return "\n".join(self._lines) + "\n"

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._lines.append(f".SH {_argument(text.upper())}")

    def subheading(self, text: str) -> None:
        """Begin a part of a section."""
        self._lines.append(f".SS {_argument(text)}")

    def paragraph(self, text: str) -> None:
        """Add a paragraph with markup."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._fill(text)

    def item(self, tag: str, text: str) -> None:
        """Add an entry of a list: a tag, which is roff, and what it means."""
        self._lines += [".TP", tag]
        self._fill(text)

    def bullet(self, text: str) -> None:
        """Add an entry of a list without tags."""
        self._lines.append(".IP \\(bu 2")
        self._fill(text)

    def literal(self, lines: Iterable[str]) -> None:
        """Add lines as they are."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._lines += [".nf", ".RS 4"]
        for line in lines:
            self._add(escape(line) or "\\&")
        self._lines += [".RE", ".fi"]

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table; the first row are the headings. What is long is filled."""
        columns = list(zip(*rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        is_wide = [width > _WIDE for width in widths]
        kinds = " ".join("lx" if wide else "l" for wide in is_wide)
        if not any(is_wide):
            kinds = " ".join("l" for _ in is_wide)
        self._lines += [".TS", f"{' '.join('lb' for _ in columns)}", f"{kinds}."]
        for row in rows:
            cells = [
                f"T{{\n{_line(marked(cell))}\nT}}" if wide else _line(marked(cell))
                for cell, wide in zip(row, is_wide, strict=True)
            ]
            self._lines.append("\t".join(cells))
        self._lines.append(".TE")

    def _fill(self, text: str) -> None:
        roff = marked(" ".join(text.split())) or "\\&"
        for line in textwrap.wrap(roff, 95, break_on_hyphens=False, break_long_words=False):
            self._add(line)

    def _add(self, line: str) -> None:
        self._lines.append(_line(line))


def _line(text: str) -> str:
    """Return a line that is no request."""
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _argument(text: str) -> str:
    return '"' + escape(text).replace('"', "\\(dq") + '"'


def bold(text: str) -> str:
    """Return a word in bold."""
    return f"\\fB{escape(text)}\\fR"


def italic(text: str) -> str:
    """Return a word in italics."""
    return f"\\fI{escape(text)}\\fR"
