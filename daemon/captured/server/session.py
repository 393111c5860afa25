# SPDX-License-Identifier: MIT
"""One client's connection: its requests, its subscriptions, the frames it holds."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from capturectl import protocol, wire_errors
from capturectl.errors import (
    CaptureBusyError,
    CaptureError,
    CaptureLostError,
    CaptureUnsupportedError,
    NoOutputError,
    ProtocolError,
)
from captured.reactor import READABLE, WRITABLE
from captured.server.stream import state_of
from captured.server.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from capturectl.transport import Packet, Transport
    from captured.capture.engine import Picture
    from captured.capture.pool import Slot
    from captured.reactor import Reactor, Timer
    from captured.server.listener import Peer
    from captured.server.stream import Stream

log = logging.getLogger(__name__)

_REVOCATIONS_LIMIT = 3
_REVOCATIONS_SPAN_S = 10.0
"""A client that has so many frames taken back within so many seconds is cut off."""
_OUTBOX_LIMIT = 256
"""Control messages that wait for a client to read; one more and it is cut off."""


class Session:
    """A connection, from accept to hang-up.

    Ownership: owns the transport; borrows the loop, the streams and the slots that it lends.
    """

    def __init__(
        self,
        transport: Transport,
        peer: Peer,
        reactor: Reactor,
        streams: Mapping[int, Stream],
        welcome: Callable[[], protocol.Welcome],
        closed: Callable[[Session], None],
    ) -> None:
        self.peer = peer
        self.name = ""
        self._transport = transport
        self._reactor = reactor
        self._streams = streams
        self._welcome = welcome
        self._closed = closed
        self._subscriptions: dict[int, Subscription] = {}
        self._lent: dict[tuple[int, int], Subscription] = {}
        """(stream, sequence) of each frame that the client has."""
        self._taken_back: dict[tuple[int, int], Subscription] = {}
        """The same, of frames that were revoked and not released since."""
        self._released = 0
        self._revocations: deque[int] = deque(maxlen=_REVOCATIONS_LIMIT)
        self._known: set[tuple[int, int, int]] = set()
        self._outbox: deque[bytes] = deque()
        self._events = READABLE
        self._greeted = False
        self._hello_timer: Timer | None = reactor.call_later(
            protocol.HELLO_TIMEOUT_S, self._hello_missing
        )
        reactor.watch(transport.fileno(), self._ready)

    # -- receiving ----------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        try:
            if events & WRITABLE:
                self._flush()
            if events & ~WRITABLE:
                self._receive()
        except ProtocolError as error:
            log.warning("%s: %s", self, error)
            self._refuse(error)
        except CaptureLostError:
            self.close()
        except OSError as error:
            log.warning("%s: %s", self, error)
            self.close()
        except Exception:
            # A fault of ours that one client provokes must not end the service for all.
            log.exception("%s: internal error; cut off", self)
            self.close()

    def _receive(self) -> None:
        """Take one message; epoll calls again for the next, when others have had their turn."""
        try:
            packet = self._transport.receive()
        except BlockingIOError:
            return
        if packet is None:
            self.close()
            return
        try:
            self._handle(packet)
        finally:
            packet.close()

    def _handle(self, packet: Packet) -> None:
        header = packet.header
        if packet.fds:
            raise ProtocolError("a client's message carries file descriptors")
        if not self._greeted and header.code != protocol.HELLO.code:
            raise ProtocolError("the first message must be HELLO")
        handler = _HANDLERS.get(header.code)
        if handler is None:
            if not header.flags & protocol.Flag.MAY_IGNORE:
                error = CaptureUnsupportedError(
                    f"message type {header.code:#06x} is unknown", code="unknown-message"
                )
                self._send_error(error, header)
            return
        message, method = handler
        method(self, message.unpack(packet.data), header)

    def _hello(self, hello: protocol.Hello, header: protocol.Header) -> None:
        if self._greeted:
            raise ProtocolError("a second HELLO")
        if hello.magic != protocol.MAGIC:
            raise ProtocolError("HELLO without the magic number")
        if not hello.version_min <= protocol.VERSION_MAX <= hello.version_max:
            raise ProtocolError(
                f"the client speaks versions {hello.version_min} to {hello.version_max}, "
                f"the daemon {protocol.VERSION_MAX}",
                "update the older of the two",
                code="version",
            )
        self._greeted = True
        self.name = "".join(c if c.isprintable() else "?" for c in hello.name)
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._send(protocol.WELCOME.pack(self._welcome(), serial=header.serial))
        for stream in self._streams.values():
            for message in stream.describe():
                self._send(message)
        log.info("%s connected", self)

    def _hello_missing(self) -> None:
        self._hello_timer = None
        self._refuse(ProtocolError("no HELLO came", code="hello-timeout"))

    def _subscribe(self, request: protocol.Subscribe, header: protocol.Header) -> None:
        try:
            stream = self._check_subscribe(request, header)
            subscription = Subscription(self, stream, request)
            self._subscriptions[header.stream] = subscription
            try:
                stream.engine.subscribe(subscription)
            except BaseException:
                self._drop(subscription)
                raise
        except ProtocolError:
            raise
        except CaptureError as error:
            log.info("%s: subscription refused: %s", self, error)
            self._send_error(error, header)

    def _check_subscribe(self, request: protocol.Subscribe, header: protocol.Header) -> Stream:
        if not 1 <= request.credits <= protocol.MAX_CREDITS:
            raise ProtocolError(f"SUBSCRIBE with {request.credits} credits")
        stream = self._streams.get(header.stream)
        if stream is None:
            raise NoOutputError(f"there is no stream {header.stream}", "connect again")
        if header.stream in self._subscriptions:
            raise CaptureBusyError("this connection has the stream already", code="subscribed")
        if request.credits + self._held_of(header.stream) > protocol.MAX_CREDITS:
            raise CaptureBusyError(
                f"this connection holds {self._held_of(header.stream)} frames of the stream",
                "release some first",
                code="capacity",
            )
        stream.check_wish(request)
        return stream

    def _held_of(self, stream_id: int) -> int:
        return sum(key[0] == stream_id for key in (*self._lent, *self._taken_back))

    def _unsubscribe(self, request: protocol.Unsubscribe, header: protocol.Header) -> None:
        subscription = self._subscriptions.get(header.stream)
        if subscription is not None:
            self.end_subscription(subscription)

    def _release(self, request: protocol.Release, header: protocol.Header) -> None:
        key = (header.stream, request.sequence)
        self._released += 1
        if (subscription := self._lent.pop(key, None)) is not None:
            subscription.give_back(request.sequence)
        elif (subscription := self._taken_back.pop(key, None)) is not None:
            subscription.credit_returned()
        else:
            raise ProtocolError(f"RELEASE of frame {request.sequence}, which is not held")

    def _pause(self, request: protocol.Pause, header: protocol.Header) -> None:
        if (subscription := self._subscriptions.get(header.stream)) is not None:
            subscription.pause()

    def _resume(self, request: protocol.Resume, header: protocol.Header) -> None:
        if (subscription := self._subscriptions.get(header.stream)) is not None:
            subscription.resume()

    def _goodbye(self, request: protocol.Goodbye, header: protocol.Header) -> None:
        self.say_bye(protocol.ByeReason.CLIENT)

    # -- sending ------------------------------------------------------------------------------

    @property
    def is_clogged(self) -> bool:
        """Whether messages wait for the client to read; it gets no frames until then."""
        return bool(self._outbox)

    @property
    def is_prompt(self) -> bool:
        """Whether the client has given frames back and has had none taken of late."""
        return self._released > 0 and not self._taken_back

    def send_picture(self, stream: Stream, picture: Picture) -> bool:
        """Send a frame; False when the client's socket is full, and nothing is lent then."""
        slot = picture.slot
        key = (stream.stream_id, slot.generation, slot.index)
        try:
            if key not in self._known:
                self._transport.send(*_buffer_message(stream, slot))
                self._known.add(key)
            self._transport.send(stream.frame_packet(picture))
        except BlockingIOError:
            return False
        except CaptureLostError:
            return False  # the hang-up is seen by the loop
        except OSError as error:
            log.warning("%s: cannot send a frame: %s", self, error.strerror)
            return False
        self._lent[stream.stream_id, picture.sequence] = self._subscriptions[stream.stream_id]
        return True

    def frame_revoked(self, subscription: Subscription, sequence: int, slot: Slot) -> None:
        """Tell the client that a frame was taken back; cut it off when that happens often."""
        stream_id = subscription.stream.stream_id
        if not self._transport:
            return  # it is being closed, and gives everything back anyway
        self._taken_back[stream_id, sequence] = self._lent.pop((stream_id, sequence))
        log.info("%s: held frame %d for too long", self, sequence)
        body = protocol.Revoked(sequence, slot.index, slot.generation)
        self._send(protocol.REVOKED.pack(body, stream=stream_id))
        self._revocations.append(self._reactor.now_ns())
        if self._is_slow():
            reason = f"{len(self._revocations)} frames were held for too long"
            self._refuse(CaptureLostError(reason, "release them sooner", code="slow"))

    def _is_slow(self) -> bool:
        if len(self._revocations) < _REVOCATIONS_LIMIT:
            return False
        return self._revocations[-1] - self._revocations[0] < _REVOCATIONS_SPAN_S * 1e9

    def send_state(self, stream: Stream, problem: CaptureError | None) -> None:
        """Tell the client that frames of a stream stop for a while, or are back."""
        error = problem.as_dict() if problem else {"code": "", "reason": "", "hint": ""}
        body = protocol.StateChange(
            state_of(problem), error["code"], error["reason"], error["hint"]
        )
        self._send(protocol.STATE.pack(body, stream=stream.stream_id))

    def end_subscription(self, subscription: Subscription) -> None:
        """End it in good order; what is held stays held."""
        self._drop(subscription)
        stream_id = subscription.stream.stream_id
        self._send(protocol.ENDED.pack(protocol.Ended(), stream=stream_id))

    def fail_subscription(self, subscription: Subscription, error: CaptureError) -> None:
        """End it with an error."""
        self._drop(subscription)
        body = wire_errors.to_message(error)
        self._send(protocol.ERROR.pack(body, stream=subscription.stream.stream_id))

    def _drop(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription.stream.stream_id, None)
        subscription.stream.engine.unsubscribe(subscription)

    def _send_error(self, error: CaptureError, header: protocol.Header) -> None:
        body = wire_errors.to_message(error)
        self._send(protocol.ERROR.pack(body, serial=header.serial, stream=header.stream))

    def _send(self, message: bytes) -> None:
        if not self._transport:
            return
        self._outbox.append(message)
        if len(self._outbox) == 1:
            self._flush()
        elif len(self._outbox) > _OUTBOX_LIMIT:
            log.warning("%s: does not read; cut off", self)
            self.close()

    def _flush(self) -> None:
        events = READABLE
        try:
            while self._outbox:
                self._transport.send(self._outbox[0])
                self._outbox.popleft()
        except BlockingIOError:
            events |= WRITABLE
        except CaptureLostError:
            self._outbox.clear()  # the hang-up is seen by the loop
        if events != self._events:
            self._events = events
            self._reactor.change(self._transport.fileno(), events)
            for subscription in list(self._subscriptions.values()):
                subscription.stream.engine.wake()

    # -- leaving ------------------------------------------------------------------------------

    def say_bye(self, reason: protocol.ByeReason) -> None:
        """Tell the client that it is over, and hang up."""
        self._last_words(protocol.BYE.pack(protocol.Bye(reason)))

    def _refuse(self, error: CaptureError) -> None:
        self._last_words(protocol.ERROR.pack(wire_errors.to_message(error, fatal=True)))

    def _last_words(self, message: bytes) -> None:
        if self._transport and not self._outbox:
            with contextlib.suppress(BlockingIOError, CaptureLostError):
                self._transport.send(message)
        self.close()

    def close(self) -> None:
        """Hang up; everything that the client holds is given back. Twice is fine."""
        if not self._transport:
            return
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        self._reactor.unwatch(self._transport.fileno())
        self._transport.hang_up()
        for subscription in list(self._subscriptions.values()):
            self._drop(subscription)
        lent, self._lent = self._lent, {}
        for subscription in set(lent.values()):
            subscription.give_all_back()
        log.info("%s left", self)
        self._closed(self)

    def __str__(self) -> str:
        return f"client {self.name or '?'} ({self.peer})"


_HANDLERS: dict[int, tuple[protocol.Message[Any], Callable[[Session, Any, Any], None]]] = {
    message.code: (message, method)
    for message, method in (
        (protocol.HELLO, Session._hello),
        (protocol.SUBSCRIBE, Session._subscribe),
        (protocol.UNSUBSCRIBE, Session._unsubscribe),
        (protocol.RELEASE, Session._release),
        (protocol.GOODBYE, Session._goodbye),
        (protocol.PAUSE, Session._pause),
        (protocol.RESUME, Session._resume),
    )
}


def _buffer_message(stream: Stream, slot: Slot) -> tuple[bytes, Sequence[int]]:
    memory, geometry = slot.memory, stream.engine.geometry
    if geometry is None:
        raise CaptureLostError("the buffer's pool is gone")
    planes = memory.planes
    fill = (0,) * (protocol.MAX_FDS - len(planes))
    body = protocol.Buffer(
        geometry.modifier,
        memory.size,
        slot.index,
        slot.generation,
        geometry.fourcc,
        geometry.width,
        geometry.height,
        len(planes),
        tuple(plane.offset for plane in planes) + fill,  # type: ignore[arg-type]  # four
        tuple(plane.pitch for plane in planes) + fill,  # type: ignore[arg-type]  # four
    )
    fds = [plane.dmabuf.fileno() for plane in planes]
    return protocol.BUFFER.pack(body, stream=stream.stream_id), fds
