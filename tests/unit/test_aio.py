# SPDX-License-Identifier: MIT
"""The client for asyncio, against a daemon that says what the test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

import capturectl.aio
from capturectl import errors, protocol
from tests.support.fake_daemon import STREAM, FakeDaemon, greeting
from tests.support.fds import memfd
from tests.support.fork import FORKS, status_of_child
from tests.support.scripted import buffer, frame

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from capturectl.aio import Client

SHORT = 0.01
"""Seconds; a test that waits for a timeout waits for so long."""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """A daemon with HDMI-A-1."""
    fake = FakeDaemon(tmp_path / "sock", [(message, ()) for message in greeting(STREAM)])
    yield fake
    fake.close()


ENDED = protocol.ENDED.pack(protocol.Ended(), stream=1)


async def next_of(client: Client) -> int:
    """Return the number of the next frame; give it back."""
    async for picture in client.stream():
        return picture.sequence
    raise AssertionError


# --- connecting ------------------------------------------------------------------------------


async def longest_stall(within: float) -> float:
    """Return the longest time for which the loop called nobody, in seconds."""
    now = asyncio.get_running_loop().time
    ticks = [now()]
    while ticks[-1] < ticks[0] + within:
        await asyncio.sleep(SHORT / 10)
        ticks.append(now())
    return max(after - before for before, after in pairwise(ticks))


def test_a_daemon_that_accepts_nobody_is_a_timeout_to_be_awaited(full_socket: str) -> None:
    with pytest.raises(errors.CaptureTimeoutError, match="nobody accepts"):
        asyncio.run(capturectl.aio.connect(full_socket, timeout=SHORT))


@pytest.mark.slow
def test_a_daemon_that_accepts_nobody_does_not_stop_the_loop(full_socket: str) -> None:
    async def run() -> float:
        connecting = asyncio.create_task(capturectl.aio.connect(full_socket, timeout=1))
        stall = await longest_stall(0.3)
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        return stall

    assert asyncio.run(run()) < 0.5


def test_a_cancelled_connect_leaves_no_socket(full_socket: str) -> None:
    async def run() -> None:
        connecting = asyncio.create_task(capturectl.aio.connect(full_socket, timeout=60))
        await asyncio.sleep(SHORT)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    asyncio.run(run())


def test_a_daemon_that_accepts_somebody_late_is_connected_to(
    full_listener: socket.socket,
) -> None:
    async def run() -> bytes:
        connecting = asyncio.create_task(capturectl.aio.connect(full_listener.getsockname()))
        await asyncio.sleep(SHORT)
        full_listener.accept()[0].close()  # the one before us
        peer, _ = await asyncio.to_thread(full_listener.accept)
        with peer:
            hello = await asyncio.to_thread(peer.recv, protocol.MAX_MESSAGE)
        with pytest.raises(errors.CaptureLostError):
            await connecting
        return hello

    assert asyncio.run(run())[16:20] == b"CAPD"


@pytest.mark.timeout(2)
def test_a_wait_that_is_no_number_is_over_at_once(tmp_path: Path) -> None:
    with pytest.raises(errors.UnreachableError):
        asyncio.run(capturectl.aio.connect(str(tmp_path / "none"), wait=math.nan))


# --- what goes wrong while nobody looks ------------------------------------------------------


def test_a_buffer_that_cannot_be_mapped_is_raised_to_who_waits(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    async def run() -> None:
        async with await capturectl.aio.connect(daemon.path) as client:
            monkeypatch.setattr("mmap.mmap", refuse)
            with memfd(bytes(8)) as pixels:
                daemon.send(buffer(), fds=[pixels])
            with pytest.raises(OSError, match="allocate") as caught:
                await next_of(client)
            assert caught.value.errno == errno.ENOMEM

    asyncio.run(run())


def test_a_buffer_that_the_kernel_wants_to_be_mapped_later_is_raised_too(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "too much memory is locked")

    async def run() -> None:
        async with await capturectl.aio.connect(daemon.path) as client:
            monkeypatch.setattr("mmap.mmap", refuse)
            with memfd(bytes(8)) as pixels:
                daemon.send(buffer(), fds=[pixels])
            with pytest.raises(BlockingIOError):
                await next_of(client)

    asyncio.run(run())


def test_a_frame_that_makes_no_sense_is_raised_to_who_waits(daemon: FakeDaemon) -> None:
    async def run() -> None:
        async with await capturectl.aio.connect(daemon.path) as client:
            daemon.send(frame(1))
            with pytest.raises(errors.ProtocolError):
                await next_of(client)

    asyncio.run(run())


# --- beside a stream -------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def streaming(daemon: FakeDaemon) -> AsyncIterator[Client]:
    """Lend a client that has a stream of HDMI-A-1, and no long patience."""
    client = await capturectl.aio.connect(daemon.path)
    client._timeout = SHORT
    async with client, contextlib.aclosing(client.stream()) as stream:
        first = asyncio.ensure_future(anext(stream))
        await asyncio.to_thread(daemon.receive)  # SUBSCRIBE
        with memfd(bytes(8)) as pixels:
            daemon.send(buffer(), fds=[pixels])
        daemon.send(frame(1))
        await first
        yield client


def test_a_snapshot_beside_a_stream_says_who_is_in_its_way(daemon: FakeDaemon) -> None:
    async def run() -> None:
        async with streaming(daemon) as client:
            with pytest.raises(errors.CaptureBusyError) as caught:
                await client.snapshot(timeout=SHORT)
            assert caught.value.code == "subscribed"

    asyncio.run(run())


def test_a_second_stream_of_an_output_says_who_is_in_its_way(daemon: FakeDaemon) -> None:
    async def run() -> None:
        async with streaming(daemon) as client:
            with pytest.raises(errors.CaptureBusyError) as caught:
                await next_of(client)
            assert caught.value.code == "subscribed"

    asyncio.run(run())


def test_a_snapshot_beside_a_stream_is_taken_when_that_ends_in_time(daemon: FakeDaemon) -> None:
    async def run() -> int:
        async with streaming(daemon) as client:
            waiting = asyncio.create_task(client.snapshot(timeout=1))
            await asyncio.sleep(SHORT)
            daemon.send(ENDED)
            await asyncio.to_thread(daemon.receive)  # SUBSCRIBE
            daemon.send(frame(2))
            with await waiting as picture:
                return picture.sequence

    assert asyncio.run(run()) == 2


# --- leaving ---------------------------------------------------------------------------------


def test_closing_ends_the_wait_of_others(daemon: FakeDaemon) -> None:
    async def run() -> None:
        client = await capturectl.aio.connect(daemon.path)
        waiting = asyncio.create_task(next_of(client))
        await asyncio.sleep(SHORT)
        client.close()
        with pytest.raises(errors.CaptureClosedError):
            await waiting

    asyncio.run(run())


def test_closing_in_the_loop_over_a_stream_ends_it(daemon: FakeDaemon) -> None:
    async def run() -> None:
        client = await capturectl.aio.connect(daemon.path)
        with memfd(bytes(8)) as pixels:
            stream = client.stream()
            first = asyncio.ensure_future(anext(stream))
            await asyncio.to_thread(daemon.receive)  # SUBSCRIBE
            daemon.send(buffer(), fds=[pixels])
            daemon.send(frame(1), frame(2))
        await first
        client.close()
        with pytest.raises(errors.CaptureClosedError):
            await anext(stream)

    asyncio.run(run())


def test_leaving_a_stream_that_has_ended_leaves_the_next_one_of_its_output(
    daemon: FakeDaemon,
) -> None:
    async def run() -> int:
        async with await capturectl.aio.connect(daemon.path) as client:
            ended, stream = client.stream(), client.stream()
            with memfd(bytes(8)) as pixels:
                daemon.send(buffer(), fds=[pixels])
            for one in (ended, stream):
                first = asyncio.ensure_future(anext(one))
                await asyncio.to_thread(daemon.receive)  # SUBSCRIBE
                daemon.send(frame(1), ENDED) if one is ended else daemon.send(frame(2))
                await first
            await ended.aclose()
            daemon.send(frame(3))
            return (await asyncio.wait_for(anext(stream), 1)).sequence

    assert asyncio.run(run()) == 3


def test_a_client_can_be_closed_when_its_loop_is_over(daemon: FakeDaemon) -> None:
    client = asyncio.run(capturectl.aio.connect(daemon.path))
    client.close()
    assert not client


@FORKS
def test_a_forked_child_that_closes_its_copy_leaves_its_parent_listening(
    daemon: FakeDaemon,
) -> None:
    async def run() -> int:
        async with await capturectl.aio.connect(daemon.path) as client:
            assert status_of_child(client.close) == 0
            with memfd(bytes(8)) as pixels:
                daemon.send(buffer(), fds=[pixels])
            daemon.send(frame(1))
            return await asyncio.wait_for(next_of(client), 1)

    assert asyncio.run(run()) == 1


@pytest.mark.parametrize("leave", ["close", "hang_up"])
def test_a_snapshot_that_is_cancelled_after_the_end_is_cancelled(
    daemon: FakeDaemon, leave: str
) -> None:
    async def run() -> None:
        client = await capturectl.aio.connect(daemon.path)
        waiting = asyncio.create_task(client.snapshot())
        await asyncio.to_thread(daemon.receive)  # SUBSCRIBE
        client.close() if leave == "close" else daemon.hang_up()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        client.close()

    asyncio.run(run())


def test_a_client_that_is_closed_while_it_reconnects_stays_closed(
    full_listener: socket.socket, daemon: FakeDaemon
) -> None:
    async def run() -> None:
        client = await capturectl.aio.connect(daemon.path)
        client._address = full_listener.getsockname()
        reconnecting = asyncio.create_task(client._reconnect())
        await asyncio.sleep(SHORT)
        client.close()
        full_listener.accept()[0].close()  # there is room now
        with pytest.raises(errors.CaptureClosedError):
            await reconnecting
        assert not client

    asyncio.run(run())
