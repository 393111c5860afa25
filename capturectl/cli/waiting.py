# SPDX-License-Identifier: MIT
"""Waiting: for an output that is off, and for the next picture of a series."""

from __future__ import annotations

import math
import time

from capturectl.errors import CaptureBusyError, OutputOffError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    Result = TypeVar("Result")

_PAUSE = 0.1
_MANY = 2**53
"""Turns that may be late: an interval may be so short that they cannot be counted."""


def when_active(step: Callable[[], Result], wait: float) -> Result:
    """Do something with an output; while that is off, try again for up to `wait` seconds.

    Who lights it is the card's master for a moment: that is waited for as well.

    Raises:
        OutputOffError: It still is.
        CaptureBusyError: The card still has another master.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            return step()
        except (OutputOffError, CaptureBusyError):
            left = deadline - time.monotonic()
            if left <= 0:
                raise
        time.sleep(min(left, _PAUSE))


def series(count: int, interval: float) -> Iterator[int]:
    """Yield 1 to `count`, every `interval` seconds.

    The times are multiples of the interval from the first on: they do not drift. What takes
    longer than the interval goes on at the next multiple.
    """
    start, turn = time.monotonic(), 0
    for number in range(1, count + 1):
        time.sleep(max(0.0, start + turn * interval - time.monotonic()))
        yield number
        late = (time.monotonic() - start) / interval if interval else 0
        turn = max(turn + 1, math.ceil(min(late, _MANY)))
