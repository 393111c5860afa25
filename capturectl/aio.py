# SPDX-License-Identifier: MIT
"""The client for asyncio programs: the same calls, to be awaited; no threads.

import capturectl.aio
async with await capturectl.aio.connect() as client:
    async for frame in client.stream(max_fps=30):
        print(frame.sequence, frame.array[0, 0])
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from capturectl import protocol
from capturectl.client import DEFAULT_TIMEOUT, default_socket, program_name
from capturectl.conversation import Conversation, Subscribed, wish
from capturectl.errors import (
    CaptureClosedError,
    CaptureError,
    CaptureLostError,
    CaptureTimeoutError,
    UnreachableError,
)
from capturectl.reach import Comeback, connecting, pauses, require_own
from capturectl.transport import Transport

if TYPE_CHECKING:
    import _socket as socket
    from collections.abc import AsyncGenerator, Callable
    from typing import Any, Self, TypeVar

    from capturectl.conversation import Statistics
    from capturectl.event import Event
    from capturectl.frame import Frame
    from capturectl.output import Output

    Found = TypeVar("Found")

_BACKLOG_PAUSE_S = 0.02


async def connect(
    path: str | None = None,
    *,
    name: str = "",
    timeout: float = DEFAULT_TIMEOUT,
    wait: float = 0.0,
) -> Client:
    """Connect to the daemon; arguments and errors as of `capturectl.connect`."""
    client = Client(path or default_socket(), name or program_name(), timeout)
    await client._open(wait)
    return client


async def _open_socket(address: str, deadline: float) -> socket.socket:
    """Return a socket that is connected to the daemon; errors as of `connect`.

    Kernel: a connect that does not wait fails while the backlog is full, and the socket does not
    poll writable later (net/unix/af_unix.c, unix_stream_connect): it has to be tried again.
    """
    now = asyncio.get_running_loop().time
    with connecting(address) as sock:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(address)
            except BlockingIOError:
                if now() >= deadline:
                    raise
                await asyncio.sleep(min(_BACKLOG_PAUSE_S, deadline - now()))
            else:
                return sock


class Client:
    """A connection, for one event loop. Open until `close()`. Made by `connect`.

    Ownership: as of `capturectl.Client`.
    """

    def __init__(self, address: str, name: str, timeout: float) -> None:
        self._address, self._name, self._timeout = address, name, timeout
        self._transport: Transport | None = None
        self._talk = Conversation(self._send)
        self._former: list[Conversation] = []
        self._error: Exception | None = None
        self._is_closed = False
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._reconnecting = asyncio.Lock()

    # -- what there is ------------------------------------------------------------------------

    def outputs(self) -> tuple[Output, ...]:
        """Return the outputs as the daemon described them last."""
        return self._talk.outputs

    def output(self, name: str | None = None) -> Output:
        """Return an output by name, or the only one; errors as of `capturectl.Client`."""
        return self._talk.output(name)

    async def refresh(self) -> tuple[Output, ...]:
        """Ask how the outputs are now."""
        await self._ask(protocol.Query.OUTPUTS)
        return self.outputs()

    async def engines(self) -> dict[str, protocol.EngineStatus]:
        """Return what the daemon does with each output, by name."""
        rows = await self._ask(protocol.Query.ENGINES)
        return {self._talk.name_of(stream): status for stream, status in rows}

    async def clients(self) -> tuple[Subscribed, ...]:
        """Return everybody who is connected to the daemon."""
        rows = await self._ask(protocol.Query.CLIENTS)
        return tuple(Subscribed(self._talk.name_of(stream), status) for stream, status in rows)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield what happens at the daemon, from the first step on."""
        talk = self._talk
        events = self._told(talk.watch)
        try:
            while True:
                yield await self._until(lambda: talk.next_event(events), None, "an event")
        finally:
            with contextlib.suppress(CaptureLostError, CaptureClosedError):
                talk.unwatch(events)

    async def _ask(self, what: protocol.Query) -> list[tuple[int, Any]]:
        serial = self._told(lambda: self._talk.ask(what))
        talk = self._talk
        try:
            return await self._until(
                lambda: talk.answers.take(serial), self._timeout, "the daemon's answer"
            )
        finally:
            talk.answers.forget(serial)

    def statistics(self) -> Statistics:
        """Return what this connection has received and what it went without."""
        return self._talk.statistics()

    # -- frames -------------------------------------------------------------------------------

    async def snapshot(
        self,
        output: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        sources: protocol.Source = protocol.Source.WRITEBACK | protocol.Source.PATTERN,
    ) -> Frame:
        """Capture one picture, of a vblank after this call; as `capturectl.Client.snapshot`."""
        wanted = self.output(output)
        request = wish(sources, credits=1, frames=1)
        await self._subscribe(wanted, request, timeout)
        try:
            return await self._next_frame(wanted, timeout)
        except (CaptureTimeoutError, asyncio.CancelledError) as error:
            with contextlib.suppress(CaptureLostError, CaptureClosedError):
                self._talk.unsubscribe(wanted, request)
            problem = self._talk.problem(wanted)
            if problem is not None and isinstance(error, CaptureTimeoutError):
                raise problem from error
            raise

    async def stream(
        self,
        output: str | None = None,
        *,
        max_fps: float = 0.0,
        credits: int = protocol.DEFAULT_CREDITS,  # noqa: A002 - the protocol's word
        sources: protocol.Source = protocol.Source.WRITEBACK | protocol.Source.PATTERN,
        reconnect: bool = False,
    ) -> AsyncGenerator[Frame, None]:
        """Yield frames of an output, in order; each is given back before the next is awaited.

        Arguments and errors as of `capturectl.Client.stream`, and what `credits` means for their
        age. Leaving the loop early is fine with `contextlib.aclosing`, or when the client is
        closed soon.
        """
        wanted = self.output(output)
        request = wish(sources, credits=credits, max_fps=max_fps)
        await self._subscribe(wanted, request, self._timeout)
        comeback = Comeback()
        try:
            while True:
                try:
                    wanted = await self._begin_again(wanted, request, comeback)
                    frame = await self._next_frame(wanted, None)
                except CaptureError as error:
                    if not reconnect or not comeback.may_follow(error):
                        raise
                    comeback.after(error)
                else:
                    comeback.frame_came()
                    with frame:
                        yield frame
        finally:
            with contextlib.suppress(CaptureLostError, CaptureClosedError):
                self._talk.unsubscribe(wanted, request)

    async def _begin_again(
        self, output: Output, request: protocol.Subscribe, comeback: Comeback
    ) -> Output:
        """Subscribe again after a failure; return the output as it is described then."""
        if comeback.error is None:
            return output
        await asyncio.sleep(comeback.seconds())
        async with self._reconnecting:
            if self._error is not None or not self._transport:
                await self._reconnect()
            elif comeback.wants_news:
                await self.refresh()
        found = self.output(output.name)
        await self._subscribe(found, request, self._timeout)
        comeback.has_begun()
        return found

    async def _subscribe(
        self, output: Output, request: protocol.Subscribe, timeout: float
    ) -> None:
        await self._settle(output, timeout)
        self._told(lambda: self._talk.subscribe(output, request))

    async def _settle(self, output: Output, timeout: float) -> None:
        """Wait for the end of an earlier subscription; errors as of `capturectl.Client._settle`.

        Also where nobody has asked for it yet: a loop that was left ends its stream a bit later.
        """

        def has_ended() -> bool | None:
            return None if self._talk.is_subscribed(output) else True

        try:
            await self._until(has_ended, timeout, f"the end of {output.name}")
        except CaptureTimeoutError:
            self._talk.require_no_stream(output)
            raise

    async def _next_frame(
        self,
        output: Output,
        timeout: float | None,
    ) -> Frame:
        return await self._until(
            lambda: self._talk.take_frame(output), timeout, f"a frame of {output.name}"
        )

    # -- talking ------------------------------------------------------------------------------

    async def _open(self, wait: float = 0.0) -> None:
        deadline = asyncio.get_running_loop().time() + wait
        for pause in pauses():
            try:
                await self._greet()
            except UnreachableError:
                if not asyncio.get_running_loop().time() + pause <= deadline:  # nor NaN
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _greet(self) -> None:
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeout
        transport = Transport(await _open_socket(self._address, deadline))
        if self._is_closed:  # meanwhile
            transport.close()
            raise CaptureClosedError("the connection is closed")
        self._transport = transport
        self._error = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._transport.fileno(), self._readable)
        try:
            self._told(lambda: self._talk.hello(self._name))
            await self._until(
                lambda: self._talk.is_greeted or None, deadline - now(), "the daemon's WELCOME"
            )
        except BaseException:
            self._hang_up()
            raise

    async def _reconnect(self) -> None:
        """Try to begin anew; as of `capturectl.Client._reconnect`."""
        if self._is_closed:
            raise CaptureClosedError("the connection is closed")
        self._hang_up()
        self._talk.abandon()
        self._former = [talk for talk in (*self._former, self._talk) if talk.holds_frames]
        self._talk = Conversation(self._send, self.statistics())
        await self._greet()
        self._talk.count_reconnection()

    def _send(self, message: bytes) -> None:
        try:
            self._connected().send(message)
        except BlockingIOError as error:
            raise CaptureTimeoutError("the daemon reads nothing", "see its log") from error

    def _told(self, say: Callable[[], Found]) -> Found:
        """Say something; to a daemon that has hung up, raise what it said last."""
        try:
            return say()
        except CaptureLostError:
            if self._error is None and self._transport:
                self._readable()
            if self._error is not None:
                raise self._error from None
            raise

    def _readable(self) -> None:
        """Take in all that is there; the loop calls it. What goes wrong is for those who wait."""
        try:
            while self._take_in():
                pass
        except Exception as error:
            self._end(error)
        else:
            self._news.set()

    def _take_in(self) -> bool:
        """Take one message in; return whether there was one. The connection's end raises."""
        try:
            packet = self._connected().receive()
        except BlockingIOError:
            return False
        if packet is None:
            raise CaptureLostError("the daemon hung up", "see its log; it may be restarting")
        with packet:
            self._talk.feed(packet)
        return True

    def _end(self, error: Exception) -> None:
        """Listen no more: whoever waits, or asks later, hears why."""
        self._error = error
        self._unwatch()
        self._news.set()

    async def _until(
        self,
        look: Callable[[], Found | None],
        timeout: float | None,
        what: str,
    ) -> Found:
        """Wait until there is something; what came before the connection's end counts."""
        try:
            async with asyncio.timeout(timeout):
                while (found := look()) is None:
                    if self._error is not None:
                        raise self._error
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            if isinstance(error, CaptureError):
                raise
            raise CaptureTimeoutError(
                f"no sign of {what} in time", "see the daemon's log"
            ) from error
        return found

    def _connected(self) -> Transport:
        if self._transport is None:
            raise CaptureClosedError("the connection is closed")
        require_own(self._pid)
        return self._transport

    # -- leaving ------------------------------------------------------------------------------

    def _unwatch(self) -> None:
        """Let the loop watch the socket no more.

        Kernel: a forked child has its parent's epoll instance (epoll(7)): what it takes off, the
        parent does not hear either.
        """
        if os.getpid() != self._pid:
            return
        if self._transport and self._loop and not self._loop.is_closed():
            self._loop.remove_reader(self._transport.fileno())

    def _hang_up(self) -> None:
        self._unwatch()
        if self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        """Hang up; frames still held are given back by that. Twice is fine.

        Whoever waits for something gets CaptureClosedError.
        """
        self._is_closed = True
        self._end(CaptureClosedError("the connection is closed"))
        self._hang_up()
        for talk in (*self._former, self._talk):
            talk.close()

    def __bool__(self) -> bool:
        return bool(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()
