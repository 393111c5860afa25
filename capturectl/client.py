# SPDX-License-Identifier: MIT
"""A connection to the daemon: its outputs, and frames of them."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time

from capturectl import protocol
from capturectl.conversation import Conversation, Subscribed, wish
from capturectl.errors import (
    CaptureClosedError,
    CaptureError,
    CaptureLostError,
    CaptureTimeoutError,
    ProtocolError,
    UnreachableError,
)
from capturectl.reach import (
    SOCKET_VARIABLE,
    open_socket,
    pauses,
    require_own,
    within,
)
from capturectl.transport import Transport
from capturectl.typed import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator
    from typing import Any, Self, TypeVar

    from capturectl.conversation import Statistics
    from capturectl.event import Event
    from capturectl.frame import Frame
    from capturectl.framestream import FrameStream
    from capturectl.output import Output
    from capturectl.transport import Packet

    Said = TypeVar("Said")

DEFAULT_TIMEOUT = 5.0
"""Seconds to wait for a frame: some vblanks, and a modeset before the first."""
_IDLE_S = 1.0


def default_socket() -> str:
    """Return $CAPTURECTL_SOCKET, or where the service listens."""
    return os.environ.get(SOCKET_VARIABLE) or protocol.DEFAULT_SOCKET


def connect(
    path: str | None = None,
    *,
    name: str = "",
    timeout: float = DEFAULT_TIMEOUT,
    wait: float = 0.0,
) -> Client:
    """Connect to the daemon.

    Args:
        path: Its socket; None takes `default_socket()`.
        name: What to call this client in the daemon's status; the program's name when empty.
        timeout: Seconds to wait for the daemon's answer.
        wait: Seconds to wait for a daemon that is not there yet.

    Raises:
        UnreachableError: There is no socket, or nobody answers on it.
        NotAllowedError: EACCES, this user may not connect.
        ProtocolError: The daemon speaks no version that this client knows.
        CaptureTimeoutError: No answer in time.
    """
    client = Client(path or default_socket(), name or program_name(), timeout)
    client._open(wait)
    return client


def program_name() -> str:
    """Return what a client is called that has no other name."""
    return os.path.basename(sys.argv[0])  # noqa: PTH119 - pathlib costs start-up time


class Client:
    """A connection. Open until `close()`; one thread at a time. Made by `connect`.

    A child made by fork cannot use it, and leaves it alone when it closes its copy.

    Ownership: owns the socket and the mappings of all buffers that it was sent; frames
    borrow them.
    """

    def __init__(self, address: str, name: str, timeout: float) -> None:
        self._address, self._name, self._timeout = address, name, timeout
        self._transport: Transport | None = None
        self._talk = Conversation(self._send)
        self._former: list[Conversation] = []
        self._is_closed = False
        self._pid = os.getpid()

    # -- what there is ------------------------------------------------------------------------

    @property
    def driver(self) -> str:
        """The kernel driver of the daemon's card."""
        return self._talk.welcome.driver if self._talk.welcome else ""

    @property
    def daemon_version(self) -> str:
        """The daemon's version."""
        return self._talk.welcome.daemon if self._talk.welcome else ""

    @property
    def has_early(self) -> bool:
        """Whether the daemon can announce frames before they are written."""
        welcome = self._talk.welcome
        return bool(welcome and welcome.capabilities & protocol.Capability.EARLY)

    def outputs(self) -> tuple[Output, ...]:
        """Return the outputs as the daemon described them last; see `refresh`."""
        return self._talk.outputs

    def output(self, name: str | None = None) -> Output:
        """Return an output by name, or the only one.

        Raises:
            NoOutputError: None of that name.
            UsageError: No name, and several outputs.
        """
        return self._talk.output(name)

    def refresh(self) -> tuple[Output, ...]:
        """Ask how the outputs are now; `outputs` says so from then on.

        Raises:
            CaptureUnsupportedError: The daemon is too old for questions.
        """
        self._ask(protocol.Query.OUTPUTS)
        return self.outputs()

    def engines(self) -> dict[str, protocol.EngineStatus]:
        """Return what the daemon does with each output, by name."""
        rows = self._ask(protocol.Query.ENGINES)
        return {self._talk.name_of(stream): status for stream, status in rows}

    def planes(self, output: str | None = None) -> tuple[protocol.PlaneStatus, ...]:
        """Return the planes on an output's CRTC, the lowest first."""
        wanted = self.output(output).stream
        rows = self._ask(protocol.Query.PLANES)
        return tuple(plane for stream, plane in rows if stream == wanted)

    def clients(self) -> tuple[Subscribed, ...]:
        """Return everybody who is connected to the daemon."""
        rows = self._ask(protocol.Query.CLIENTS)
        return tuple(Subscribed(self._talk.name_of(stream), status) for stream, status in rows)

    def disconnect(self, number: int) -> None:
        """Cut another client off.

        Raises:
            NoOutputError: no-client, there is none of that number.
            NotAllowedError: It belongs to another user.
        """
        self._await_answer(lambda: self._talk.disconnect(number))

    def events(
        self,
        timeout: float | None = None,
        *,
        within: float | None = None,
        idle: Callable[[], object] | None = None,
    ) -> Iterator[Event]:
        """Return what happens at the daemon from this call on, to be iterated over.

        Args:
            timeout: Ends when nothing has happened for so many seconds; None waits on.
            within: Ends after so many seconds in any case; None never does.
            idle: Called about once a second while nothing happens; what it raises ends them.

        Raises:
            CaptureLostError: The daemon went away.
        """
        end = math.inf if within is None else time.monotonic() + within
        events = self._events(self._talk, self._told(self._talk.watch), timeout, end, idle)
        next(events)  # a generator that was begun ends its watch, whoever lets go of it and when
        return cast("Iterator[Event]", events)

    def _events(
        self,
        talk: Conversation,
        events: deque[Event],
        timeout: float | None,
        end: float,
        idle: Callable[[], object] | None,
    ) -> Iterator[Event | None]:
        try:
            yield None
            while True:
                deadline = end if timeout is None else min(end, time.monotonic() + timeout)
                while (event := talk.next_event(events)) is None:
                    if not self._heard(deadline, idle):
                        return
                yield event
        finally:
            with contextlib.suppress(CaptureError):  # nobody may be there any more to hear of it
                talk.unwatch(events)

    def _heard(self, deadline: float, idle: Callable[[], object] | None) -> bool:
        """Hear something, or be idle; return whether there is time left."""
        until = deadline if idle is None else min(deadline, time.monotonic() + _IDLE_S)
        try:
            self._hear(until, "an event")
        except CaptureTimeoutError:
            if time.monotonic() >= deadline:
                return False
            if idle is not None:
                idle()
        return True

    def _ask(self, what: protocol.Query) -> list[tuple[int, Any]]:
        return self._await_answer(lambda: self._talk.ask(what))

    def _await_answer(self, ask: Callable[[], int]) -> list[tuple[int, Any]]:
        deadline = time.monotonic() + self._timeout
        serial = self._told(ask)
        try:
            while (rows := self._talk.answers.take(serial)) is None:
                self._hear(deadline, "the daemon's answer")
        finally:
            self._talk.answers.forget(serial)
        return rows

    def _told(self, say: Callable[[], Said]) -> Said:
        """Say something; to a daemon that has hung up, raise what it said last."""
        try:
            return say()
        except CaptureLostError:
            with contextlib.suppress(CaptureTimeoutError, CaptureClosedError):
                while True:
                    self._hear(time.monotonic(), "its last words")
            raise

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
            timeout: Seconds to wait for it, also where the output goes off meanwhile.
            sources: What the pixels may come from. Scan-out buffers are not the glass, so
                they come only to those who ask for them.

        Returns:
            The frame; release it, best with `with`.

        Raises:
            NoOutputError: No such output.
            OutputOffError: Its CRTC is not active.
            CaptureBusyError: Another program is master of the card; or `subscribed`, this client
                has a stream of the output.
            CaptureUnsupportedError: It cannot be captured, or not from these sources.
            CaptureTimeoutError: No picture in time.
            CaptureLostError: The daemon or the card went away.
        """
        wanted = self.output(output)
        deadline = time.monotonic() + timeout
        self._settle(wanted, deadline)
        request = wish(sources, credits=1, frames=1)
        self._told(lambda: self._talk.subscribe(wanted, request))
        try:
            return self._await_frame(wanted, deadline)
        except CaptureTimeoutError as error:
            problem = self._talk.problem(wanted)
            self._talk.unsubscribe(wanted, request)
            if problem is not None:
                raise problem from error
            raise
        except CaptureError:
            raise
        except BaseException:  # a signal's handler raised it, as a rule
            with contextlib.suppress(CaptureError):
                self._talk.unsubscribe(wanted, request)
            raise

    def stream(
        self,
        output: str | None = None,
        *,
        max_fps: float = 0.0,
        credits: int = protocol.DEFAULT_CREDITS,  # noqa: A002 - the protocol's word
        sources: protocol.Source = protocol.Source.WRITEBACK | protocol.Source.PATTERN,
        timeout: float | None = None,
        early: bool = False,
        reconnect: bool = False,
    ) -> FrameStream:
        """Subscribe to an output: an iterator of its frames, in order.

        With `credits=1` each step brings the newest. With more, frames wait while a step works,
        and are as old as that took; so many steps together must take less than the lease, 250 ms,
        or frames may be taken back.

        Args:
            output: Its name; None where there is only one.
            max_fps: Frames a second at most, 0.001 or more; 0 takes every one.
            credits: Frames that this client may hold at once, 1 to 4.
            sources: As for `snapshot`.
            timeout: Seconds that a step of the iterator waits at most; None waits for as long
                as it takes.
            early: Whether frames may come before they are written, each with its `fence`.
            reconnect: Whether to go on when the daemon went away and has come back, perhaps before
                its card, or its source failed: it is tried again after pauses that grow. Not after
                somebody has disconnected this client.

        Returns:
            The stream; end it with `close()` or `with`. A step gives the frame before it back,
            if that is held still.

        Raises:
            ValueError: Credits or a rate that no daemon takes.
            As `snapshot`; some of it only at the first step.
        """
        from capturectl.framestream import FrameStream  # who only looks needs none

        wanted = self.output(output)
        request = wish(sources, credits=credits, max_fps=max_fps, early=early)
        self._subscribe(wanted, request)
        return FrameStream(self, wanted, request, timeout, reconnect=reconnect)

    def _subscribe(self, output: Output, request: protocol.Subscribe) -> None:
        self._settle(output, time.monotonic() + DEFAULT_TIMEOUT)
        self._told(lambda: self._talk.subscribe(output, request))

    def statistics(self) -> Statistics:
        """Return what this connection has received and what it went without."""
        return self._talk.statistics()

    def _settle(self, output: Output, deadline: float) -> None:
        """Read to the end of an earlier subscription, so that no old frame passes for new.

        Raises:
            CaptureBusyError: subscribed, nobody has ended it.
        """
        self._talk.require_no_stream(output)
        while self._talk.is_subscribed(output):
            self._hear(deadline, f"the end of {output.name}")

    def _await_frame(self, output: Output, deadline: float) -> Frame:
        while (frame := self._talk.take_frame(output)) is None:
            self._hear(deadline, f"a frame of {output.name}")
        return frame

    # -- talking ------------------------------------------------------------------------------

    def _open(self, wait: float = 0.0) -> None:
        """Connect and say HELLO; a daemon that is not there is tried again for a while."""
        deadline = time.monotonic() + wait
        for pause in pauses():
            try:
                self._greet(self._timeout)
            except UnreachableError:
                if not time.monotonic() + pause <= deadline:  # nor NaN
                    raise
                time.sleep(pause)
            else:
                return

    def _greet(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._transport = Transport(open_socket(self._address, timeout))
        try:
            self._told(lambda: self._talk.hello(self._name))
            while not self._talk.is_greeted:
                self._hear(deadline, self._talk.awaited)
        except BaseException:
            self._hang_up()
            raise

    @property
    def _is_lost(self) -> bool:
        return self._talk.ended is not None or not self._transport

    def _reconnect(self, timeout: float) -> None:
        """Try to begin anew; frames that are held are good no more.

        Raises:
            CaptureClosedError: This client was closed meanwhile.
            CaptureError: As of `connect`; it may be tried again.
        """
        if self._is_closed:
            raise CaptureClosedError("the connection is closed")
        self._hang_up()
        self._talk.abandon()
        self._former = [talk for talk in (*self._former, self._talk) if talk.holds_frames]
        self._talk = Conversation(self._send, self.statistics())
        self._greet(timeout)
        self._talk.count_reconnection()

    def _send(self, message: bytes) -> None:
        transport = self._connected()
        transport.set_timeout(DEFAULT_TIMEOUT)
        try:
            transport.send(message)
        except TimeoutError as error:
            raise CaptureTimeoutError("the daemon reads nothing", "see its log") from error

    def _hear(self, deadline: float, what: str) -> None:
        """Wait for the daemon's next message and take it in; the connection's end raises."""
        if self._talk.ended is not None:
            raise self._talk.ended
        try:
            packet = self._receive(deadline, what)
        except (CaptureLostError, ProtocolError) as error:
            raise self._talk.end(error) from error.__cause__
        with packet:
            self._talk.feed(packet)

    def _receive(self, deadline: float, what: str) -> Packet:
        transport = self._connected()
        while True:
            try:
                transport.set_timeout(within(deadline - time.monotonic()))
                packet = transport.receive()
            except (TimeoutError, BlockingIOError) as error:
                if time.monotonic() < deadline:
                    continue  # it was the longest that a socket takes
                raise CaptureTimeoutError(
                    f"no sign of {what} in time", "see the daemon's log"
                ) from error
            if packet is None:
                raise CaptureLostError("the daemon hung up", "see its log; it may be restarting")
            return packet

    def _connected(self) -> Transport:
        if self._transport is None:
            raise CaptureClosedError("the connection is closed")
        require_own(self._pid)
        return self._transport

    # -- leaving ------------------------------------------------------------------------------

    def close(self) -> None:
        """Hang up; frames still held are given back by that. Twice is fine."""
        self._is_closed = True
        self._hang_up()
        for talk in (*self._former, self._talk):
            talk.close()

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def __bool__(self) -> bool:
        return bool(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
