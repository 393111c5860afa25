# SPDX-License-Identifier: MIT
"""Streams that go on when the daemon or its source was lost, blocking and awaited."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest

import capturectl as library
import capturectl.aio
from capturectl import errors, protocol
from capturectl.protocol import ErrorCode, ErrorFlag
from tests.support.fake_daemon import STREAM, WELCOME, describe
from tests.support.fds import memfd
from tests.support.fleeting import GREETING, HEAR, FleetingDaemon
from tests.support.scripted import BYE, buffer, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from capturectl.fd import OwnedFd
    from tests.support.fake_daemon import Script

    Life = Sequence[Script]
    Take = Callable[[str, int], tuple[list[int], library.Statistics]]


def error(code: ErrorCode, word: str, *, stream: int = 1, flags: int = 0) -> Script:
    message = protocol.Error(code, flags, 0, word, "why", "what next")
    return protocol.ERROR.pack(message, stream=stream), ()


def script(*messages: bytes) -> Life:
    return [(message, ()) for message in messages]


DISCONNECTED = error(ErrorCode.SLOW, "disconnected", stream=0, flags=ErrorFlag.FATAL)
SLOW = error(ErrorCode.SLOW, "slow", stream=0, flags=ErrorFlag.FATAL)
LOST = error(ErrorCode.DEVICE_LOST, "lost")
NO_CARD = error(ErrorCode.UNSUPPORTED, "no-card")
NOT_ALLOWED = error(ErrorCode.DENIED, "not-allowed", stream=0, flags=ErrorFlag.FATAL)


@pytest.fixture
def pixels() -> Iterator[OwnedFd]:
    with memfd(bytes(8)) as fd:
        yield fd


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., FleetingDaemon]]:
    """Start a daemon that says these things in its lives."""
    with contextlib.ExitStack() as daemons:

        def start(*lives: Life) -> FleetingDaemon:
            daemon = FleetingDaemon(tmp_path / "sock", *lives)
            daemons.callback(daemon.close)
            return daemon

        yield start


def picture(pixels: OwnedFd, sequence: int) -> Life:
    return [HEAR, (buffer(), (pixels,)), (frame(sequence), ())]


def take(path: str, count: int) -> tuple[list[int], library.Statistics]:
    """Return the numbers of so many frames of a stream that goes on, and what was counted."""
    with library.connect(path) as client:
        with client.stream(reconnect=True, timeout=5) as stream:
            seen = [next(stream).sequence for _ in range(count)]
        return seen, client.statistics()


def take_awaited(path: str, count: int) -> tuple[list[int], library.Statistics]:
    """The same with asyncio."""

    async def run() -> tuple[list[int], library.Statistics]:
        async with await capturectl.aio.connect(path) as client:
            async with contextlib.aclosing(client.stream(reconnect=True)) as stream:
                seen = [(await anext(stream)).sequence for _ in range(count)]
            return seen, client.statistics()

    return asyncio.run(asyncio.wait_for(run(), 5))


BOTH = pytest.mark.parametrize("take", [take, take_awaited])


def keep(path: str) -> library.Frame:
    """Keep the snapshot of a daemon that goes; return it when the client is closed."""
    with library.connect(path) as client:
        kept = client.snapshot()
        client._reconnect(5)
        assert kept.is_revoked
    return kept


def keep_awaited(path: str) -> library.Frame:
    """The same with asyncio."""

    async def run() -> library.Frame:
        async with await capturectl.aio.connect(path) as client:
            kept = await client.snapshot()
            await client._reconnect()
            assert kept.is_revoked
        return kept

    return asyncio.run(run())


BOTH_CLIENTS = pytest.mark.parametrize("keep", [keep, keep_awaited])


@BOTH
def test_it_goes_on_when_the_daemon_is_back(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7)], [*GREETING, *picture(pixels, 1)])
    seen, counted = take(daemon.path, 2)
    assert seen == [7, 1]
    assert counted.reconnected == 1


@BOTH
@pytest.mark.parametrize(
    "life", [[], [(BYE, ())], GREETING[:1], GREETING],
    ids=["nothing", "bye", "half-a-greeting", "a-greeting"],
)  # fmt: skip
def test_a_daemon_that_goes_again_at_once_does_not_end_it(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take, life: Life
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7)], life, [*GREETING, *picture(pixels, 1)])
    assert take(daemon.path, 2)[0] == [7, 1]


@BOTH
def test_only_a_daemon_that_greets_counts_as_back(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7)], [], [], [*GREETING, *picture(pixels, 1)])
    assert take(daemon.path, 2)[1].reconnected == 1


@BOTH
def test_somebody_who_was_disconnected_by_hand_stays_away(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7), DISCONNECTED], GREETING)
    with pytest.raises(errors.CaptureLostError) as caught:
        take(daemon.path, 2)
    assert caught.value.code == "disconnected"
    assert daemon.heard[1] == []


@BOTH
def test_somebody_who_may_not_come_back_hears_it(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7)], [NOT_ALLOWED])
    with pytest.raises(errors.NotAllowedError):
        take(daemon.path, 2)


@BOTH
def test_somebody_who_was_too_slow_comes_back(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7), SLOW], [*GREETING, *picture(pixels, 1)])
    assert take(daemon.path, 2)[0] == [7, 1]


@BOTH
def test_after_an_error_of_the_source_it_subscribes_again_by_the_same_connection(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take
) -> None:
    daemon = live([*GREETING, *picture(pixels, 1), HEAR, LOST, HEAR, (frame(2), ())])
    seen, counted = take(daemon.path, 2)
    daemon.close()
    assert seen == [1, 2]
    assert counted.reconnected == 0
    codes = protocol.SUBSCRIBE.code, protocol.RELEASE.code, protocol.SUBSCRIBE.code
    assert tuple(daemon.heard[0][1:4]) == codes


@BOTH
def test_a_daemon_that_is_back_before_its_card_is_waited_for(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take
) -> None:
    again = [*GREETING, HEAR, NO_CARD, *picture(pixels, 1)]
    daemon = live([*GREETING, *picture(pixels, 7)], again)
    seen, counted = take(daemon.path, 2)
    assert seen == [7, 1]
    assert counted.reconnected == 1


@BOTH
def test_a_daemon_that_is_back_without_a_name_for_its_output_is_asked_again(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, take: Take
) -> None:
    welcome = WELCOME._replace(capabilities=protocol.Capability.WATCH)
    nameless = protocol.WELCOME.pack(welcome), *describe(STREAM._replace(name=""), 1)
    answer = *describe(STREAM, 1), protocol.DONE.pack(protocol.Done(), serial=2)
    again = [*script(*nameless), HEAR, *script(*answer), *picture(pixels, 1)]
    daemon = live([*GREETING, *picture(pixels, 7)], again)
    seen, counted = take(daemon.path, 2)
    daemon.close()
    assert seen == [7, 1]
    assert counted.reconnected == 1
    codes = protocol.HELLO.code, protocol.QUERY.code, protocol.SUBSCRIBE.code
    assert tuple(daemon.heard[1][:3]) == codes


@BOTH
def test_who_never_had_a_frame_hears_that_there_is_no_card(
    live: Callable[..., FleetingDaemon], take: Take
) -> None:
    daemon = live([*GREETING, HEAR, NO_CARD])
    with pytest.raises(errors.CaptureUnsupportedError) as caught:
        take(daemon.path, 1)
    assert caught.value.code == "no-card"


# --- step by step ----------------------------------------------------------------------------


def test_while_the_daemon_is_away_a_step_ends_in_time_and_the_next_goes_on(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7)], [], [*GREETING, *picture(pixels, 1)])
    with library.connect(daemon.path) as client:
        stream = client.stream(reconnect=True, timeout=0.02)
        assert next(stream).sequence == 7
        late = 0
        while True:
            try:
                assert next(stream).sequence == 1
            except errors.CaptureTimeoutError:
                late += 1
            else:
                break
    assert late >= 2


def test_while_the_daemon_is_away_the_stream_says_so(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7)], [])
    with library.connect(daemon.path) as client:
        stream = client.stream(reconnect=True, timeout=0.02)
        next(stream)
        with pytest.raises(errors.CaptureTimeoutError) as caught:
            next(stream)
        assert isinstance(stream.problem, errors.CaptureLostError)
        assert caught.value.__cause__ is stream.problem


def test_questions_are_answered_with_the_loss_while_the_daemon_is_away(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7)], [])
    with library.connect(daemon.path) as client:
        stream = client.stream(reconnect=True, timeout=0.1)
        next(stream)
        with pytest.raises(errors.CaptureTimeoutError):
            next(stream)
        for ask in (client.engines, client.snapshot, client.output):
            with pytest.raises(errors.CaptureLostError, match="away"):
                ask()


def test_somebody_who_was_disconnected_by_hand_stays_away_in_the_next_step_too(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd
) -> None:
    daemon = live([*GREETING, HEAR, DISCONNECTED], GREETING)
    with library.connect(daemon.path) as client:
        stream = client.stream(reconnect=True, timeout=5)
        for _ in range(2):
            with pytest.raises(errors.CaptureLostError) as caught:
                next(stream)
            assert caught.value.code == "disconnected"


def test_a_paused_stream_is_paused_at_the_next_daemon_too(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd
) -> None:
    daemon = live([*GREETING, HEAR, HEAR], [*GREETING, *picture(pixels, 1)])
    with library.connect(daemon.path) as client:
        stream = client.stream(reconnect=True, timeout=5)
        stream.pause()
        next(stream)
    daemon.close()
    codes = [protocol.HELLO.code, protocol.SUBSCRIBE.code, protocol.PAUSE.code]
    assert daemon.heard[1][:3] == codes


def test_a_client_that_was_closed_while_the_daemon_is_away_does_not_connect_again(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd
) -> None:
    daemon = live([*GREETING, *picture(pixels, 7)], [], GREETING)
    client = library.connect(daemon.path)
    stream = client.stream(reconnect=True, timeout=0.02)
    next(stream)
    with pytest.raises(errors.CaptureTimeoutError):
        next(stream)
    client.close()
    time.sleep(max(0.0, stream._comeback.seconds()))
    with pytest.raises(errors.CaptureClosedError):
        next(stream)
    assert daemon.heard[2] == []


# --- frames of the daemon that went; the leak check does the rest ----------------------------


@BOTH_CLIENTS
def test_closing_unmaps_frames_of_a_daemon_that_went(
    live: Callable[..., FleetingDaemon], pixels: OwnedFd, keep: Callable[[str], library.Frame]
) -> None:
    daemon = live(
        [*GREETING, HEAR, (buffer(), (pixels,)), (frame(7), ())],
        [*GREETING, *picture(pixels, 1)],
    )
    kept = keep(daemon.path)
    with pytest.raises(errors.CaptureClosedError):
        _ = kept.memory
