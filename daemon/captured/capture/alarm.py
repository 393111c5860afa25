# SPDX-License-Identifier: MIT
"""Time, as the capture room sees it: a clock, and timers that are set again and again."""

from __future__ import annotations

from capturectl.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Cancellable(Protocol):
    """A timer that may be taken back."""

    def cancel(self) -> None:
        """Forget it. Twice is fine."""


class Clock(Protocol):
    """What the engine needs of the loop."""

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC."""

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> Cancellable:
        """Call back once, at or soon after a CLOCK_MONOTONIC time."""

    def watch_first(self, fd: int, callback: Callable[[int], None]) -> None:
        """Call back while the fd is readable, before anything else that is watched."""

    def unwatch(self, fd: int) -> None:
        """Stop watching."""


class Alarm:
    """One purpose, one time to ring; set anew or cleared at will.

    A timer of the loop that rings too early is set again then: so an alarm that is put off with
    every frame, as a fence's deadline is, costs the loop one timer in all its time.
    """

    __slots__ = ("_callback", "_clock", "_deadline_ns", "_timer", "_timer_ns", "is_set")

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self.is_set = False
        """Whether it is going to ring."""
        self._clock = clock
        self._callback = callback
        self._timer: Cancellable | None = None
        self._timer_ns = 0
        self._deadline_ns = 0

    def set_at(self, deadline_ns: int) -> None:
        """Ring at a CLOCK_MONOTONIC time, and not at the one that was set before."""
        self._deadline_ns, self.is_set = deadline_ns, True
        if self._timer is None or deadline_ns < self._timer_ns:
            self._start(deadline_ns)

    def set_in(self, seconds: float) -> None:
        """Ring so many seconds from now."""
        self.set_at(self._clock.now_ns() + round(seconds * 1e9))

    def clear(self) -> None:
        """Do not ring. Twice is fine."""
        self.is_set = False

    def _start(self, deadline_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = deadline_ns
        self._timer = self._clock.call_at(deadline_ns, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if not self.is_set:
            return
        if self._deadline_ns > self._timer_ns:
            self._start(self._deadline_ns)
        else:
            self.is_set = False
            self._callback()
