# SPDX-License-Identifier: MIT
"""Everybody who is connected: what concerns more than one client goes through here."""

from __future__ import annotations

import gc

from capturectl import protocol
from capturectl.errors import CaptureError, CaptureLostError, NoOutputError, NotAllowedError
from capturectl.typed import cast
from capturectl.wire_errors import words_of
from captured import log
from captured.server import status
from captured.server.access import Access
from captured.server.keeper import NoKeeper
from captured.server.stream import state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from captured.capture.outlet import Outlet
    from captured.capture.pool import Slot
    from captured.reactor import Reactor
    from captured.server.keeper import Keeper
    from captured.server.loans import Loans
    from captured.server.session import Session
    from captured.server.stream import Stream


Kind = protocol.EventKind


class Hub:
    """The streams, the sessions, and what each is told of the others.

    Ownership: owns the sessions, borrows the streams and the loop.
    """

    def __init__(
        self,
        reactor: Reactor,
        streams: dict[int, Stream],
        welcome: Callable[[], protocol.Welcome],
    ) -> None:
        """Start with nobody; becomes the outlet of every stream's engine."""
        self.reactor = reactor
        self.streams = streams
        self.welcome = welcome
        self.access = Access()
        """Who may see what; `set_access` changes it."""
        self.keeper: Keeper = NoKeeper()
        self.on_change: Callable[[], None] = _nobody
        """Called whenever something happens that `tell` tells of."""
        self.sessions: dict[int, Session] = {}
        self._watchers: set[Session] = set()
        self._count = 0
        for stream in streams.values():
            # Every subscriber of a stream's engine is one of its Subscriptions.
            stream.engine.outlet = cast("Outlet", _StreamOutlet(self, stream))

    # -- coming and going ---------------------------------------------------------------------

    def add(self, session: Session, number: int = 0) -> int:
        """Take a session in; return its number, a new one if it has none."""
        self._count = max(self._count, number or self._count + 1)
        self.sessions[number or self._count] = session
        return number or self._count

    def uids(self) -> list[int]:
        """Return the user of each session."""
        return [session.peer.uid for session in self.sessions.values()]

    def loans(self) -> list[Loans]:
        """Return the loans of all who have any."""
        return [session.loans for session in self.sessions.values() if session.loans is not None]

    def left(self, session: Session) -> None:
        """Hear that a session has ended."""
        self.keeper.left(session)
        self.sessions.pop(session.number, None)
        self._watchers.discard(session)
        if session.is_greeted:
            self.tell(Kind.CLIENT_LEFT, session)

    def set_access(self, access: Access) -> None:
        """Change who may see what; who has what he may not see any more is cut off."""
        self.access = access
        for session in tuple(self.sessions.values()):
            session.check_access()

    def disconnect(self, asker: Session, number: int) -> None:
        """Cut a client off because another asks for it.

        Raises:
            NoOutputError: There is no such client.
            NotAllowedError: It belongs to another user, and the asker is not root.
        """
        session = self.sessions.get(number)
        if session is None or session is asker:
            raise NoOutputError(
                f"there is no other client {number}", "see capturectl clients", code="no-client"
            )
        if asker.peer.uid not in {0, session.peer.uid}:
            raise NotAllowedError(
                f"client {number} belongs to user {session.peer.uid}", "ask as root"
            )
        session.cut_off(
            CaptureLostError(f"disconnected by {asker.peer}", "ask them why", code="disconnected")
        )

    # -- answers ------------------------------------------------------------------------------

    def answer(self, asker: Session, what: int, serial: int) -> Iterator[bytes]:
        """Yield the answers to a QUERY, the DONE that ends them included; take your time."""
        now_ns = self.reactor.now_ns()
        for stream in self.streams.values():
            if what & protocol.Query.OUTPUTS:
                yield from stream.describe(serial)
            if what & protocol.Query.ENGINES:
                yield status.of_engine(stream, now_ns, serial)
            if what & protocol.Query.PLANES and self.access.admits(asker.peer, stream.name):
                yield from stream.planes(serial)
        if what & protocol.Query.CLIENTS:
            for session in tuple(self.sessions.values()):
                if session.number in self.sessions:  # it may leave while others are answered
                    yield from status.of_client(session, serial)
        yield protocol.DONE.pack(protocol.Done(), serial=serial)

    # -- events -------------------------------------------------------------------------------

    def watch(self, session: Session, is_wanted: bool) -> None:
        """Tell a session of everything from now on, or of nothing any more."""
        (self._watchers.add if is_wanted else self._watchers.discard)(session)

    def is_watched_by(self, session: Session) -> bool:
        """Whether a session is told of everything."""
        return session in self._watchers

    def tell(
        self,
        kind: protocol.EventKind,
        session: Session | None = None,
        *,
        stream: Stream | None = None,
        sequence: int = 0,
        error: CaptureError | None = None,
    ) -> None:
        """Send an EVENT to all who watch."""
        self.on_change()
        if not self._watchers:
            return
        words = words_of(error)
        message = self._event(kind, words, session, stream, sequence)
        for watcher in tuple(self._watchers):
            watcher.send_event(message)

    def events_lost(self, count: int) -> bytes:
        """Return the EVENT for who did not read and goes without so many."""
        reason = f"{count} events were left out: this client did not read"
        words = {"code": "events-lost", "reason": reason, "hint": "read sooner"}
        return self._event(Kind.EVENTS_LOST, words, sequence=count)

    def _event(
        self,
        kind: protocol.EventKind,
        words: Mapping[str, str],
        session: Session | None = None,
        stream: Stream | None = None,
        sequence: int = 0,
    ) -> bytes:
        event = protocol.Event(
            kind,
            session.peer.pid if session else 0,
            session.number if session else 0,
            sequence,
            self.reactor.now_ns(),
            session.peer.uid if session else 0,
            session.name if session else stream.name if stream else "",
            words["code"],
            words["reason"],
            words["hint"],
        )
        return protocol.EVENT.pack(event, stream=stream.stream_id if stream else 0)

    def say_bye(self, reason: protocol.ByeReason) -> None:
        """Take leave of everybody."""
        for session in tuple(self.sessions.values()):
            session.say_bye(reason)


def _nobody() -> None:
    """Nobody listens yet."""


class _StreamOutlet:
    """One engine's way out: pictures to its stream's subscriptions, news to all it concerns."""

    def __init__(self, hub: Hub, stream: Stream) -> None:
        self._hub = hub
        self._stream = stream
        self.deliver = stream.deliver
        self.announce = stream.announce

    def attached(self) -> None:
        self._hub.tell(Kind.ATTACHED, stream=self._stream)

    def detached(self) -> None:
        self._hub.keeper.detached()
        self._hub.tell(Kind.DETACHED, stream=self._stream)
        gc.collect()

    def pool_changed(self) -> None:
        self._hub.keeper.pool_changed()

    def pool_freed(self, generation: int) -> None:
        for loans in self._hub.loans():
            loans.buffers_gone(self._stream, generation)

    def slot_replaced(self, slot: Slot) -> None:
        for loans in self._hub.loans():
            loans.buffer_gone(self._stream, slot)

    def capture_lost(self, sequence: int) -> None:
        self._hub.tell(Kind.CAPTURE_LOST, stream=self._stream, sequence=sequence)

    def problem_changed(self, problem: CaptureError | None) -> None:
        is_mode = problem is not None and problem.code == "mode-changed"
        kind = Kind.MODE_CHANGED if is_mode else Kind.OUTPUT_STATE
        log.info(
            "%s: %s", self._stream.name, problem or state_of(None).name.lower(),
            output=self._stream.name,
        )  # fmt: skip
        self._hub.tell(kind, stream=self._stream, error=problem)

    def output_changed(self, kind: protocol.EventKind, news: CaptureError) -> None:
        stream = self._stream
        self._hub.tell(kind, stream=stream, error=news)
        state, description = stream.tell(news)
        if kind is not Kind.OUTPUT_CHANGED:
            state = b""  # the engine tells those whom it keeps waiting
        for session in tuple(self._hub.sessions.values()):
            session.output_changed(stream, state, description)
