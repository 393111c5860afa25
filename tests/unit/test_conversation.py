# SPDX-License-Identifier: MIT
"""What a client makes of what it hears, without a socket: frames with fences, and their end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from capturectl import errors, protocol
from capturectl.conversation import Conversation
from capturectl.fd import OwnedFd
from capturectl.protocol import Source
from capturectl.transport import Packet
from tests.support.fake_daemon import STREAM, greeting
from tests.support.fds import memfd
from tests.support.frames import XR24

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYOUT = protocol.Buffer(0, 8, 0, 1, XR24, 2, 1, 1, (0, 0, 0, 0), (8, 0, 0, 0))
REQUEST = protocol.Subscribe(Source.WRITEBACK, protocol.SubscribeFlag.EARLY, 0, 4, 0, 0)


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


def early(sequence: int = 1, *, number: int = 0, stream: int = 1) -> bytes:
    message = protocol.Early(sequence, 0, 0, number, 1, Source.WRITEBACK, 0)
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
