# SPDX-License-Identifier: MIT
"""A connection to the daemon: its outputs, and frames of them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from capturectl import protocol, wire_errors
from capturectl.buffers import BufferTable
from capturectl.errors import (
    CaptureClosedError,
    CaptureError,
    CaptureLostError,
    CaptureTimeoutError,
    NoOutputError,
    NotAllowedError,
    ProtocolError,
    UnreachableError,
    UsageError,
)
from capturectl.fd import OwnedFd
from capturectl.frame import Frame
from capturectl.transport import Transport

if TYPE_CHECKING:
    from typing import Self

    from capturectl.transport import Packet

SOCKET_VARIABLE = "CAPTURECTL_SOCKET"
DEFAULT_TIMEOUT = 5.0
"""Seconds to wait for a frame: some vblanks, and a modeset before the first."""


class Output(NamedTuple):
    """What the daemon says of one output."""

    stream: int
    """Its number on the wire."""
    name: str
    """"HDMI-A-1"."""
    state: protocol.State
    source: protocol.Source
    """Where its frames come from."""
    width: int
    """Pixels; 0 when it is off."""
    height: int
    refresh_mhz: int
    """Frames per 1000 seconds."""
    card: str
    writeback: str
    """The writeback connector's name."""
    connector_id: int
    crtc_id: int
    clients: int
    """Subscriptions it has."""
    fourccs: tuple[int, ...]
    """Pixel formats that it can have."""
    fourcc: int
    """The one it has now; 0 while nobody captures."""
    code: str
    """Why it is not ready, as a word; empty when it is."""
    reason: str
    hint: str


_LONGEST_TIMEOUT = 10.0**6


class Statistics(NamedTuple):
    """What a connection has received and what it went without, over all its outputs."""

    received: int
    skipped: int
    """Captured while this client had no credit, or was slower than it asked for."""
    missed: int
    """Asked of the source, which did not deliver."""
    revoked: int
    """Held for so long that the daemon took the buffer back."""


def default_socket() -> str:
    """Return $CAPTURECTL_SOCKET, or where the service listens."""
    return os.environ.get(SOCKET_VARIABLE) or protocol.DEFAULT_SOCKET


def connect(
    path: str | None = None, *, name: str = "", timeout: float = DEFAULT_TIMEOUT
) -> Client:
    """Connect to the daemon.

    Args:
        path: Its socket; None takes `default_socket()`.
        name: What to call this client in the daemon's status; the program's name when empty.
        timeout: Seconds to wait for the daemon's answer.

    Raises:
        UnreachableError: There is no socket, or nobody answers on it.
        NotAllowedError: EACCES, this user may not connect.
        ProtocolError: The daemon speaks no version that this client knows.
        CaptureTimeoutError: No answer in time.
    """
    address = path or default_socket()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _connect_within(sock, address, timeout)
    except BlockingIOError as error:
        sock.close()
        raise CaptureTimeoutError(
            f"nobody accepts on {address} in time", "see the daemon's log"
        ) from error
    except OSError as error:
        sock.close()
        raise _connect_error(address, error) from error
    client = Client(Transport(sock))
    try:
        client._greet(name or os.path.basename(sys.argv[0]), timeout)  # noqa: PTH119
    except BaseException:
        client.close()
        raise
    return client


def _within(seconds: float) -> float:
    """Return a timeout that a socket takes: not 0, which would not wait, and not without end."""
    return min(max(seconds, 0.000001), _LONGEST_TIMEOUT)


def _connect_within(sock: socket.socket, address: str, timeout: float) -> None:
    """Connect; BlockingIOError when nobody has accepted in time.

    Kernel: a non-blocking connect to a full backlog fails at once, a blocking one waits for
    SO_SNDTIMEO (net/unix/af_unix.c, unix_stream_connect).
    """
    seconds = _within(timeout)
    whole = int(seconds)
    limit = struct.pack("@ll", whole, int((seconds - whole) * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    sock.connect(address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 0))


def _connect_error(address: str, error: OSError) -> CaptureError:
    if isinstance(error, PermissionError):
        return NotAllowedError(
            f"{address}: permission denied",
            "ask for membership in the group that the daemon serves (its setting `group`)",
        )
    if isinstance(error, FileNotFoundError):
        reason = f"there is no socket {address}"
    else:
        reason = f"nobody answers on {address} ({error.strerror or error})"
    return UnreachableError(
        reason, f"start captured, or name its socket with -S or ${SOCKET_VARIABLE}"
    )


class Client:
    """A connection. Open until `close()`; one thread at a time. Made by `connect`.

    Ownership: owns the socket and the mappings of all buffers that it was sent; frames
    borrow them.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._welcome: protocol.Welcome | None = None
        self._outputs: tuple[Output, ...] = ()
        self._buffers = BufferTable()
        self._subscribed: set[int] = set()
        self._serial = 0
        self._held: dict[tuple[int, int], Frame] = {}
        self._last: dict[int, protocol.Frame] = {}
        self._received = self._skipped = self._missed = self._revoked = 0

    # -- what there is ------------------------------------------------------------------------

    @property
    def driver(self) -> str:
        """The kernel driver of the daemon's card."""
        return self._welcome.driver if self._welcome else ""

    def outputs(self) -> tuple[Output, ...]:
        """Return the outputs as they were when this client connected."""
        return self._outputs

    def output(self, name: str | None = None) -> Output:
        """Return an output by name, or the only one.

        Raises:
            NoOutputError: None of that name.
            UsageError: No name, and several outputs.
        """
        names = ", ".join(output.name for output in self._outputs) or "none"
        if name is None:
            if len(self._outputs) == 1:
                return self._outputs[0]
            raise UsageError("which output?", f"name one with -o: {names}")
        for output in self._outputs:
            if output.name == name:
                return output
        raise NoOutputError(f"there is no output {name}", f"the daemon has {names}")

    # -- frames -------------------------------------------------------------------------------

    def snapshot(
        self,
        output: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        sources: protocol.Source = protocol.Source.WRITEBACK | protocol.Source.PATTERN,
    ) -> Frame:
        """Capture one picture, of a vblank after this call.

        Args:
            output: Its name; None where there is only one.
            timeout: Seconds to wait for it.
            sources: What the pixels may come from. Scan-out buffers are not the glass, so
                they come only to those who ask for them.

        Returns:
            The frame; release it, best with `with`.

        Raises:
            NoOutputError: No such output.
            OutputOffError: Its CRTC is not active.
            CaptureBusyError: Another program is master of the card.
            CaptureUnsupportedError: It cannot be captured, or not from these sources.
            CaptureTimeoutError: No picture in time.
            CaptureLostError: The daemon or the card went away.
        """
        wanted = self.output(output)
        deadline = time.monotonic() + timeout
        self._settle(wanted, deadline)
        request = protocol.Subscribe(sources, 0, 0, credits=1, frames=1, max_fps_millihertz=0)
        self._send(protocol.SUBSCRIBE, request, wanted.stream)
        self._subscribed.add(wanted.stream)
        try:
            return self._await_frame(wanted, deadline)
        except CaptureTimeoutError:
            self._send(protocol.UNSUBSCRIBE, protocol.Unsubscribe(), wanted.stream)
            raise

    def stream(
        self,
        output: str | None = None,
        *,
        max_fps: float = 0.0,
        credits: int = protocol.DEFAULT_CREDITS,  # noqa: A002 - the protocol's word
        sources: protocol.Source = protocol.Source.WRITEBACK | protocol.Source.PATTERN,
        timeout: float | None = None,
    ) -> FrameStream:
        """Subscribe to an output: an iterator of frames, the newest that there is each time.

        Args:
            output: Its name; None where there is only one.
            max_fps: Frames a second at most; 0 takes every one.
            credits: Frames that this client may hold at once, 1 to 4.
            sources: As for `snapshot`.
            timeout: Seconds that a step of the iterator waits at most; None waits for as long
                as it takes.

        Returns:
            The stream; end it with `close()` or `with`. A step gives the frame before it back,
            if that is held still.

        Raises:
            As `snapshot`; some of it only at the first step.
        """
        wanted = self.output(output)
        self._settle(wanted, time.monotonic() + DEFAULT_TIMEOUT)
        request = protocol.Subscribe(sources, 0, 0, credits, 0, round(max_fps * 1000))
        self._send(protocol.SUBSCRIBE, request, wanted.stream)
        self._subscribed.add(wanted.stream)
        return FrameStream(self, wanted, timeout)

    def statistics(self) -> Statistics:
        """Return what this connection has received and what it went without."""
        return Statistics(self._received, self._skipped, self._missed, self._revoked)

    def _settle(self, output: Output, deadline: float) -> None:
        """Read to the end of an earlier subscription, so that no old frame passes for new."""
        while output.stream in self._subscribed:
            try:
                frame = self._take_message(output, deadline)
            except CaptureError:
                if output.stream in self._subscribed:
                    raise
                return  # it was the earlier subscription that failed
            if frame is not None:
                frame.release()

    def _await_frame(self, output: Output, deadline: float) -> Frame:
        while True:
            frame = self._take_message(output, deadline)
            if frame is not None:
                return frame
            if output.stream not in self._subscribed:
                raise CaptureLostError(f"the daemon ended {output.name}", "try again")

    def _take_message(self, output: Output, deadline: float) -> Frame | None:
        """Handle the next message; return the frame if it is one of the output."""
        with self._receive(deadline, f"a frame of {output.name}") as packet:
            header = packet.header
            if header.code == protocol.BUFFER.code:
                self._add_buffer(packet)
            elif header.code == protocol.ENDED.code:
                self._subscribed.discard(header.stream)
            elif header.code == protocol.FRAME.code:
                frame = self._frame(packet, self._by_stream(header.stream))
                if header.stream == output.stream:
                    return frame
                frame.release()  # of a subscription that was given up
            elif header.code == protocol.REVOKED.code:
                self._note_revoked(packet)
            elif header.code == protocol.ERROR.code:
                self._subscribed.discard(header.stream)
                if header.stream in {0, output.stream}:
                    raise wire_errors.to_exception(protocol.ERROR.unpack(packet.data))
        return None

    def _count(self, stream: int, message: protocol.Frame) -> None:
        self._received += 1
        before = self._last.get(stream)
        if before is not None:
            missed = message.missed - before.missed
            self._missed += missed
            self._skipped += max(0, message.sequence - before.sequence - 1 - missed)
        self._last[stream] = message

    def _note_revoked(self, packet: Packet) -> None:
        self._revoked += 1
        message = protocol.REVOKED.unpack(packet.data)
        frame = self._held.get((packet.header.stream, message.sequence))
        if frame is not None:
            frame._note_revoked()

    def _by_stream(self, stream: int) -> Output:
        for output in self._outputs:
            if output.stream == stream:
                return output
        raise ProtocolError(f"a FRAME of stream {stream}, which was never described")

    def _frame(self, packet: Packet, output: Output) -> Frame:
        message = protocol.FRAME.unpack(packet.data)
        key = (output.stream, message.generation, message.buffer)
        buffer = self._buffers.use(key)
        self._count(output.stream, message)

        def give_back(frame: Frame) -> None:
            self._held.pop((output.stream, frame.sequence), None)
            self._buffers.let_go(key)
            release = protocol.Release(frame.sequence, message.buffer, message.generation)
            with contextlib.suppress(CaptureLostError, CaptureClosedError):
                self._send(protocol.RELEASE, release, output.stream)

        frame = Frame(buffer, message, output.name, give_back)
        self._held[output.stream, message.sequence] = frame
        return frame

    def _add_buffer(self, packet: Packet) -> None:
        layout = protocol.BUFFER.unpack(packet.data)
        if layout.planes != 1 or len(packet.fds) != 1:
            raise ProtocolError(f"BUFFER of {layout.planes} planes with {len(packet.fds)} fds")
        fd = OwnedFd(packet.fds[0].detach(), f"buffer {layout.buffer}")
        self._buffers.add(packet.header.stream, layout, fd)

    # -- talking ------------------------------------------------------------------------------

    def _greet(self, name: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        hello = protocol.Hello(protocol.MAGIC, protocol.VERSION_MIN, protocol.VERSION_MAX, 0, name)
        self._send(protocol.HELLO, hello, 0)
        with self._receive(deadline, "the daemon's WELCOME") as packet:
            if packet.header.code == protocol.ERROR.code:
                raise wire_errors.to_exception(protocol.ERROR.unpack(packet.data))
            if packet.header.code != protocol.WELCOME.code:
                raise ProtocolError("the daemon's first message is not WELCOME")
            self._welcome = protocol.WELCOME.unpack(packet.data)
        version = self._welcome.version
        if not protocol.VERSION_MIN <= version <= protocol.VERSION_MAX:
            raise ProtocolError(
                f"the daemon speaks version {version} of the protocol", "update this client"
            )
        self._outputs = tuple(self._read_output(deadline) for _ in range(self._welcome.streams))

    def _read_output(self, deadline: float) -> Output:
        described: protocol.Stream | None = None
        fourccs: list[int] = []
        while True:
            with self._receive(deadline, "the list of outputs") as packet:
                header = packet.header
                if header.code == protocol.STREAM.code:
                    described = protocol.STREAM.unpack(packet.data)
                elif header.code == protocol.FORMAT.code:
                    fourccs.append(protocol.FORMAT.unpack(packet.data).fourcc)
                elif header.code == protocol.DONE.code and described is not None:
                    return _output(header.stream, described, tuple(fourccs))

    def _send(
        self, message: protocol.Message[protocol.Body], body: protocol.Body, stream: int
    ) -> None:
        self._serial += 1
        self._transport.set_timeout(DEFAULT_TIMEOUT)
        try:
            self._transport.send(message.pack(body, serial=self._serial, stream=stream))
        except TimeoutError as error:
            raise CaptureTimeoutError("the daemon reads nothing", "see its log") from error

    def _receive(self, deadline: float, what: str) -> Packet:
        """Return the next message; the end of the connection raises."""
        try:
            self._transport.set_timeout(_within(deadline - time.monotonic()))
            packet = self._transport.receive()
        except (TimeoutError, BlockingIOError) as error:
            raise CaptureTimeoutError(
                f"no sign of {what} in time", "see the daemon's log"
            ) from error
        if packet is None:
            raise CaptureLostError("the daemon hung up", "see its log; it may be restarting")
        if packet.header.code == protocol.BYE.code:
            packet.close()
            raise CaptureLostError("the daemon is stopping", "connect again when it is back")
        return packet

    # -- leaving ------------------------------------------------------------------------------

    def close(self) -> None:
        """Hang up; frames still held are given back by that. Twice is fine."""
        self._buffers.close()
        self._transport.close()

    def __bool__(self) -> bool:
        return bool(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class FrameStream:
    """Frames of one output, one a step. Open until `close()`; a context manager.

    Ownership: borrows the client. The frame of a step is given back by the next one; a frame
    to keep longer is one of the credits.
    """

    def __init__(self, client: Client, output: Output, timeout: float | None) -> None:
        self.output = output
        self._client: Client | None = client
        self._timeout = _LONGEST_TIMEOUT if timeout is None else timeout
        self._frame: Frame | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        """Give the last frame back and return the next.

        Raises:
            StopIteration: The stream was closed.
            CaptureTimeoutError: None came in time; the stream goes on.
            CaptureLostError: The daemon or the output went away.
        """
        client = self._client
        if client is None:
            raise StopIteration
        if self._frame is not None:
            self._frame.release()
        self._frame = client._await_frame(self.output, time.monotonic() + self._timeout)
        return self._frame

    def pause(self) -> None:
        """Ask for no frames for a while; the subscription stays."""
        self._tell(protocol.PAUSE, protocol.Pause())

    def resume(self) -> None:
        """Ask for frames again."""
        self._tell(protocol.RESUME, protocol.Resume())

    def _tell(self, message: protocol.Message[protocol.Body], body: protocol.Body) -> None:
        if self._client is None:
            raise CaptureClosedError(f"the stream of {self.output.name} is closed")
        self._client._send(message, body, self.output.stream)

    def close(self) -> None:
        """Give the last frame back and unsubscribe. Twice is fine."""
        client = self._client
        if client is None:
            return
        if self._frame is not None:
            self._frame.release()
        with contextlib.suppress(CaptureLostError, CaptureClosedError):
            self._tell(protocol.UNSUBSCRIBE, protocol.Unsubscribe())
        self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _output(stream: int, described: protocol.Stream, fourccs: tuple[int, ...]) -> Output:
    try:
        state = protocol.State(described.state)
    except ValueError as error:
        raise ProtocolError(
            f"{described.name} is in the unknown state {described.state}"
        ) from error
    return Output(
        stream,
        described.name,
        state,
        protocol.Source(described.source),
        described.width,
        described.height,
        described.refresh_millihertz,
        described.card,
        described.writeback,
        described.connector_id,
        described.crtc_id,
        described.clients,
        fourccs,
        described.fourcc,
        described.code,
        described.reason,
        described.hint,
    )
