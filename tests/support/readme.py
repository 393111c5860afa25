# SPDX-License-Identifier: MIT
"""The README as a test reads it: the commands that it shows, and what it says they print."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

README = Path(__file__).resolve().parents[2] / "README.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_PROMPT = "# "


class Shown(NamedTuple):
    """One command of a session, with all that it prints there."""

    words: str
    printed: str


def blocks(language: str) -> list[str]:
    """Return the README's blocks of a language."""
    return [body for found, body in _BLOCK.findall(README.read_text()) if found == language]


def session() -> list[Shown]:
    """Return the commands of all console blocks, in order."""
    shown: list[Shown] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith(_PROMPT):
            shown.append(Shown(line.removeprefix(_PROMPT), ""))
        elif line.strip():
            last = shown[-1]
            shown[-1] = last._replace(printed=f"{last.printed}{line.rstrip()}\n")
    return shown


def shape(text: str) -> str:
    """Return a text with every number as N and every gap as one: they are of the moment."""
    return re.sub(r" +", " ", re.sub(r"\d+([.,:]\d+)*", "N", text))
