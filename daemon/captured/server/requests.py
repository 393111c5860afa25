# SPDX-License-Identifier: MIT
"""What a client may say: a function for each message, and what must be right before it counts."""

from __future__ import annotations

from capturectl import protocol
from capturectl.errors import (
    CaptureBusyError,
    CaptureError,
    CaptureUnsupportedError,
    NoOutputError,
    ProtocolError,
)
from captured import log
from captured.server.stream import receipt_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from captured.server.session import Session
    from captured.server.stream import Stream


def serve(session: Session, packet: bytes, header: protocol.Header) -> None:
    """Do what a client says.

    Raises:
        ProtocolError: No client may say that, or not now.
    """
    if header.flags & protocol.Flag.HAS_FDS:
        raise ProtocolError("a client's message carries file descriptors")
    if not session.is_greeted and header.code != protocol.HELLO.code:
        raise ProtocolError("the first message must be HELLO")
    handler = _HANDLERS.get(header.code)
    if handler is not None:
        message, function = handler
        function(session, message.unpack(packet), header)
    elif not header.flags & protocol.Flag.MAY_IGNORE:
        error = CaptureUnsupportedError(
            f"message type {header.code:#06x} is unknown", code="unknown-message"
        )
        session.send_error(error, header)


def _hello(session: Session, hello: protocol.Hello, header: protocol.Header) -> None:
    if session.is_greeted:
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
    session.greet(hello.name, header.serial)


# -- frames -----------------------------------------------------------------------------------


def _subscribe(session: Session, request: protocol.Subscribe, header: protocol.Header) -> None:
    try:
        session.subscribe(_check_subscribe(session, request, header.stream), request)
    except ProtocolError:
        raise
    except CaptureError as error:
        stream = session.hub.streams.get(header.stream)
        name = str(header.stream) if stream is None else stream.name
        log.info("%s: subscription to %s refused: %s", session, name, error, output=name)
        session.send_error(error, header)


def _check_subscribe(session: Session, request: protocol.Subscribe, stream_id: int) -> Stream:
    """Return the stream of which a client may have what it asks for."""
    if not 1 <= request.credits <= protocol.MAX_CREDITS:
        raise ProtocolError(f"SUBSCRIBE with {request.credits} credits")
    stream = session.hub.streams.get(stream_id)
    if stream is None:
        raise NoOutputError(f"there is no stream {stream_id}", "connect again")
    session.hub.access.check(session.peer, stream.name)
    if session.subscription_of(stream_id) is not None:
        raise CaptureBusyError("this connection has the stream already", code="subscribed")
    _check_credits(session, request, stream_id)
    stream.check_wish(request)
    stream.engine.check_keeper(session.peer.uid)
    return stream


def _check_credits(session: Session, request: protocol.Subscribe, stream_id: int) -> None:
    spent = 0 if session.loans is None else session.loans.spent_on(stream_id)
    if request.credits + spent > protocol.MAX_CREDITS:
        raise CaptureBusyError(
            f"this connection holds {spent} frames of the stream",
            "release some first",
            code="capacity",
        )


def _unsubscribe(session: Session, request: protocol.Unsubscribe, header: protocol.Header) -> None:
    if (subscription := session.subscription_of(header.stream)) is not None:
        session.end_subscription(subscription)


def _release(session: Session, request: protocol.Release, header: protocol.Header) -> None:
    """Take a frame back the long way: `Session` knows most of them by their bytes."""
    receipt = receipt_of(header.stream, *request)
    if session.loans is not None and session.loans.release(receipt):
        return
    if not 0 < request.sequence <= session.excused:
        raise ProtocolError(f"RELEASE of frame {request.sequence}, which is not held")


def _pause(session: Session, request: protocol.Pause, header: protocol.Header) -> None:
    if (subscription := session.subscription_of(header.stream)) is not None:
        subscription.pause()
        session.wish_changed()


def _resume(session: Session, request: protocol.Resume, header: protocol.Header) -> None:
    if (subscription := session.subscription_of(header.stream)) is not None:
        subscription.resume()
        session.wish_changed()


# -- everything else --------------------------------------------------------------------------


def _query(session: Session, request: protocol.AskQuery, header: protocol.Header) -> None:
    try:
        session.answer(request.what, header.serial)
    except CaptureBusyError as error:
        session.send_error(error, header)


def _watch(session: Session, request: protocol.Watch, header: protocol.Header) -> None:
    session.watch(bool(request.is_wanted))


def _disconnect(session: Session, request: protocol.Disconnect, header: protocol.Header) -> None:
    try:
        session.hub.disconnect(session, request.client)
    except CaptureError as error:
        session.send_error(error, header)
    else:
        session.send(protocol.DONE.pack(protocol.Done(), serial=header.serial))


def _goodbye(session: Session, request: protocol.Goodbye, header: protocol.Header) -> None:
    session.say_bye(protocol.ByeReason.CLIENT)


_HANDLERS: dict[int, tuple[protocol.Message[Any], Callable[[Session, Any, Any], None]]] = {
    message.code: (message, function)
    for message, function in (
        (protocol.HELLO, _hello),
        (protocol.SUBSCRIBE, _subscribe),
        (protocol.UNSUBSCRIBE, _unsubscribe),
        (protocol.RELEASE, _release),
        (protocol.GOODBYE, _goodbye),
        (protocol.PAUSE, _pause),
        (protocol.RESUME, _resume),
        (protocol.QUERY, _query),
        (protocol.WATCH, _watch),
        (protocol.DISCONNECT, _disconnect),
    )
}
