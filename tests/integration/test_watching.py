# SPDX-License-Identifier: MIT
"""Questions, events and a daemon that goes away, against a real daemon with a test picture."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

import capturectl as library
import capturectl.aio
from capturectl import protocol
from tests.support.processes import DaemonProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GEOMETRY = "640x480@60"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "sock", "--pattern", GEOMETRY) as process:
        yield process


def connect(daemon: DaemonProcess, **options: object) -> library.Client:
    return library.connect(str(daemon.socket), name="watcher", **options)  # type: ignore[arg-type]  # connect's own


# -- questions --------------------------------------------------------------------------------


def test_an_engine_is_asked_how_it_is(daemon: DaemonProcess) -> None:
    with connect(daemon) as client:
        assert client.engines()["Pattern-1"].state == protocol.EngineState.IDLE
        with client.stream() as stream:
            for frame in stream:
                if frame.sequence == 30:
                    break
            engine = client.engines()["Pattern-1"]
    assert engine.state == protocol.EngineState.CAPTURING
    assert engine.captured >= 30
    assert engine.pool_bytes == 6 * 640 * 480 * 4
    assert 0 < engine.fps_millihertz <= 61_000


def test_frames_that_come_while_an_answer_is_awaited_are_not_lost(daemon: DaemonProcess) -> None:
    with connect(daemon) as client, client.stream(credits=4) as stream:
        sequences = []
        for frame in stream:
            client.engines()
            sequences.append(frame.sequence)
            if len(sequences) == 40:
                break
    assert sequences == sorted(set(sequences))


@pytest.mark.parametrize(("number", "is_newest"), [(1, True), (2, False)])
def test_with_one_credit_alone_a_step_brings_the_newest_frame(
    daemon: DaemonProcess, number: int, *, is_newest: bool
) -> None:
    with connect(daemon) as client, client.stream(credits=number, timeout=5) as stream:
        held = next(stream).sequence
        with connect(daemon) as other, other.stream() as others:
            newest = next(frame.sequence for frame in others if frame.sequence > held + 5)
        following = next(stream).sequence
    assert (following >= newest) == is_newest
    assert is_newest or following == held + 1


def test_clients_are_listed_with_their_processes(daemon: DaemonProcess) -> None:
    with connect(daemon) as client, connect(daemon) as other, other.stream(max_fps=10):
        mine, others = client.clients()
    assert (mine.output, others.output) == ("", "Pattern-1")
    assert mine.status.pid == others.status.pid == os.getpid()
    assert mine.status.uid == os.getuid()
    assert others.status.max_fps_millihertz == 10_000
    assert others.status.name == "watcher"


def test_an_output_is_looked_at_anew(daemon: DaemonProcess) -> None:
    with connect(daemon) as client, connect(daemon) as other:
        assert client.output().clients == 0
        with other.stream():
            wait_until(lambda: client.refresh()[0].clients == 1, "the subscription counts")
        assert client.output().clients == 1


def test_a_client_can_be_disconnected_and_hears_why(daemon: DaemonProcess) -> None:
    with connect(daemon) as client, connect(daemon) as other, other.stream(timeout=5) as stream:
        next(stream)
        number = client.clients()[1].status.client
        client.disconnect(number)
        with pytest.raises(library.CaptureLostError) as caught:
            for _ in stream:
                pass
    assert caught.value.code == "disconnected"


@pytest.mark.parametrize("ask", ["engines", "snapshot", "stream", "events"])
def test_a_client_that_was_disconnected_while_it_did_not_listen_hears_why_when_it_asks(
    daemon: DaemonProcess, ask: str
) -> None:
    with connect(daemon) as client, connect(daemon) as other:
        client.disconnect(client.clients()[1].status.client)
        with pytest.raises(library.CaptureLostError) as caught:
            getattr(other, ask)()
    assert caught.value.code == "disconnected"


def test_disconnecting_nobody_says_so(daemon: DaemonProcess) -> None:
    with connect(daemon) as client, pytest.raises(library.NoOutputError) as caught:
        client.disconnect(4711)
    assert caught.value.code == "no-client"


def test_events_tell_of_other_clients(daemon: DaemonProcess) -> None:
    with connect(daemon) as client:
        events = client.events(timeout=5)
        begun = threading.Timer(0.2, lambda: connect(daemon).close())
        begun.start()
        kinds = [next(events).kind, next(events).kind]
        begun.join()
    assert kinds == [protocol.EventKind.CLIENT_CONNECTED, protocol.EventKind.CLIENT_LEFT]


def test_an_event_names_the_output_and_the_client(daemon: DaemonProcess) -> None:
    with connect(daemon) as client, connect(daemon) as other:
        events = client.events(timeout=5)
        begun = threading.Timer(0.2, lambda: other.stream().close())
        begun.start()
        subscribed = next(e for e in events if e.kind == protocol.EventKind.SUBSCRIBED)
        begun.join()
    assert (subscribed.output, subscribed.name) == ("Pattern-1", "watcher")
    assert (subscribed.pid, subscribed.uid) == (os.getpid(), os.getuid())


def test_events_end_when_their_time_is_over_whatever_happens(daemon: DaemonProcess) -> None:
    over = threading.Event()

    def come_and_go() -> None:
        while not over.wait(0.05):
            connect(daemon).close()

    others = threading.Thread(target=come_and_go)
    with connect(daemon) as client:
        others.start()
        seen, taken = 0, list[float]()
        while seen <= 2:  # however slowly they come
            before = time.monotonic()
            seen += len(list(client.events(timeout=30, within=0.5)))
            taken.append(time.monotonic() - before)
        over.set()
        others.join()
    assert all(0.5 <= seconds < 5 for seconds in taken)


def test_what_is_called_while_nothing_happens_may_end_the_events(daemon: DaemonProcess) -> None:
    def idle() -> None:
        raise LookupError

    with connect(daemon) as client, pytest.raises(LookupError):
        list(client.events(idle=idle))


def test_no_event_in_time_ends_the_events(daemon: DaemonProcess) -> None:
    with connect(daemon) as client:
        assert list(client.events(timeout=0.05)) == []


# -- a daemon that goes away ------------------------------------------------------------------


def test_a_client_may_wait_for_the_daemon_to_come(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    started: list[DaemonProcess] = []
    later = threading.Timer(
        0.3, lambda: started.append(DaemonProcess(path, "--pattern", GEOMETRY))
    )
    later.start()
    try:
        with library.connect(str(path), wait=20) as client:
            assert client.output().name == "Pattern-1"
    finally:
        later.join()
        for daemon in started:
            daemon.__exit__(None, None, None)


def test_without_waiting_a_missing_daemon_is_an_error_at_once(tmp_path: Path) -> None:
    before = time.monotonic()
    with pytest.raises(library.UnreachableError):
        library.connect(str(tmp_path / "sock"))
    assert time.monotonic() - before < 5


def test_a_stream_that_reconnects_goes_on_with_the_next_daemon(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with DaemonProcess(path, "--pattern", GEOMETRY) as first:
        client = connect(first)
        stream = client.stream(reconnect=True, timeout=20)
        assert next(stream).sequence == 1
        first.popen.kill()
        first.popen.wait()
    with DaemonProcess(path, "--pattern", GEOMETRY), client:
        frame = next(stream)
        while not client.statistics().reconnected:
            frame = next(stream)
        assert frame.array.shape == (480, 640, 4)
        assert frame.sequence == 1, "the new daemon counts anew"
        assert client.statistics().received >= 2


def test_a_frame_of_a_daemon_that_is_gone_cannot_be_looked_at_after_reconnecting(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sock"
    with DaemonProcess(path, "--pattern", GEOMETRY) as first:
        client = connect(first)
        kept = client.snapshot()
    with DaemonProcess(path, "--pattern", GEOMETRY), client:
        client._reconnect(10)
        with pytest.raises(library.CaptureLostError):
            _ = kept.array
        kept.release()
        client.snapshot().release()


def test_a_stream_that_does_not_reconnect_says_that_the_daemon_is_gone(
    daemon: DaemonProcess,
) -> None:
    with connect(daemon) as client, client.stream(timeout=10) as stream:
        next(stream)
        daemon.popen.kill()
        with pytest.raises(library.CaptureLostError):
            for _ in stream:
                pass


# -- asyncio ----------------------------------------------------------------------------------


def test_a_snapshot_can_be_awaited(daemon: DaemonProcess) -> None:
    async def run() -> tuple[int, ...]:
        async with await capturectl.aio.connect(str(daemon.socket)) as client:
            with await client.snapshot() as frame:
                return frame.array.shape

    assert asyncio.run(run()) == (480, 640, 4)


def test_frames_and_questions_can_be_awaited_together(daemon: DaemonProcess) -> None:
    async def watch(client: capturectl.aio.Client) -> list[int]:
        sequences = []
        async for frame in client.stream(credits=4):
            sequences.append(frame.sequence)
            if len(sequences) == 30:
                break
        return sequences

    async def run() -> tuple[list[int], int]:
        async with await capturectl.aio.connect(str(daemon.socket)) as client:
            task = asyncio.create_task(watch(client))
            subscribers = 0
            while not task.done():
                subscribers = max(subscribers, (await client.engines())["Pattern-1"].subscribers)
            return await task, subscribers

    sequences, subscribers = asyncio.run(run())
    assert sequences == sorted(set(sequences))
    assert subscribers == 1


def test_a_cancelled_wait_gives_its_frame_back(daemon: DaemonProcess) -> None:
    async def run() -> int:
        async with await capturectl.aio.connect(str(daemon.socket)) as client:
            for _ in range(20):
                task = asyncio.create_task(client.snapshot())
                await asyncio.sleep(0.002)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            with await client.snapshot() as frame:
                assert frame.array.shape == (480, 640, 4)
            await client.refresh()
            return sum(row.status.held for row in await client.clients())

    assert asyncio.run(run()) == 0


def test_an_awaited_timeout_is_a_capture_timeout(daemon: DaemonProcess) -> None:
    async def run() -> None:
        async with await capturectl.aio.connect(str(daemon.socket)) as client:
            with pytest.raises(library.CaptureTimeoutError):
                await client.snapshot(timeout=0.000001)

    asyncio.run(run())


def test_events_can_be_awaited(daemon: DaemonProcess) -> None:
    async def run() -> int:
        async with await capturectl.aio.connect(str(daemon.socket)) as client:
            events = client.events()
            first = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.1)
            async with await capturectl.aio.connect(str(daemon.socket)):
                return (await first).kind

    assert asyncio.run(run()) == protocol.EventKind.CLIENT_CONNECTED


def test_an_awaited_stream_reconnects(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def run() -> int:
        first = DaemonProcess(path, "--pattern", GEOMETRY)
        async with await capturectl.aio.connect(str(path)) as client:
            stream = client.stream(reconnect=True)
            await anext(stream)
            first.__exit__(None, None, None)
            second = await asyncio.to_thread(DaemonProcess, path, "--pattern", GEOMETRY)
            try:
                await anext(stream)
            finally:
                second.__exit__(None, None, None)
            return client.statistics().reconnected

    assert asyncio.run(run()) == 1
