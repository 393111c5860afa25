# SPDX-License-Identifier: MIT
"""How long the last captures took."""

from __future__ import annotations

from array import array

from capturectl.typed import NamedTuple

_KEPT = 256


class Spread(NamedTuple):
    """Of some durations, in nanoseconds."""

    p50: int
    p99: int


class Timings:
    """The last captures, in rings that were allocated once."""

    def __init__(self) -> None:
        self._took, self._sent = array("q", bytes(8 * _KEPT)), array("q", bytes(8 * _KEPT))
        self._done = array("q", bytes(8 * _KEPT))
        self._count = 0

    def note(self, asked_ns: int, done_ns: int, sent_ns: int) -> None:
        """Note one capture: from when to when it took, and when all had been told."""
        place = self._count % _KEPT
        self._took[place], self._done[place] = done_ns - asked_ns, done_ns
        self._sent[place] = sent_ns - done_ns
        self._count += 1

    def commit_to_fence(self) -> Spread:
        """From asking for a picture to its last write."""
        return _spread(self._kept(self._took))

    def fence_to_sent(self) -> Spread:
        """From the last write until every client had been told."""
        return _spread(self._kept(self._sent))

    def fps_millihertz(self, now_ns: int) -> int:
        """Pictures per 1000 seconds during the second before now."""
        return 1000 * sum(now_ns - done < 1_000_000_000 for done in self._kept(self._done))

    def _kept(self, ring: array[int]) -> list[int]:
        return ring[: min(self._count, _KEPT)].tolist()


def _spread(values: list[int]) -> Spread:
    if not values:
        return Spread(0, 0)
    values.sort()
    last = len(values) - 1
    return Spread(values[last // 2], values[last * 99 // 100])
