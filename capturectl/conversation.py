# SPDX-License-Identifier: MIT
"""What a client and the daemon say to each other: messages in, frames and answers out.

Nothing here reads, waits or connects: whoever has the socket feeds it. So the blocking client
and the asyncio one are the same client.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque

from capturectl import protocol, wire_errors
from capturectl.answers import Answers
from capturectl.buffers import BufferTable
from capturectl.errors import (
    CaptureBusyError,
    CaptureClosedError,
    CaptureError,
    CaptureLostError,
    CaptureUnsupportedError,
    NoOutputError,
    ProtocolError,
    UsageError,
)
from capturectl.event import Event, make_event
from capturectl.fd import OwnedFd
from capturectl.output import Output, make_output
from capturectl.typed import Any, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capturectl.frame import Frame
    from capturectl.transport import Packet


_LARGEST_U32 = (1 << 32) - 1
_HELD_TOO_LONG = "was held for too long", "release frames sooner"
_NEVER_WRITTEN = "was never written", "take the next; the daemon's log says more"
_TAKEN_BACK = "was taken back by the daemon", "take the next"
_LOST = "was lost with the connection to the daemon", "take the next"


def millihertz(frames_per_second: float) -> int:
    """Return a limit as the protocol has it; only 0, which is none, becomes 0.

    Raises:
        ValueError: It is negative or NaN.
    """
    if not frames_per_second >= 0:
        raise ValueError(f"{frames_per_second} frames a second")
    if frames_per_second == 0:
        return 0
    return round(min(max(frames_per_second * 1000, 1), _LARGEST_U32))


def wish(
    sources: protocol.Source,
    *,
    credits: int,  # noqa: A002 - the protocol's word
    frames: int = 0,
    max_fps: float = 0,
    early: bool = False,
) -> protocol.Subscribe:
    """Return what a SUBSCRIBE says.

    Raises:
        ValueError: Credits or a rate that no daemon takes.
    """
    if credits not in range(1, protocol.MAX_CREDITS + 1):
        raise ValueError(f"{credits!r} credits: it is 1 to {protocol.MAX_CREDITS}")
    flags = protocol.SubscribeFlag.EARLY if early else protocol.SubscribeFlag(0)
    return protocol.Subscribe(sources, flags, 0, int(credits), frames, millihertz(max_fps))


class Statistics(NamedTuple):
    """What a connection has received and what it went without, over all its outputs."""

    received: int
    skipped: int
    """Captured for a subscription of this client's that had no credit or was slower than asked."""
    missed: int
    """Asked of the source, which did not deliver."""
    revoked: int
    """Held for so long that the daemon took the buffer back; not what never was a picture."""
    reconnected: int = 0
    """How often the daemon went away and came back."""


class Subscribed(NamedTuple):
    """A client of the daemon, and what it subscribes to."""

    output: str
    """The output's name; empty for a client without a subscription."""
    status: protocol.ClientStatus


class Conversation:
    """One connection's words, from HELLO on.

    Ownership: owns the buffers and the frames nobody has taken; frames that were taken borrow
    their buffers.
    """

    def __init__(self, send: Callable[[bytes], None], before: Statistics | None = None) -> None:
        """Start with nothing said.

        Args:
            send: Sends one message to the daemon, without fds.
            before: What to count on from, after a reconnection.
        """
        self._send = send
        self.welcome: protocol.Welcome | None = None
        self.outputs: tuple[Output, ...] = ()
        self.ended: CaptureError | None = None
        """Why there is nothing more to be said; None until then."""
        self._statistics = before or Statistics(0, 0, 0, 0)
        self._described: tuple[int, protocol.Stream, list[int]] | None = None
        self._buffers = BufferTable()
        self._subscribed: set[int] = set()
        self._unwanted: set[int] = set()
        self._requests: dict[int, protocol.Subscribe] = {}
        self._frames: dict[int, deque[Frame]] = {}
        self._errors: dict[int, CaptureError] = {}
        self._problems: dict[int, CaptureError] = {}
        self._held: dict[tuple[int, int], Frame] = {}
        self._last: dict[int, protocol.Frame] = {}
        """Of each subscription, what came last: the next is counted from there."""
        self._resumed_ns: dict[int, int] = {}
        """Of each stream, when it was resumed; earlier frames are from before the pause."""
        self.answers = Answers()
        self._watchers: list[deque[Event]] = []
        self._serial = 0

    # -- saying -------------------------------------------------------------------------------

    def say(
        self, message: protocol.Message[protocol.Body], body: protocol.Body, stream: int = 0
    ) -> int:
        """Send a message; return its serial."""
        self._serial += 1
        self._send(message.pack(body, serial=self._serial, stream=stream))
        return self._serial

    def hello(self, name: str) -> int:
        """Begin; return the message's serial."""
        capabilities = protocol.Capability.EARLY | protocol.Capability.WATCH
        return self.say(
            protocol.HELLO,
            protocol.Hello(
                protocol.MAGIC, protocol.VERSION_MIN, protocol.VERSION_MAX, capabilities, name
            ),
        )

    @property
    def is_greeted(self) -> bool:
        """Whether the daemon has answered and described all outputs."""
        return self.welcome is not None and len(self.outputs) >= self.welcome.streams

    @property
    def awaited(self) -> str:
        """What of the greeting is still to come, in words."""
        return "the list of outputs" if self.welcome else "the daemon's WELCOME"

    def subscribe(self, output: Output, request: protocol.Subscribe) -> None:
        """Ask for frames; what is left of an earlier subscription is given back."""
        self._release_waiting(output)
        self._unwanted.discard(output.stream)
        self._errors.pop(output.stream, None)
        self._problems.pop(output.stream, None)
        self._last.pop(output.stream, None)
        self.say(protocol.SUBSCRIBE, request, output.stream)
        self._subscribed.add(output.stream)
        self._requests[output.stream] = request

    def unsubscribe(self, output: Output, request: protocol.Subscribe) -> None:
        """Ask for no more frames; those that come all the same are given back.

        Args:
            output: What was subscribed to.
            request: The object that it was subscribed with: one that has ended may have been
                followed by somebody else's, which goes on.
        """
        if self._requests.get(output.stream) is not request:
            return
        self._release_waiting(output)
        if not self.is_subscribed(output):
            return
        self._unwanted.add(output.stream)
        self.say(protocol.UNSUBSCRIBE, protocol.Unsubscribe(), output.stream)

    def pause(self, output: Output) -> None:
        """Ask for no frames until `resume`."""
        self.say(protocol.PAUSE, protocol.Pause(), output.stream)

    def resume(self, output: Output) -> None:
        """Ask for frames again after PAUSE."""
        self._last.pop(output.stream, None)
        self._resumed_ns[output.stream] = time.monotonic_ns()
        self.say(protocol.RESUME, protocol.Resume(), output.stream)

    def _release_waiting(self, output: Output) -> None:
        for frame in self._frames.pop(output.stream, ()):
            frame.release()

    def ask(self, what: protocol.Query) -> int:
        """Send a query; return the serial by which `answers` has the answer.

        Raises:
            CaptureUnsupportedError: The daemon is too old for it.
        """
        self.require_watch()
        return self.answers.expect(self.say(protocol.QUERY, protocol.AskQuery(what)))

    def disconnect(self, client: int) -> int:
        """Ask to cut another client off; return the serial by which `answers` has the answer."""
        self.require_watch()
        return self.answers.expect(self.say(protocol.DISCONNECT, protocol.Disconnect(client)))

    def watch(self) -> deque[Event]:
        """Ask for events; return where they come, for one watcher, until `unwatch`.

        Raises:
            CaptureUnsupportedError: The daemon is too old for it.
        """
        self.require_watch()
        if not self._watchers:
            self.say(protocol.WATCH, protocol.Watch(1))
        self._watchers.append(deque())
        return self._watchers[-1]

    def next_event(self, events: deque[Event]) -> Event | None:
        """Return the next of a watcher's events; None when there is none yet.

        Raises:
            CaptureError: The connection is over, and they have all been returned.
        """
        if events:
            return events.popleft()
        if self.ended is not None:
            raise self.ended
        return None

    def unwatch(self, events: deque[Event]) -> None:
        """Ask for no more events when nobody else watches."""
        self._watchers = [others for others in self._watchers if others is not events]
        if not self._watchers:
            self.say(protocol.WATCH, protocol.Watch(0))

    def require_watch(self) -> None:
        """Check that the daemon answers questions.

        Raises:
            CaptureUnsupportedError: It is too old.
            CaptureLostError: It is away.
        """
        if not self._require_greeted().capabilities & protocol.Capability.WATCH:
            raise CaptureUnsupportedError("the daemon answers no questions", "update it")

    def _require_greeted(self) -> protocol.Welcome:
        if self.welcome is None:
            raise CaptureLostError("the daemon is away", "try again when it is back")
        return self.welcome

    # -- what there is ------------------------------------------------------------------------

    def output(self, name: str | None) -> Output:
        """Return an output by name, or the only one.

        Raises:
            NoOutputError: None of that name.
            UsageError: No name, and several outputs.
            CaptureLostError: The daemon is away.
        """
        self._require_greeted()
        names = ", ".join(output.name for output in self.outputs if output.name) or "none"
        if name is None:
            if len(self.outputs) == 1:
                return self.outputs[0]
            raise UsageError("which output?", f"name one with -o: {names}")
        for output in self.outputs:
            if output.name == name:
                return output
        raise NoOutputError(f"there is no output {name}", f"the daemon has {names}")

    def is_subscribed(self, output: Output) -> bool:
        """Whether frames of an output may still come."""
        return output.stream in self._subscribed

    def require_no_stream(self, output: Output) -> None:
        """Check that no frames of an output come until somebody asks for no more.

        Raises:
            CaptureBusyError: subscribed, they do.
        """
        stream = output.stream
        wanted = self._subscribed - self._unwanted
        if stream in wanted and not self._requests[stream].frames:
            raise CaptureBusyError(
                f"this client has a stream of {output.name}", "close it first", code="subscribed"
            )

    def problem(self, output: Output) -> CaptureError | None:
        """Why a subscription gets no frames at the moment; None when nothing is in the way."""
        return self._problems.get(output.stream)

    def take_frame(self, output: Output) -> Frame | None:
        """Return the next frame of an output; None when there is none yet.

        Raises:
            CaptureError: The subscription has failed, or has ended.
        """
        frames = self._frames.get(output.stream)
        if frames:
            return frames.popleft()
        if (error := self._errors.pop(output.stream, None)) is not None:
            raise error
        if not self.is_subscribed(output):
            raise CaptureLostError(f"the daemon ended {output.name}", "try again")
        return None

    def name_of(self, stream: int) -> str:
        """Return an output's name by its number; empty when there is none."""
        return next((output.name for output in self.outputs if output.stream == stream), "")

    def statistics(self) -> Statistics:
        """Return what was received and what was gone without."""
        return self._statistics

    # -- hearing ------------------------------------------------------------------------------

    def feed(self, packet: Packet) -> None:
        """Take one message of the daemon's; what it is not told of is skipped.

        Raises:
            ProtocolError: It makes no sense.
            CaptureError: The daemon ends the connection, and says why.
            OSError: A buffer cannot be mapped, which ends the connection as well.
        """
        try:
            self._hear(packet)
        except ProtocolError as error:
            raise self.end(error) from error.__cause__

    def _hear(self, packet: Packet) -> None:
        code = packet.header.code
        if self.welcome is None and code not in _FIRST:
            raise ProtocolError("the daemon's first message is not WELCOME")
        handler = _HANDLERS.get(code)
        if handler is not None:
            handler(self, packet)

    def end(self, error: CaptureError) -> CaptureError:
        """Note that the connection is over; return why, as it was said first."""
        self.ended = self.ended or error
        return self.ended

    def _hear_welcome(self, packet: Packet) -> None:
        self.welcome = protocol.WELCOME.unpack(packet.data)
        version = self.welcome.version
        if not protocol.VERSION_MIN <= version <= protocol.VERSION_MAX:
            raise ProtocolError(
                f"the daemon speaks version {version} of the protocol", "update this client"
            )

    def _hear_stream(self, packet: Packet) -> None:
        described = protocol.STREAM.unpack(packet.data)
        self._described = packet.header.stream, described, []

    def _hear_format(self, packet: Packet) -> None:
        if self._described is not None:
            self._described[2].append(protocol.FORMAT.unpack(packet.data).fourcc)

    def _hear_done(self, packet: Packet) -> None:
        if packet.header.stream == 0:
            self.answers.complete(packet.header.serial)
        elif self._described is not None:
            stream, described, fourccs = self._described
            self._described = None
            self._replace(make_output(stream, described, tuple(fourccs)))

    def _replace(self, output: Output) -> None:
        known = {known.stream: known for known in self.outputs}
        self.outputs = tuple((known | {output.stream: output}).values())

    def _hear_buffer(self, packet: Packet) -> None:
        layout = protocol.BUFFER.unpack(packet.data)
        if layout.planes != 1 or len(packet.fds) != 1:
            raise ProtocolError(f"BUFFER of {layout.planes} planes with {len(packet.fds)} fds")
        fd = OwnedFd(packet.fds[0].detach(), f"buffer {layout.buffer}")
        try:
            self._buffers.add(packet.header.stream, layout, fd)
        except OSError as error:  # the daemon does not send it again
            why = f"a buffer could not be mapped: {error.strerror}"
            hint = "close files or free memory, and connect again"
            self.end(CaptureLostError(why, hint, code="not-mapped"))
            raise

    def _hear_buffer_gone(self, packet: Packet) -> None:
        gone = protocol.BUFFER_GONE.unpack(packet.data)
        self._buffers.give_up((packet.header.stream, gone.generation, gone.buffer))

    def _hear_frame(self, packet: Packet) -> None:
        self._add_frame(packet, protocol.FRAME.unpack(packet.data), None)

    def _hear_early(self, packet: Packet) -> None:
        early = protocol.EARLY.unpack(packet.data)
        if len(packet.fds) != 1:
            raise ProtocolError(f"EARLY with {len(packet.fds)} fds")
        message = protocol.Frame(
            early.sequence, 0, early.missed, early.time_commit_ns, 0, 0, early.buffer,
            early.generation, early.source, early.flags,
        )  # fmt: skip
        fence = OwnedFd(packet.fds[0].detach(), "fence")
        try:
            self._add_frame(packet, message, fence)
        except BaseException:
            fence.close()
            raise

    def _add_frame(self, packet: Packet, message: protocol.Frame, fence: OwnedFd | None) -> None:
        stream = packet.header.stream
        frame = self._make_frame(stream, message, fence)
        if stream in self._subscribed and stream not in self._unwanted:
            self._frames.setdefault(stream, deque()).append(frame)
        else:
            frame.release()

    def _make_frame(self, stream: int, message: protocol.Frame, fence: OwnedFd | None) -> Frame:
        from capturectl.frame import Frame  # who only looks takes none

        name = self.name_of(stream)
        if not name:
            raise ProtocolError(f"a FRAME of stream {stream}, which was never described")
        buffer = self._buffers.use((stream, message.generation, message.buffer))
        self._count(stream, message)

        def give_back(frame: Frame) -> None:
            self._held.pop((stream, frame.sequence), None)
            self._buffers.let_go(buffer)
            release = protocol.Release(frame.sequence, message.buffer, message.generation)
            with contextlib.suppress(CaptureLostError, CaptureClosedError):
                self.say(protocol.RELEASE, release, stream)

        frame = Frame(buffer, message, name, give_back, fence)
        self._held[stream, message.sequence] = frame
        return frame

    def _count(self, stream: int, message: protocol.Frame) -> None:
        counted = self._statistics
        before = self._last.get(stream)
        if message.time_commit_ns >= self._resumed_ns.get(stream, 0):
            self._last[stream] = message
        missed = message.missed - before.missed if before else 0
        gap = message.sequence - before.sequence - 1 - missed if before else 0
        self._statistics = counted._replace(
            received=counted.received + 1,
            skipped=counted.skipped + max(0, gap),
            missed=counted.missed + missed,
        )

    def _hear_revoked(self, packet: Packet) -> None:
        message = protocol.REVOKED.unpack(packet.data)
        stream = packet.header.stream
        frame = self._held.get((stream, message.sequence))
        why = self._why_revoked(stream, frame)
        if why is _HELD_TOO_LONG:
            self._statistics = self._statistics._replace(revoked=self._statistics.revoked + 1)
        if frame is not None:
            frame.revoke(*why)

    def _why_revoked(self, stream: int, frame: Frame | None) -> tuple[str, str]:
        """Return what happened to a frame; REVOKED does not say it.

        A frame that is not held was released while REVOKED was under way.
        """
        if frame is None:
            request = self._requests.get(stream)
            is_early = request is not None and request.flags & protocol.SubscribeFlag.EARLY
            return _TAKEN_BACK if is_early else _HELD_TOO_LONG
        if not frame.is_written:
            return _NEVER_WRITTEN
        return _HELD_TOO_LONG if self._may_be_overdue(frame) else _TAKEN_BACK

    def _may_be_overdue(self, frame: Frame) -> bool:
        """Whether the lease of a frame may be over: one without a fence comes back only then."""
        lease_ns = self.welcome.lease_ms * 1_000_000 if self.welcome else 0
        return frame.fence is None or time.monotonic_ns() - frame.time_commit_ns > lease_ns

    def _hear_state(self, packet: Packet) -> None:
        state = protocol.STATE.unpack(packet.data)
        if state.state == protocol.State.READY:
            self._problems.pop(packet.header.stream, None)
        else:
            self._problems[packet.header.stream] = wire_errors.from_state(state)

    def _hear_ended(self, packet: Packet) -> None:
        self._subscribed.discard(packet.header.stream)

    def _hear_error(self, packet: Packet) -> None:
        header = packet.header
        message = protocol.ERROR.unpack(packet.data)
        error = wire_errors.to_exception(message)
        if message.flags & protocol.ErrorFlag.FATAL:
            self.end(error)
        if self.answers.complete(header.serial, error):
            return
        if header.stream == 0:
            raise error
        self._subscribed.discard(header.stream)
        self._errors[header.stream] = error

    def _hear_bye(self, packet: Packet) -> None:
        raise self.end(
            CaptureLostError(
                "the daemon is stopping", "connect again when it is back", code="stopped"
            )
        )

    def _hear_event(self, packet: Packet) -> None:
        output = self.name_of(packet.header.stream)
        event = make_event(output, protocol.EVENT.unpack(packet.data))
        for events in self._watchers:
            events.append(event)

    def _hear_row(self, packet: Packet) -> None:
        header = packet.header
        row = _ROWS[header.code].unpack(packet.data)
        self.answers.add(header.serial, header.stream, row)

    # -- leaving ------------------------------------------------------------------------------

    def abandon(self) -> None:
        """The connection is lost: frames that are held show nothing certain any more."""
        self._send = _to_nobody
        self.end(CaptureLostError("the daemon went away", "ask again"))
        for output in self.outputs:
            self._release_waiting(output)
        for frame in self._held.values():
            frame.revoke(*_LOST)
        self._buffers.retire()

    @property
    def holds_frames(self) -> bool:
        """Whether there are frames that were not released yet."""
        return bool(self._held)

    def count_reconnection(self) -> None:
        """Note that the daemon went away and has come back."""
        counted = self._statistics
        self._statistics = counted._replace(reconnected=counted.reconnected + 1)

    def close(self) -> None:
        """After hanging up: release every frame and unmap everything. Twice is fine."""
        for frame in list(self._held.values()):
            frame.release()
        self._frames.clear()
        self._buffers.close()


def _to_nobody(message: bytes) -> None:
    """Send a message to a daemon that is gone."""


_FIRST = frozenset(message.code for message in (protocol.WELCOME, protocol.ERROR, protocol.BYE))
_ROWS: dict[int, protocol.Message[Any]] = {
    message.code: message for message in (protocol.ENGINE, protocol.PLANE, protocol.CLIENT)
}
_HANDLERS: dict[int, Callable[[Conversation, Packet], None]] = {
    protocol.WELCOME.code: Conversation._hear_welcome,
    protocol.STREAM.code: Conversation._hear_stream,
    protocol.FORMAT.code: Conversation._hear_format,
    protocol.DONE.code: Conversation._hear_done,
    protocol.BUFFER.code: Conversation._hear_buffer,
    protocol.BUFFER_GONE.code: Conversation._hear_buffer_gone,
    protocol.FRAME.code: Conversation._hear_frame,
    protocol.EARLY.code: Conversation._hear_early,
    protocol.REVOKED.code: Conversation._hear_revoked,
    protocol.STATE.code: Conversation._hear_state,
    protocol.ENDED.code: Conversation._hear_ended,
    protocol.ERROR.code: Conversation._hear_error,
    protocol.BYE.code: Conversation._hear_bye,
    protocol.EVENT.code: Conversation._hear_event,
    **dict.fromkeys(_ROWS, Conversation._hear_row),
}
