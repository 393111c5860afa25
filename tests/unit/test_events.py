# SPDX-License-Identifier: MIT
"""captured.drm.events: what a card's file reads, byte by byte."""

from __future__ import annotations

import pytest

from captured.drm.events import Event, unpack_events

# struct drm_event_vblank: type, length 32, user_data, seconds, microseconds, sequence, crtc_id.
FLIP = bytes.fromhex("02000000 20000000 0700000000000100 e8030000 3f420f00 2a000000 33000000")
FLIP_EVENT = Event(2, 0x0001000000000007, 1_000_999_999_000, 42, 51)  # type: ignore[arg-type]
VBLANK = b"\1" + FLIP[1:]
VBLANK_EVENT = FLIP_EVENT._replace(event_type=1)
STRANGE = bytes.fromhex("00000080 0c000000 ffffffff")


def test_a_flip_says_whose_it_is_and_when_it_was() -> None:
    assert list(unpack_events(FLIP)) == [FLIP_EVENT]


def test_a_vblank_has_the_same_fields() -> None:
    assert list(unpack_events(VBLANK)) == [VBLANK_EVENT]


def test_events_of_one_read_come_in_their_order() -> None:
    assert list(unpack_events(FLIP + VBLANK + FLIP)) == [FLIP_EVENT, VBLANK_EVENT, FLIP_EVENT]


def test_an_unknown_event_is_skipped_by_its_length() -> None:
    assert list(unpack_events(STRANGE + FLIP)) == [FLIP_EVENT]


def test_an_event_that_grew_is_read_by_its_length() -> None:
    longer = FLIP[:4] + b"\x28" + FLIP[5:] + bytes(8)
    assert list(unpack_events(longer + VBLANK)) == [FLIP_EVENT, VBLANK_EVENT]


def test_an_unknown_event_of_no_length_ends() -> None:
    assert list(unpack_events(STRANGE[:4] + bytes(4))) == []


@pytest.mark.parametrize("data", [b"", FLIP[:4]])
def test_too_little_for_an_event_is_none(data: bytes) -> None:
    assert list(unpack_events(data)) == []
