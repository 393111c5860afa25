# SPDX-License-Identifier: MIT
"""A line of each command that does something, made from the command's own definitions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from capturectl.cli.describe import Argument, describe

if TYPE_CHECKING:
    from pathlib import Path

STATUSES = {0, 1, 2, 3, 4, 5, 6, 7, 130}
"""What the manual page says that a command may end with."""


@cache
def _places() -> dict[str, tuple[Argument, ...]]:
    return {command.name: command.places for command in describe()}


def line_of(command: str, picture: Path) -> list[str]:
    """Return a command's shortest line; what it has to show goes to standard output.

    Args:
        command: Its name.
        picture: A file that is one, for a command that wants to see something.
    """
    words = [command]
    for place in _places()[command]:
        if place.kind == "file" and place.is_optional and command in {"snapshot", "stream"}:
            words.append("-")
        elif not place.is_optional:
            words.append(place.words[0] if place.words else str(picture))
    return words
