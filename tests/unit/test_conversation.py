# SPDX-License-Identifier: MIT
"""What a client makes of what it hears, without a socket: early frames, their end, and events."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from capturectl import errors, protocol
from capturectl.conversation import Conversation, wish
from capturectl.fd import OwnedFd
from capturectl.protocol import Source
from capturectl.transport import Packet
from tests.support.fake_daemon import STREAM, WELCOME, greeting
from tests.support.fds import memfd
from tests.support.frames import XR24

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator

    from capturectl.event import Event
    from capturectl.frame import Frame

LAYOUT = protocol.Buffer(0, 8, 0, 1, XR24, 2, 1, 1, (0, 0, 0, 0), (8, 0, 0, 0))
REQUEST = protocol.Subscribe(Source.WRITEBACK, protocol.SubscribeFlag.EARLY, 0, 4, 0, 0)


FRAME = protocol.FRAME.pack(protocol.Frame(1, 0, 0, 1, 0, 2, 0, 1, Source.WRITEBACK, 0), stream=1)
REVOKED = protocol.REVOKED.pack(protocol.Revoked(1, 0, 1), stream=1)


def hear(talk: Conversation, message: bytes, *fds: OwnedFd) -> None:
    """Let a message come, with these descriptors."""
    with Packet(protocol.unpack_header(message), message, fds) as packet:
        talk.feed(packet)


@pytest.fixture
def talk() -> Iterator[Conversation]:
    """A conversation that knows HDMI-A-1 and a buffer of it, and has asked for early frames."""
    begun = Conversation(lambda _: None)
    for message in greeting(STREAM):
        hear(begun, message)
    begun.subscribe(begun.output(None), REQUEST)
    hear(begun, protocol.BUFFER.pack(LAYOUT, stream=1), memfd(b"BGRXbgrx"))
    yield begun
    begun.close()


def fence() -> OwnedFd:
    return OwnedFd(os.eventfd(0), "fence")


def early(*, number: int = 0, stream: int = 1, commit_ns: int = 1) -> bytes:
    message = protocol.Early(1, 0, commit_ns, number, 1, Source.WRITEBACK, 0)
    return protocol.EARLY.pack(message, stream=stream)


# --- early frames that make no sense; the leak check does the rest ---------------------------


@pytest.mark.parametrize(
    ("message", "reason"),
    [(early(stream=2), "never described"), (early(number=1), "never sent")],
    ids=["stream", "buffer"],
)
def test_the_fence_of_an_early_frame_that_makes_no_sense_is_closed(
    talk: Conversation, message: bytes, reason: str
) -> None:
    with pytest.raises(errors.ProtocolError, match=reason):
        hear(talk, message, fence())


@pytest.mark.parametrize("count", [0, 2])
def test_an_early_frame_with_another_number_of_fences_is_a_protocol_error(
    talk: Conversation, count: int
) -> None:
    with pytest.raises(errors.ProtocolError, match=f"with {count} fds"):
        hear(talk, early(), *(fence() for _ in range(count)))


# --- buffers that cannot be had ----------------------------------------------------------------


def test_a_buffer_that_cannot_be_mapped_ends_the_connection(talk: Conversation) -> None:
    with memfd(b"BGRXbgrx") as fd:
        unreadable = OwnedFd(os.open(f"/proc/self/fd/{fd.fileno()}", os.O_WRONLY), "unreadable")
    with pytest.raises(PermissionError):
        hear(talk, protocol.BUFFER.pack(LAYOUT._replace(buffer=1), stream=1), unreadable)
    assert isinstance(talk.ended, errors.CaptureLostError)
    assert talk.ended.code == "not-mapped"


# --- what is asked for no more ----------------------------------------------------------------


def test_frames_that_wait_are_given_back_when_a_subscription_that_has_ended_is_left(
    talk: Conversation,
) -> None:
    hear(talk, FRAME)
    hear(talk, protocol.ENDED.pack(protocol.Ended(), stream=1))
    talk.unsubscribe(talk.output(None), REQUEST)
    assert not talk.holds_frames


# --- what is counted -------------------------------------------------------------------------


def sequence(number: int, commit_ns: int = 1) -> bytes:
    body = protocol.Frame(number, 0, 0, commit_ns, 0, 2, 0, 1, Source.WRITEBACK, 0)
    return protocol.FRAME.pack(body, stream=1)


def test_frames_that_a_subscription_went_without_are_counted(talk: Conversation) -> None:
    for number in (7, 8, 11):
        take(talk, sequence(number)).release()
    assert talk.statistics()[:2] == (3, 2)


def test_what_is_captured_between_two_subscriptions_is_not_counted(talk: Conversation) -> None:
    for number in (7, 60):
        take(talk, sequence(number)).release()
        talk.subscribe(talk.output(None), REQUEST)
    assert talk.statistics()[:2] == (2, 0)


def test_what_is_captured_while_a_subscription_pauses_is_not_counted(talk: Conversation) -> None:
    take(talk, sequence(7)).release()
    talk.pause(talk.output(None))
    talk.resume(talk.output(None))
    take(talk, sequence(60)).release()
    assert talk.statistics()[:2] == (2, 0)


def test_the_pause_is_not_counted_either_from_a_frame_that_is_read_after_it(
    talk: Conversation,
) -> None:
    before_ns = time.monotonic_ns()
    talk.pause(talk.output(None))
    talk.resume(talk.output(None))
    take(talk, sequence(7, before_ns)).release()
    take(talk, sequence(60, time.monotonic_ns())).release()
    assert talk.statistics()[:2] == (2, 0)


def test_frames_that_a_subscription_went_without_after_a_pause_are_counted(
    talk: Conversation,
) -> None:
    talk.pause(talk.output(None))
    talk.resume(talk.output(None))
    for number in (60, 63):
        take(talk, sequence(number, time.monotonic_ns())).release()
    assert talk.statistics()[:2] == (2, 2)


@pytest.mark.parametrize("credits", [0, 5, -1, 1.5, "2", float("nan")])
def test_credits_that_no_daemon_takes_are_refused_before_they_are_sent(
    credits: object,  # noqa: A002 - the protocol's word
) -> None:
    with pytest.raises(ValueError, match="1 to 4"):
        wish(Source.WRITEBACK, credits=credits)  # type: ignore[arg-type]  # what a caller may do


# --- frames that are taken back --------------------------------------------------------------


@pytest.fixture
def fence_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let every fence have this status: 0 is none yet, 1 is a picture, less is an errno."""

    def let(status: int) -> None:
        monkeypatch.setattr("capturectl.fence.Fence._read", lambda _: (status, 1))

    return let


def take(talk: Conversation, message: bytes, *fds: OwnedFd) -> Frame:
    hear(talk, message, *fds)
    frame = talk.take_frame(talk.output(None))
    assert frame is not None
    return frame


def why(frame: Frame) -> str:
    """Return what a look at a revoked frame says."""
    assert frame.is_revoked
    with pytest.raises(errors.CaptureLostError) as caught:
        _ = frame.memory
    return caught.value.reason


def test_a_frame_that_is_taken_back_was_held_for_too_long(talk: Conversation) -> None:
    frame = take(talk, FRAME)
    hear(talk, REVOKED)
    assert why(frame) == "frame 1 was held for too long"
    assert talk.statistics().revoked == 1


@pytest.mark.parametrize("status", [0, -5])
def test_an_early_frame_that_has_no_picture_was_never_written(
    talk: Conversation, fence_says: Callable[[int], None], status: int
) -> None:
    frame = take(talk, early(), fence())
    fence_says(status)
    hear(talk, REVOKED)
    assert why(frame) == "frame 1 was never written"
    assert talk.statistics().revoked == 0


def test_an_early_frame_that_was_written_was_held_for_too_long(
    talk: Conversation, fence_says: Callable[[int], None]
) -> None:
    frame = take(talk, early(), fence())
    fence_says(1)
    hear(talk, REVOKED)
    assert why(frame) == "frame 1 was held for too long"
    assert talk.statistics().revoked == 1


def test_an_early_frame_whose_lease_cannot_be_over_was_taken_back(
    talk: Conversation, fence_says: Callable[[int], None]
) -> None:
    frame = take(talk, early(commit_ns=time.monotonic_ns() + 10**12), fence())
    fence_says(1)
    hear(talk, REVOKED)
    assert why(frame) == "frame 1 was taken back by the daemon"
    assert talk.statistics().revoked == 0


def test_a_frame_that_was_released_meanwhile_counts_as_held_for_too_long(
    talk: Conversation,
) -> None:
    talk.subscribe(talk.output(None), REQUEST._replace(flags=0))
    take(talk, FRAME).release()
    hear(talk, REVOKED)
    assert talk.statistics().revoked == 1


def test_an_early_frame_that_was_released_meanwhile_does_not_count(talk: Conversation) -> None:
    take(talk, early(), fence()).release()
    hear(talk, REVOKED)
    assert talk.statistics().revoked == 0


def test_waiting_for_a_frame_that_was_taken_back_does_not_wait(
    talk: Conversation, fence_says: Callable[[int], None]
) -> None:
    frame = take(talk, early(), fence())
    fence_says(0)
    hear(talk, REVOKED)
    with pytest.raises(errors.CaptureLostError, match="never written"):
        frame.wait()


def test_a_frame_of_a_lost_connection_was_lost_with_it(talk: Conversation) -> None:
    frame = take(talk, FRAME)
    talk.abandon()
    assert why(frame) == "frame 1 was lost with the connection to the daemon"


def test_a_frame_that_was_taken_back_before_the_connection_was_lost_keeps_its_reason(
    talk: Conversation,
) -> None:
    frame = take(talk, FRAME)
    hear(talk, REVOKED)
    talk.abandon()
    assert why(frame) == "frame 1 was held for too long"


# --- leaving with early frames; the leak check does the rest ---------------------------------


def test_closing_closes_the_fences_of_frames_that_nobody_took(talk: Conversation) -> None:
    hear(talk, early(), fence())
    talk.close()


def test_closing_releases_a_frame_that_is_held(talk: Conversation) -> None:
    hear(talk, early(), fence())
    frame = talk.take_frame(talk.output(None))
    talk.close()
    assert not frame


def test_after_closing_no_frame_can_be_taken(talk: Conversation) -> None:
    hear(talk, early(), fence())
    talk.close()
    assert talk.take_frame(talk.output(None)) is None


def test_a_lost_connection_closes_the_fences_of_frames_that_nobody_took(
    talk: Conversation,
) -> None:
    hear(talk, early(), fence())
    talk.abandon()


# --- events ----------------------------------------------------------------------------------


@pytest.fixture
def said() -> list[bytes]:
    """What the client has said."""
    return []


@pytest.fixture
def watched(said: list[bytes]) -> Conversation:
    """A conversation with a daemon that tells of events."""
    begun = Conversation(said.append)
    welcome = WELCOME._replace(streams=0, capabilities=protocol.Capability.WATCH)
    hear(begun, protocol.WELCOME.pack(welcome))
    return begun


def event(client: int) -> bytes:
    message = protocol.Event(
        kind=protocol.EventKind.CLIENT_LEFT, pid=1, client=client, sequence=0, time_ns=0, uid=0,
        name="", word="", reason="", hint="",
    )  # fmt: skip
    return protocol.EVENT.pack(message)


def client_of(watched: Conversation, events: deque[Event]) -> int | None:
    happened = watched.next_event(events)
    return None if happened is None else happened.client


def test_each_watcher_sees_every_event(watched: Conversation) -> None:
    one, other = watched.watch(), watched.watch()
    hear(watched, event(3))
    assert [client_of(watched, one), client_of(watched, other)] == [3, 3]
    assert [client_of(watched, one), client_of(watched, other)] == [None, None]


def test_the_daemon_is_asked_for_events_until_the_last_watcher_goes(
    watched: Conversation, said: list[bytes]
) -> None:
    one, other = watched.watch(), watched.watch()
    watched.unwatch(one)
    hear(watched, event(3))
    watched.unwatch(other)
    assert client_of(watched, other) == 3
    assert [protocol.WATCH.unpack(message).is_wanted for message in said] == [1, 0]


def test_a_watcher_hears_that_the_connection_was_lost_after_its_events(
    watched: Conversation,
) -> None:
    events = watched.watch()
    hear(watched, event(3))
    watched.abandon()
    assert client_of(watched, events) == 3
    with pytest.raises(errors.CaptureLostError):
        watched.next_event(events)


# --- questions -------------------------------------------------------------------------------


def refusal(serial: int) -> bytes:
    message = protocol.Error(protocol.ErrorCode.CAPACITY, 0, 0, "capacity", "why", "what next")
    return protocol.ERROR.pack(message, serial=serial)


def test_a_question_that_is_refused_raises_why(watched: Conversation) -> None:
    serial = watched.ask(protocol.Query.CLIENTS)
    hear(watched, refusal(serial))
    with pytest.raises(errors.CaptureBusyError):
        watched.answers.take(serial)


def test_the_refusal_of_a_question_that_nobody_waits_for_is_no_end(watched: Conversation) -> None:
    serial = watched.ask(protocol.Query.CLIENTS)
    watched.answers.forget(serial)
    hear(watched, refusal(serial))
    assert watched.ended is None


def test_an_error_that_answers_no_question_is_raised_to_whoever_listens(
    watched: Conversation,
) -> None:
    with pytest.raises(errors.CaptureBusyError):
        hear(watched, refusal(serial=0))


def test_answers_that_nobody_waits_for_do_not_pile_up(watched: Conversation) -> None:
    for _ in range(3):
        serial = watched.ask(protocol.Query.CLIENTS)
        watched.answers.forget(serial)
        hear(watched, protocol.DONE.pack(protocol.Done(), serial=serial))
    assert len(watched.answers) == 0
