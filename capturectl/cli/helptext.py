# SPDX-License-Identifier: MIT
"""The help of a command, fitted to the terminal."""

from __future__ import annotations

import argparse

from capturectl.cli.table import terminal_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NARROW = 20
"""Columns that a text needs beside the word that it explains."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Fills what can be filled, breaks no words, and names a value once."""

    def __init__(self, prog: str) -> None:
        # argparse would import shutil to find the width.
        super().__init__(prog, max_help_position=26, width=max(terminal_columns() or 80, 40) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Paragraphs are filled, and entries of a table; other indented lines are examples.
        if text.startswith("examples:"):
            return text
        parts = text.split("\n\n")
        return "\n\n".join(
            "\n".join(self._entry(line, width) for line in part.splitlines())
            if part.startswith(" ") else self._filled(part, width)
            for part in parts
        )  # fmt: skip

    def _entry(self, line: str, width: int) -> str:
        entry = table_entry(line)
        if entry is None:
            return line
        word, meaning = entry
        head = line[: line.index(meaning, len(word) + 2)]
        if width - len(head) < _NARROW:
            return self._filled(f"{word}: {meaning}", width, "  ", " " * 6)
        return self._filled(meaning, width, head, " " * len(head))

    def _format_usage(self, *arguments: Any) -> str:  # noqa: ANN401 - argparse's own
        usage = super()._format_usage(*arguments)
        return self._filled(usage, self._width, "", " " * 9) + "\n\n"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return self._filled(text, width).splitlines()

    def _filled(self, text: str, width: int, first: str = "", later: str = "") -> str:
        import textwrap

        return textwrap.fill(
            " ".join(text.split()), width, initial_indent=first, subsequent_indent=later,
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip

    def _format_action_invocation(self, action: argparse.Action) -> str:
        # "-o, --output OUTPUT", as in the help of the whole.
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


def table_entry(line: str) -> tuple[str, str] | None:
    """Return word and meaning of a line "  WORD  what it means"; None for another line."""
    word, gap, meaning = line.strip().partition("  ")
    return (word, meaning.strip()) if gap and line.startswith(" ") else None
