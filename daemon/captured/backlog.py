# SPDX-License-Identifier: MIT
"""What the service manager has not heard yet: kept in order, and said again until it has.

Loaded only when there is something of the kind: a manager that is busy, or not there.
"""

from __future__ import annotations

from capturectl.errors import CaptureClosedError
from capturectl.typed import NamedTuple
from captured import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.notify import Holder
    from captured.reactor import Reactor, Timer

_RETRY_S, _LONGEST_RETRY_S = 0.01, 0.25
_AT_ONCE = 32
"""Messages in one turn of the loop; frames have theirs between."""
_TROUBLE_S = 1.0
"""A manager that is busy for a moment is nothing to speak of."""


class Unheard(NamedTuple):
    """A message, and who has the descriptor that goes with it."""

    text: str
    holder: Holder | None


class Backlog:
    """Messages that wait. Each is there once, so their number is bounded by what is kept.

    What is to be stored is taken out again when it is to be forgotten, so what is to be forgotten
    has been stored.

    Kernel: a timer says when to try again, for polling would not. A socket that is not connected
    polls writable always (net/unix/af_unix.c, unix_dgram_poll), and a descriptor is refused with
    ETOOMANYREFS while too many of this user's are under way (net/core/scm.c, too_many_unix_fds).
    """

    def __init__(self, send: Callable[[str, Holder | None], None]) -> None:
        """Begin empty.

        Args:
            send: Sends one message without waiting; raises OSError when it was not heard.
        """
        self._send = send
        self._unheard: dict[str, Unheard] = {}
        self._reactor: Reactor | None = None
        self._timer: Timer | None = None
        self._retry_s = _RETRY_S
        self._since_ns = 0
        self._is_trouble_said = False
        self._when_heard: Callable[[], None] | None = None
        self._patience: Timer | None = None

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._unheard)

    def attend(self, reactor: Reactor) -> None:
        """Use a loop, which is borrowed; without one everything waits."""
        self._reactor = reactor
        self._begin()

    def add(self, key: str, text: str, holder: Holder | None) -> None:
        """Say something later; what waits under the same key is replaced, in its place."""
        self._unheard[key] = Unheard(text, holder)
        self._begin()

    def cancel(self, key: str) -> bool:
        """Do not say something after all; False when it does not wait."""
        return self._unheard.pop(key, None) is not None

    def when_heard(self, callback: Callable[[], None], patience_s: float) -> None:
        """Call back once, when nothing waits any more or so many seconds have passed."""
        self._when_heard = callback
        if self._reactor is not None:
            self._patience = self._reactor.call_later(patience_s, self._lose_patience)

    def close(self) -> None:
        """Say nothing more. Twice is fine."""
        self._unheard.clear()
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()

    # -- saying it again ----------------------------------------------------------------------

    def _begin(self) -> None:
        if self._unheard and self._timer is None and self._reactor is not None:
            self._since_ns = self._reactor.now_ns()
            self._try_in(self._reactor, _RETRY_S)

    def _try_in(self, reactor: Reactor, seconds: float) -> None:
        self._timer = reactor.call_later(seconds, lambda: self._try(reactor))

    def _try(self, reactor: Reactor) -> None:
        self._timer = None
        refusal = self._send_some()
        if not self._unheard:
            self._all_heard()
        elif refusal is None:
            self._try_in(reactor, 0)
        else:
            self._try_in(reactor, self._retry_s)
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
            if reactor.now_ns() - self._since_ns >= _TROUBLE_S * 1e9:
                self._say_trouble(refusal)

    def _send_some(self) -> OSError | None:
        """Send in order what can be sent, up to a number; return what is in the way of the rest.

        A descriptor that cannot pass lets the messages behind it by: READY must not wait until
        clients have read.
        """
        refusal, count = None, 0
        for key, unheard in tuple(self._unheard.items()):
            if refusal is not None and unheard.holder is not None:
                continue
            if (error := self._refusal_of(unheard)) is None:
                del self._unheard[key]
                self._retry_s = _RETRY_S
                if (count := count + 1) == _AT_ONCE:
                    return None
            elif unheard.holder is None:
                return error
            else:
                refusal = error
        return refusal

    def _refusal_of(self, unheard: Unheard) -> OSError | None:
        try:
            self._send(*unheard)
        except CaptureClosedError:
            return None  # its holder has ended
        except OSError as error:
            return error
        return None

    def _say_trouble(self, refusal: OSError) -> None:
        if not self._is_trouble_said:
            self._is_trouble_said = True
            log.warning(
                "the service manager does not listen: %s; %d messages wait",
                refusal.strerror, len(self._unheard),
            )  # fmt: skip

    def _all_heard(self) -> None:
        if self._is_trouble_said:
            self._is_trouble_said = False
            log.info("the service manager has heard all that waited")
        self._end_wait()

    def _lose_patience(self) -> None:
        log.warning("the service manager has not heard %d messages", len(self._unheard))
        self._end_wait()

    def _end_wait(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        callback, self._when_heard = self._when_heard, None
        if callback is not None:
            callback()
