# SPDX-License-Identifier: MIT
"""A bound on what one client can write into the log."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 50
INTERVAL_S = 10.0


Line = tuple[object, str]
"""What counts as the same line: who provoked it, and its format string."""


class Throttle:
    """Lets a burst of the same line through in each interval, and counts the rest."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing said; `now` tells seconds."""
        self._now = now
        self._said: dict[Line, tuple[float, int]] = {}
        """When its interval began, and how often it was said in it."""
        self._first: dict[Line, str] = {}
        """As it was written first in its interval."""

    def admits(self, line: Line) -> bool:
        """Count a line; return whether it may be written."""
        began, count = self._said.get(line, (self._now(), 0))
        self._said[line] = began, count + 1
        return count < BURST

    def note(self, line: Line, text: str) -> None:
        """Keep a line that may be written, to tell of those like it that may not."""
        if line not in self._first:
            self._first[line] = text.partition("\n")[0]

    def ended(self) -> list[tuple[Line, str, int]]:
        """Forget intervals that are over.

        Returns:
            What was held back in them: the line, as it was written first, and how often.
        """
        if not self._said:
            return []
        over = self._now() - INTERVAL_S
        ended = {line: count for line, (began, count) in self._said.items() if began <= over}
        for line in ended:
            del self._said[line]
        told = [(line, self._first.pop(line, line[1]), count) for line, count in ended.items()]
        return [(line, first, count - BURST) for line, first, count in told if count > BURST]
