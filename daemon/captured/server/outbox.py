# SPDX-License-Identifier: MIT
"""What waits for a client that does not read: how much of it may, and what is done meanwhile."""

from __future__ import annotations

from capturectl.errors import CaptureLostError
from captured import log
from captured.reactor import READABLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from capturectl.transport import Transport
    from captured.server.session import Session
    from captured.server.stream import Stream


LIMIT = 256
"""Control messages that wait for a client to read; one more and it is cut off."""
_UNHEARD_AT = 8
"""With more than so many waiting, nothing is taken from the client either."""
_ANSWERS_A_TURN = 32
"""Of a QUERY: others have their turn between."""
_EVENTS_LIMIT = LIMIT // 2
"""With so many waiting, EVENTs are left out: what others do cuts nobody off."""


class Outbox:
    """Messages that go to a client in order, and what it is told when it has read them.

    There is one only while something waits: most clients read whatever they are sent at once.

    Ownership: borrows the client and its transport.
    """

    __slots__ = (
        "_answers", "_client", "_events", "_events_lost", "_stale", "_transport", "messages",
    )  # fmt: skip

    def __init__(self, client: Session, transport: Transport) -> None:
        self.messages: list[bytes] = []  # a tenth of a deque; it is short
        """Those that wait."""
        self._answers: Iterator[bytes] | None = None
        """Of a QUERY, those that are still to be given."""
        self._stale: tuple[Stream, ...] = ()
        """Outputs that changed while it did not read."""
        self._events_lost = 0
        """EVENTs left out because it did not read, of which it has not been told."""
        self._events = READABLE
        """What the loop watches for."""
        self._client = client
        self._transport = transport

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits any more."""
        return not (self.messages or self._answers is not None or self._stale or self._events_lost)

    # -- what comes in ------------------------------------------------------------------------

    def add(self, message: bytes) -> None:
        """Send a message, after those that wait; a client that does not read is cut off."""
        self.messages.append(message)
        if len(self.messages) == 1:
            self.flush()
        elif len(self.messages) == _UNHEARD_AT + 1:
            self._listen()
        elif len(self.messages) > LIMIT:
            reason = f"{LIMIT} messages wait for it to read"
            self._client.cut_off_soon(CaptureLostError(reason, "read sooner", code="clogged"))

    def add_answers(self, answers: Iterator[bytes]) -> None:
        """Give the answers to a QUERY, a few a turn."""
        self._answers = answers
        self.flush()

    def add_event(self, message: bytes) -> None:
        """Send an EVENT; to a client that is behind none, but later how many it has missed."""
        if self._events_lost or len(self.messages) >= _EVENTS_LIMIT:
            self._events_lost += 1
        else:
            self._client.send(message)

    def forget_lost_events(self) -> None:
        """Hear that it does not want to know of those that were left out."""
        self._events_lost = 0

    def put_off(self, stream: Stream) -> None:
        """Describe an output when it reads again: what it is like then is all that counts."""
        self._stale = (*(other for other in self._stale if other is not stream), stream)

    # -- what goes out ------------------------------------------------------------------------

    def flush(self) -> None:
        """Send what waits, as far as there is room for it."""
        try:
            self._send_waiting()
            self._go_on_answering()
        except BlockingIOError:
            pass  # the loop says when there is room
        except (OSError, CaptureLostError) as error:  # whoever has called may be another client
            log.debug("%s: %s", self._client, error)
            self.messages.clear()
            self._stale, self._answers = (), None
            self._client.hung_up()
        if self._listen():
            self._client.reconsider()
        if not self.messages and (self._stale or self._events_lost):
            self._catch_up()

    def _send_waiting(self) -> None:
        while self.messages:
            self._transport.send(self.messages[0])
            del self.messages[0]

    def _go_on_answering(self) -> None:
        if self._answers is None:
            return
        for _ in range(_ANSWERS_A_TURN):
            if (message := next(self._answers, None)) is None:
                self._answers = None
                return
            self.messages.append(message)
            self._send_waiting()

    def _listen(self) -> bool:
        """Watch for what matters at the moment; say whether that has changed."""
        events = READABLE if len(self.messages) <= _UNHEARD_AT else 0
        if self.messages or self._answers is not None:
            events |= WRITABLE
        if events == self._events:
            return False
        self._events = events
        self._client.hub.reactor.change(self._client.fileno(), events)
        return True

    def _catch_up(self) -> None:
        stale, self._stale = self._stale, ()
        for stream in stale:
            self._client.describe(stream)
        if self._events_lost and not self.messages:
            lost, self._events_lost = self._events_lost, 0
            self._client.send(self._client.hub.events_lost(lost))
