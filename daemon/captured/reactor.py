# SPDX-License-Identifier: MIT
"""One epoll loop: callbacks for file descriptors, timers and signals. No threads."""

from __future__ import annotations

import heapq
import itertools
import os
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import Self


READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
_SWEEP_AT = 64
_REST_MS = 1
"""How long clients wait after what comes first: see `Reactor`."""
_BATCH = 16
"""So many others are called back before what comes first is looked at again."""
_LONGEST_WAIT_S = 3600.0
"""epoll counts milliseconds in an int."""


class Timer:
    """A callback for later; `cancel()` takes it back."""

    __slots__ = ("callback", "deadline_ns")

    def __init__(self, deadline_ns: int, callback: Callable[[], None]) -> None:
        self.deadline_ns = deadline_ns
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the callback. Twice is fine, and so is after it ran."""
        self.callback = None


class Reactor:
    """The daemon's loop. Open until `close()`; everything runs in the thread that runs it.

    Some descriptors come first: fences. Their callbacks run before all others. Then the rest is
    left alone for a millisecond, in which those who were told of a picture answer: taking the
    answers together costs one wake-up, not one for each client. However many others have something
    to say at once, what comes first waits for a few of them only.

    Ownership: owns its epoll fd and its wake-up pipe, borrows what it watches.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._first: set[int] = set()
        self._first_only = select.poll()
        """Of the same fds; it lives in the process, so that changing it costs no system call."""
        self._shall_rest = False
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[int, int, Timer]] = []
        self._order = itertools.count()
        self._sweep_at = _SWEEP_AT
        self._running = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_wakeup = -1
        self._old_handlers: dict[int, object] = {}
        self._on_signal: dict[int, Callable[[int], None]] = {}
        self.watch(self._wake_read, self._drain_wakeups)

    # -- file descriptors -------------------------------------------------------------------

    def watch(self, fd: int, callback: Callable[[int], None], events: int = READABLE) -> None:
        """Call back with the events whenever the fd has any of them (or hangs up)."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def watch_first(self, fd: int, callback: Callable[[int], None]) -> None:
        """Call back whenever the fd is readable, before those of `watch`."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, READABLE)
        self._first_only.register(fd, select.POLLIN)
        self._first.add(fd)

    def change(self, fd: int, events: int) -> None:
        """Change which events of a watched fd count."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Stop watching; call it before the fd is closed."""
        if self._callbacks.pop(fd, None) is None:
            return
        self._epoll.unregister(fd)
        if fd in self._first:
            self._first.remove(fd)
            self._first_only.unregister(fd)

    # -- time -------------------------------------------------------------------------------

    now_ns = staticmethod(time.monotonic_ns)
    """CLOCK_MONOTONIC."""

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> Timer:
        """Call back once, at or soon after a CLOCK_MONOTONIC time."""
        if len(self._timers) > self._sweep_at:
            self._sweep()
        timer = Timer(deadline_ns, callback)
        heapq.heappush(self._timers, (deadline_ns, next(self._order), timer))
        return timer

    def _sweep(self) -> None:
        """Forget cancelled timers whose time is far off."""
        self._timers = [entry for entry in self._timers if entry[2].callback is not None]
        heapq.heapify(self._timers)
        self._sweep_at = max(_SWEEP_AT, 2 * len(self._timers))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, so many seconds from now."""
        return self.call_at(self.now_ns() + round(seconds * 1e9), callback)

    # -- signals ----------------------------------------------------------------------------

    def handle_signals(self, numbers: Iterable[int], callback: Callable[[int], None]) -> None:
        """Call back from the loop when one of the signals has come."""
        for number in numbers:
            self._on_signal[number] = callback
            self._old_handlers[number] = signal.signal(number, _ignore)
        # The interpreter writes the number here, wherever the loop is at the moment.
        old_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        if old_wakeup != self._wake_write:
            self._old_wakeup = old_wakeup

    def _drain_wakeups(self, events: int) -> None:
        try:
            numbers = os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        for number in numbers:
            if (callback := self._on_signal.get(number)) is not None:
                callback(number)

    # -- running ----------------------------------------------------------------------------

    def run(self) -> None:
        """Run until `stop()`."""
        self._running = True
        while self._running:
            self.run_once()

    def stop(self) -> None:
        """Make `run` return after the present callback."""
        self._running = False

    def run_once(self, timeout: float | None = None) -> None:
        """Wait for one batch of events or the next timer, and run their callbacks.

        Args:
            timeout: Seconds to wait at most; None waits for as long as it takes.
        """
        if self._shall_rest:
            self._shall_rest = False
            if timeout != 0:  # leave the clients alone, unless something comes before them
                self._first_only.poll(_REST_MS)
        ready = self._epoll.poll(self._wait_time(timeout))
        first, callbacks = self._first, self._callbacks
        for fd, events in ready:
            if fd in first and (callback := callbacks.get(fd)) is not None:
                callback(events)
                self._shall_rest = True
        if len(ready) > 1 or not self._shall_rest:
            for number, (fd, events) in enumerate(ready, 1):
                if not number % _BATCH:
                    self._serve_first()
                # An earlier callback of the batch may have ended it.
                if fd not in first and (callback := callbacks.get(fd)) is not None:
                    callback(events)
        if self._timers and self._timers[0][0] <= self.now_ns():
            self._run_timers()

    def _serve_first(self) -> None:
        """Call back what comes first, if it has become readable since the turn began."""
        for fd, events in self._first_only.poll(0):
            if (callback := self._callbacks.get(fd)) is not None:
                callback(events)
                self._shall_rest = True

    def _wait_time(self, timeout: float | None) -> float:
        """Say how long epoll may wait; below 0 is for ever."""
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heapq.heappop(timers)
        if not timers:
            return -1 if timeout is None else timeout
        until = (timers[0][0] - self.now_ns()) / 1e9
        if until <= 0:
            return 0.0
        return min(until, _LONGEST_WAIT_S if timeout is None else timeout)

    def _run_timers(self) -> None:
        now, due = self.now_ns(), []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:  # what they set anew waits for the next turn
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def close(self) -> None:
        """Give the signals back and close the loop's own fds. Twice is fine."""
        if self._epoll.closed:
            return
        if self._old_handlers:
            signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() returned
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _ignore(number: int, frame: FrameType | None) -> None:
    """Be a handler: without one the interpreter writes nothing to the wake-up pipe."""
