# SPDX-License-Identifier: MIT
"""The clock of a film: its pictures have no times, only a rate."""

from __future__ import annotations

_SLACK = 0.75  # of a picture's time: jitter shifts nothing
_LONGEST_GAP_NS = 10 * 10**9  # what is longer was no gap: we were stopped, or the clock is wrong


class FilmClock:
    """Says how often pictures are to be repeated, so that a film is as long as it took."""

    def __init__(self, rate_mhz: int) -> None:
        """Begin a film of so many pictures per 1000 seconds."""
        self._period_ns = 10**12 / rate_mhz
        self._origin_ns: float | None = None
        self._count = 0

    def lacking(self, time_ns: int) -> int:
        """Return how many pictures the film lacks before one of this time.

        0 is the rule; more after a gap; -1 for a picture that comes too early for the film's
        rate, and is to be left out.
        """
        if self._origin_ns is None:
            self._origin_ns = time_ns - self._count * self._period_ns
        due_ns = self._origin_ns + self._count * self._period_ns
        if abs(time_ns - due_ns) > _LONGEST_GAP_NS:
            self._origin_ns = time_ns - self._count * self._period_ns
        ahead = (time_ns - self._origin_ns) / self._period_ns - self._count
        if ahead > _SLACK:
            return round(ahead)
        return -1 if ahead < -_SLACK else 0

    def add(self, count: int = 1) -> None:
        """Count pictures that the film has got."""
        self._count += count

    def skip(self) -> None:
        """Take the time until the next picture out of the film."""
        self._origin_ns = None
