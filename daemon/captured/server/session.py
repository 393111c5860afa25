# SPDX-License-Identifier: MIT
"""One client's connection: its requests, its subscriptions, the frames it holds."""

from __future__ import annotations

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
from capturectl.fourcc import fourcc_name
from captured.reactor import READABLE, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from capturectl.transport import Packet, Transport
    from captured.capture.engine import Picture
    from captured.capture.pool import Slot
    from captured.reactor import Reactor, Timer
    from captured.server.listener import Peer
    from captured.server.stream import Stream

log = logging.getLogger(__name__)

_OUTBOX_LIMIT = 256
"""Control messages that wait for a client to read; one more and it is cut off."""


class Subscription:
    """A client's wish for one stream's frames; the engine's `Subscriber`."""

    def __init__(self, session: Session, stream: Stream, request: protocol.Subscribe) -> None:
        self._session = session
        self.stream = stream
        self.credits = request.credits
        self._left = request.frames
        self._gap_ns = 10**12 // request.max_fps_millihertz if request.max_fps_millihertz else 0
        self._due_ns = 0

    def wants_picture(self) -> bool:
        """Whether it has a credit, its rate allows another, and the client reads."""
        session = self._session
        return (
            self.credits > 0
            and not session.is_clogged
            and (not self._gap_ns or session.now_ns() >= self._due_ns)
        )

    def deliver(self, picture: Picture) -> bool:
        """Send the frame, and its buffer before if the client has not seen that yet."""
        if not self._session.send_picture(self.stream, picture):
            return False
        self.credits -= 1
        self._due_ns = max(self._due_ns + self._gap_ns, picture.time_commit_ns)
        if self._left:
            self._left -= 1
            if not self._left:
                self._session.end_subscription(self)
        return True

    def fail(self, error: CaptureError) -> None:
        """Tell the client why there will be no more frames."""
        self._session.fail_subscription(self, error)


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
        self._held: dict[tuple[int, int], Slot] = {}
        self._known: set[tuple[int, int, int]] = set()
        self._outbox: deque[bytes] = deque()
        self._events = READABLE
        self._greeted = False
        self._hello_timer: Timer | None = reactor.call_later(
            protocol.HELLO_TIMEOUT_S, self._hello_missing
        )
        reactor.watch(transport.fileno(), self._ready)

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC, from the loop."""
        return self._reactor.now_ns()

    # -- receiving ----------------------------------------------------------------------------

    def _ready(self, events: int) -> None:
        try:
            if events & WRITABLE:
                self._flush()
            if events & ~WRITABLE:
                self._receive_all()
        except ProtocolError as error:
            log.warning("%s: %s", self, error)
            self._refuse(error)
        except CaptureLostError:
            self.close()

    def _receive_all(self) -> None:
        while self._transport:
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
        self.name = hello.name
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
                _check_fourcc(stream, request.fourcc)
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
        if not request.sources & stream.source:
            raise CaptureUnsupportedError(
                f"the output has frames from {stream.source.name} only",
                "accept that source, or choose another output",
                code="source",
            )
        return stream

    def _unsubscribe(self, request: protocol.Unsubscribe, header: protocol.Header) -> None:
        subscription = self._subscriptions.get(header.stream)
        if subscription is not None:
            self.end_subscription(subscription)

    def _release(self, request: protocol.Release, header: protocol.Header) -> None:
        slot = self._held.pop((header.stream, request.sequence), None)
        if slot is None:
            raise ProtocolError(f"RELEASE of frame {request.sequence}, which is not held")
        subscription = self._subscriptions.get(header.stream)
        if subscription is not None:
            subscription.credits += 1
        self._streams[header.stream].engine.release(slot)

    def _goodbye(self, request: protocol.Goodbye, header: protocol.Header) -> None:
        self.say_bye(protocol.ByeReason.CLIENT)

    # -- sending ------------------------------------------------------------------------------

    @property
    def is_clogged(self) -> bool:
        """Whether messages wait for the client to read; it gets no frames until then."""
        return bool(self._outbox)

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
        self._held[stream.stream_id, picture.sequence] = slot
        return True

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

    # -- leaving ------------------------------------------------------------------------------

    def say_bye(self, reason: protocol.ByeReason) -> None:
        """Tell the client that it is over, and hang up."""
        self._last_words(protocol.BYE.pack(protocol.Bye(reason)))

    def _refuse(self, error: CaptureError) -> None:
        self._last_words(protocol.ERROR.pack(wire_errors.to_message(error, fatal=True)))

    def _last_words(self, message: bytes) -> None:
        if self._transport and not self._outbox:
            try:
                self._transport.send(message)
            except (BlockingIOError, CaptureLostError):
                log.debug("%s: did not get our last message", self)
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
        held, self._held = self._held, {}
        for (stream_id, _), slot in held.items():
            self._streams[stream_id].engine.release(slot)
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
    )
}


def _check_fourcc(stream: Stream, fourcc: int) -> None:
    geometry = stream.engine.geometry
    if fourcc and geometry is not None and fourcc != geometry.fourcc:
        raise CaptureUnsupportedError(
            f"the output's frames are {fourcc_name(geometry.fourcc)}",
            "convert them, or start the daemon with another --format",
            code="format",
        )


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
