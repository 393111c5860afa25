# SPDX-License-Identifier: MIT
"""One client's connection: what comes in, what goes out, what it wants, and its end."""

from __future__ import annotations

import contextlib
import struct
from sys import intern

from capturectl import protocol, wire_errors
from capturectl.errors import (
    CaptureBusyError,
    CaptureError,
    CaptureLostError,
    NotAllowedError,
    ProtocolError,
)
from captured import log
from captured.reactor import READABLE, WRITABLE
from captured.server import requests
from captured.server.loans import Loans
from captured.server.outbox import Outbox
from captured.server.stream import RECEIPT_SIZE, state_of
from captured.server.subscription import Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capturectl.transport import Transport
    from captured.reactor import Timer
    from captured.server.hub import Hub
    from captured.server.loans import Loan
    from captured.server.peer import Peer
    from captured.server.stream import Stream


_SERIAL_AT, _RECEIPT_AT = 8, 12
_RELEASE_HEAD = protocol.RELEASE.pack(protocol.Release(0, 0, 0))[:_SERIAL_AT]
"""Type, flags and size of a RELEASE; then come its serial and its receipt."""
_RELEASE_SIZE = protocol.RELEASE.size
_ROOM = bytearray(protocol.MAX_MESSAGE + 1)
"""Where messages arrive, one at a time; one that fills it is too long."""
_split = struct.Struct(f"{_SERIAL_AT}s{_RECEIPT_AT - _SERIAL_AT}x{RECEIPT_SIZE}s").unpack_from
"""Takes a message apart as if it were a RELEASE: its head, its receipt."""


class Session:
    """A connection, from accept to hang-up.

    Ownership: owns the transport, and its outbox and loans while it has any; borrows the hub, its
    loop and streams.
    """

    __slots__ = (
        "_hello_timer", "_is_leaving", "_lent", "_outbox", "_read", "_transport", "excused", "hub",
        "is_greeted", "is_introduced", "loans", "name", "number", "peer", "subscriptions",
        "time_connected_ns",
    )  # fmt: skip

    def __init__(self, transport: Transport, peer: Peer, hub: Hub, number: int = 0) -> None:
        self.peer = peer
        self.name = ""
        self.is_greeted = False
        """Whether its HELLO was heard."""
        self.is_introduced = False
        """Whether that was answered."""
        self._is_leaving = False
        """Whether it will be gone in the next turn of the loop."""
        self._transport = transport
        self._read = transport.raw_receive()
        self.hub = hub
        self.time_connected_ns = hub.reactor.now_ns()
        self.subscriptions: tuple[Subscription, ...] = ()
        """Those that have not ended, one for a stream."""
        self.loans: Loans | None = None
        """Its buffers and frames; None until it subscribes for the first time."""
        self._lent: dict[bytes, Loan] | None = None
        """Those of the loans, so that a RELEASE is one look away."""
        self.excused = 0
        """Sequences from 1 to this it may release without a known loan: `handover.revival`."""
        self._outbox: Outbox | None = None
        """What waits for it to read; None when nothing does."""
        self._hello_timer: Timer | None = hub.reactor.call_later(
            protocol.HELLO_TIMEOUT_S, self._hello_missing
        )
        self.number = hub.add(self, number)
        hub.keeper.take_in(self)
        hub.reactor.watch(transport.fileno(), self._ready)

    def need_loans(self) -> Loans:
        """Return its loans, from now on if it has none yet."""
        if self.loans is None:
            self.loans = Loans(self, self.hub.keeper.marks_of(self))
            self._lent = self.loans.lent
        return self.loans

    @property
    def revoked(self) -> int:
        """How many frames were taken back because it was late."""
        return 0 if self.loans is None else self.loans.revoked

    @property
    def is_watching(self) -> bool:
        """Whether it is told of events."""
        return self.hub.is_watched_by(self)

    def fileno(self) -> int:
        """Lend its socket."""
        return self._transport.fileno()

    def resume(self, name: str, time_connected_ns: int, revoked: int) -> None:
        """Go on after the HELLO that a former daemon answered."""
        self.is_greeted = self.is_introduced = True
        self.name = intern(name)
        self.time_connected_ns = time_connected_ns
        if revoked:
            self.need_loans().revoked = revoked
        self._stop_hello_timer()

    # -- receiving ----------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        """Take one message; epoll calls again for the next, when others have had their turn."""
        try:
            if events == READABLE:
                size = self._read(_ROOM)
                # Most messages are a RELEASE, and its bytes are known before they come.
                head, receipt = _split(_ROOM)
                if (
                    size == _RELEASE_SIZE
                    and head == _RELEASE_HEAD
                    and (lent := self._lent)
                    and (loan := lent.pop(receipt, None)) is not None
                ):
                    loan[0].give_back(loan[1])
                else:
                    self._take(bytes(_ROOM[:size]))
            else:
                self._act(events)
        except ProtocolError as error:
            self._reject(error)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.close()  # it left with a frame unread
        except OSError as error:
            log.info("%s: %s", self, error)
            self.close()
        except Exception:
            # A fault of ours that one client provokes must not end the service for all.
            log.exception("%s: internal error; cut off", self)
            self.close()

    def _act(self, events: int) -> None:
        if events & WRITABLE and self._outbox is not None:
            self._outbox.flush()
            self._tidy()
        if events & ~WRITABLE:
            self._take(bytes(_ROOM[: self._read(_ROOM)]))

    def _take(self, packet: bytes) -> None:
        if packet:
            self._handle(packet)
        else:
            self.close()

    def _handle(self, packet: bytes) -> None:
        if len(packet) > protocol.MAX_MESSAGE:
            raise ProtocolError("a message is longer than the protocol allows")
        header = protocol.unpack_header(packet)
        try:
            requests.serve(self, packet, header)
        except ProtocolError as error:
            self._reject(error, header.serial)

    def _reject(self, error: ProtocolError, serial: int = 0) -> None:
        log.warning("%s: %s", self, error, code=error.code)
        self._refuse(error, serial)

    def greet(self, name: str, serial: int) -> None:
        """Hear its HELLO, and answer."""
        self.is_greeted = True
        # Many have the same name.
        self.name = intern("".join(c if c.isprintable() else "?" for c in name))
        self._stop_hello_timer()
        self.hub.keeper.changed(self)
        self.introduce(serial)
        log.info("%s connected", self, code="connected")
        self.hub.tell(protocol.EventKind.CLIENT_CONNECTED, self)

    def introduce(self, serial: int) -> None:
        """Answer the HELLO."""
        self.send(protocol.WELCOME.pack(self.hub.welcome(), serial=serial))
        for stream in self.hub.streams.values():
            self.describe(stream)
        self.is_introduced = True
        self.hub.keeper.changed(self)

    def _stop_hello_timer(self) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None

    def _hello_missing(self) -> None:
        self._hello_timer = None
        self._reject(ProtocolError("no HELLO came", code="hello-timeout"))

    # -- subscriptions ------------------------------------------------------------------------

    def subscribe(self, stream: Stream, request: protocol.Subscribe) -> None:
        """Begin a subscription.

        Raises:
            CaptureError: The engine cannot serve it.
        """
        subscription = Subscription(self, stream, request)
        self.subscriptions = *self.subscriptions, subscription
        subscription.reconsider()
        self.wish_changed()
        try:
            stream.engine.subscribe(subscription)
        except BaseException:
            self._forget(subscription)
            raise
        log.info("%s: subscribed to %s", self, stream.name, output=stream.name)
        self.hub.tell(protocol.EventKind.SUBSCRIBED, self, stream=stream)

    def subscription_of(self, stream_id: int) -> Subscription | None:
        """Return its subscription to a stream, if it has one."""
        return next((s for s in self.subscriptions if s.stream.stream_id == stream_id), None)

    def wish_changed(self) -> None:
        """Write down for the next daemon what the client wishes now."""
        self.hub.keeper.changed(self)

    def check_access(self) -> None:
        """Cut the client off if it has anything of a stream that it may not see any more.

        Memory that it has mapped cannot be taken from it, so the buffers it knows are retired,
        those of a subscription that has ended too.
        """
        known = () if self.loans is None else self.loans.known.values()
        wanted = [subscription.stream.stream_id for subscription in self.subscriptions]
        try:
            for stream_id in {*wanted, *known}:
                self.hub.access.check(self.peer, self.hub.streams[stream_id].name)
        except NotAllowedError as error:
            self.cut_off(error)

    def end_subscription(self, subscription: Subscription) -> None:
        """End it in good order; what is held stays held."""
        self._drop(subscription)
        stream_id = subscription.stream.stream_id
        self.send(protocol.ENDED.pack(protocol.Ended(), stream=stream_id))

    def fail_subscription(self, subscription: Subscription, error: CaptureError) -> None:
        """End it with an error."""
        self._drop(subscription)
        body = wire_errors.to_message(error)
        self.send(protocol.ERROR.pack(body, stream=subscription.stream.stream_id))

    def _drop(self, subscription: Subscription) -> None:
        if subscription in self.subscriptions:
            self.hub.tell(protocol.EventKind.UNSUBSCRIBED, self, stream=subscription.stream)
        self._forget(subscription)

    def _forget(self, subscription: Subscription) -> None:
        self.subscriptions = tuple(s for s in self.subscriptions if s is not subscription)
        subscription.stream.engine.unsubscribe(subscription)
        self.wish_changed()

    # -- sending ------------------------------------------------------------------------------

    @property
    def is_clogged(self) -> bool:
        """Whether messages wait for the client to read; it gets no frames until then."""
        return self._outbox is not None and bool(self._outbox.messages)

    def send(self, message: bytes) -> None:
        """Send a message, after those that wait; a client that does not read is cut off."""
        if self._transport and not self._is_leaving:
            self._need_outbox().add(message)
            self._tidy()

    def _need_outbox(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self, self._transport)
        return self._outbox

    def _tidy(self) -> None:
        if self._outbox is not None and self._outbox.is_empty:
            self._outbox = None

    def raw_send(self) -> Callable[[bytes | bytearray], int]:
        """Lend its socket's own send, for frames: none of them waits for it to read."""
        return self._transport.raw_send()

    def send_fds(self, packet: bytes, fds: Sequence[int]) -> None:
        """Send a message with descriptors, now or not at all.

        Raises:
            OSError: EAGAIN, the client's socket is full; EPIPE, it is gone.
        """
        self._transport.send(packet, fds)

    def send_error(self, error: CaptureError, header: protocol.Header) -> None:
        """Tell it why a request failed; the connection goes on."""
        body = wire_errors.to_message(error)
        self.send(protocol.ERROR.pack(body, serial=header.serial, stream=header.stream))

    def reconsider(self) -> None:
        """Say anew what it wants, now that it reads again or does not any more."""
        for subscription in self.subscriptions:
            subscription.reconsider()
            subscription.stream.engine.wake()

    # -- what it is told ----------------------------------------------------------------------

    def send_state(self, stream: Stream, problem: CaptureError | None) -> None:
        """Tell the client that frames of a stream stop for a while, or are back."""
        words = wire_errors.words_of(problem)
        body = protocol.StateChange(
            state_of(problem), words["code"], words["reason"], words["hint"]
        )
        self.send(protocol.STATE.pack(body, stream=stream.stream_id))

    def describe(self, stream: Stream) -> None:
        """Tell the client what an output is like now."""
        for message in stream.describe():
            self.send(message)

    def output_changed(self, stream: Stream, state: bytes, description: Sequence[bytes]) -> None:
        """Tell the client what an output is like now; when it does not read, the last only."""
        if not self.is_greeted:
            return
        if self._outbox is not None and self._outbox.messages:
            self._outbox.put_off(stream)
            return
        if state and self.subscription_of(stream.stream_id) is not None:
            self.send(state)
        for message in description:
            self.send(message)

    def watch(self, is_wanted: bool) -> None:
        """Tell it of events from now on, or of none."""
        self.hub.watch(self, is_wanted)
        if self._outbox is not None:
            self._outbox.forget_lost_events()
        self.hub.keeper.changed(self)

    def send_event(self, message: bytes) -> None:
        """Send an EVENT, which a client that is behind may go without."""
        if self._outbox is not None:
            self._outbox.add_event(message)
        else:
            self.send(message)

    def answer(self, what: int, serial: int) -> None:
        """Answer a QUERY.

        Raises:
            CaptureBusyError: It has not read earlier answers.
        """
        if self._outbox is not None:
            raise CaptureBusyError("earlier answers are not read yet", code="capacity")
        self._need_outbox().add_answers(self.hub.answer(self, what, serial))
        self._tidy()

    # -- leaving ------------------------------------------------------------------------------

    def _leave(self, way: Callable[[], None]) -> None:
        """Go, but not before the loop's next turn.

        Whoever has called is in the middle of handing frames out or taking them back, and this
        client may be the next of those whom that concerns.
        """
        if not self._is_leaving:
            self._is_leaving = True
            self.hub.reactor.call_at(0, way)

    def cut_off_soon(self, error: CaptureError) -> None:
        """Cut it off, but not before the loop's next turn."""
        self._leave(lambda: self.cut_off(error))

    def hung_up(self) -> None:
        """Hear that nothing can be sent to the client any more: go.

        Kernel: epoll tells nothing of a peer that has shut down its receiving half alone; only
        sending does (net/unix/af_unix.c, unix_dgram_sendmsg, RCV_SHUTDOWN).
        """
        self._leave(self.close)

    def say_bye(self, reason: protocol.ByeReason) -> None:
        """Tell the client that it is over, and hang up."""
        self._last_words(protocol.BYE.pack(protocol.Bye(reason)))

    def cut_off(self, error: CaptureError) -> None:
        """Hang up on a client that would rather stay, and keep its buffers from it."""
        if not self._transport:
            return
        log.warning("%s: %s", self, error, code=error.code)
        loans = self.loans
        self.hub.tell(protocol.EventKind.CLIENT_CUT_OFF, self, error=error)
        self._refuse(error)
        if loans is not None:
            for stream in self.hub.streams.values():
                stream.engine.taint(loans.keys_of(stream))

    def _refuse(self, error: CaptureError, serial: int = 0) -> None:
        body = wire_errors.to_message(error, fatal=True)
        self._last_words(protocol.ERROR.pack(body, serial=serial))

    def _last_words(self, message: bytes) -> None:
        if self._transport and not self.is_clogged:
            with contextlib.suppress(OSError, CaptureLostError):
                self._transport.send(message)
        self.close()

    def close(self) -> None:
        """Hang up; everything that the client holds is given back. Twice is fine."""
        if not self._transport:
            return
        self._stop_hello_timer()
        self.hub.reactor.unwatch(self._transport.fileno())
        self._transport.hang_up()
        # Nothing can be taken back from it any more.
        lent = () if self.loans is None else self.loans.clear()
        for subscription in self.subscriptions:
            self._drop(subscription)
        for subscription, picture in lent:
            subscription.give_back(picture)
        # No cycles: there is no collector while anything is captured.
        self.loans = self._lent = self._outbox = None
        log.info("%s left", self, code="left")
        self.hub.left(self)

    def __str__(self) -> str:
        return f"client {self.name or '?'} ({self.peer})"

    @property
    def log_fields(self) -> dict[str, object]:
        """What the journal says of the client."""
        return self.peer.log_fields | {"client": self.name or "?"}
