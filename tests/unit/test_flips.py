# SPDX-License-Identifier: MIT
"""captured.drm.flips: each commit gets its own flip, whatever else the card has told."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from capturectl.fd import OwnedFd
from captured.drm.card import Card
from captured.drm.flips import FlipQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

VBLANK, FLIP = 1, 2


class Kernel:
    """The end of a card's event queue that the kernel writes to."""

    def __init__(self) -> None:
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.card = Card(OwnedFd(read, "card"), "/dev/dri/card0")
        self.queue = OwnedFd(write, "kernel")

    def tell(self, user_data: int, sequence: int = 0, kind: int = FLIP) -> None:
        # struct drm_event_vblank: type, length, user_data, seconds, microseconds, sequence, crtc.
        event = struct.pack("=IIQIIII", kind, 32, user_data, 1, 0, sequence, 50)
        os.write(self.queue.fileno(), event)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.card.close()
    made.queue.close()


@pytest.fixture
def flips(kernel: Kernel) -> FlipQueue:
    return FlipQueue(kernel.card)


def test_a_commit_gets_its_own_flip(kernel: Kernel, flips: FlipQueue) -> None:
    kernel.tell(7, sequence=40)
    kernel.tell(8, sequence=41)
    found = [flips.take(7), flips.take(8)]
    assert [event and event.sequence for event in found] == [40, 41]


def test_a_flip_that_has_not_come_is_none(flips: FlipQueue) -> None:
    assert flips.take(7) is None
    assert not flips.has(7)


def test_looking_for_a_flip_leaves_it(kernel: Kernel, flips: FlipQueue) -> None:
    kernel.tell(7)
    assert flips.has(7)
    assert flips.take(7) is not None


def test_a_flip_is_taken_once(kernel: Kernel, flips: FlipQueue) -> None:
    kernel.tell(7)
    assert flips.take(7) is not None
    assert flips.take(7) is None


def test_flips_of_earlier_commits_go_with_the_one_that_is_taken(
    kernel: Kernel, flips: FlipQueue
) -> None:
    for number in (5, 6, 7):
        kernel.tell(number)
    assert flips.take(6) is not None
    assert (flips.has(5), flips.has(7)) == (False, True)


def test_what_is_no_flip_is_not_taken_for_one(kernel: Kernel, flips: FlipQueue) -> None:
    kernel.tell(7, kind=VBLANK)
    assert not flips.has(7)


def test_draining_makes_room_in_the_kernels_queue(kernel: Kernel, flips: FlipQueue) -> None:
    kernel.tell(7)
    flips.drain()
    with pytest.raises(BlockingIOError):
        os.read(kernel.card.fileno(), 1)
    assert flips.has(7)
