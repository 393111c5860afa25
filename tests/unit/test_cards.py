# SPDX-License-Identifier: MIT
"""captured.cards: which of several cards is taken, and what is said where none is of use."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureUnsupportedError
from captured import cards
from captured.capture.replaceable import is_gone
from captured.drm.card import Card
from tests.support import topology
from tests.support.fake_card import FakeCard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from captured.drm.resources import Resources

PLAIN = topology.card((topology.connector(0, "HDMI-A-1", (0,)),), (), ())
"""A card without a writeback connector."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[FakeCard]]]:
    """Make a machine of cards: what is on each, or the errno of reading it."""
    made: list[FakeCard] = []

    def make(*contents: Resources | int) -> list[FakeCard]:
        made.extend(FakeCard() for _ in contents)
        for number, card in enumerate(made):
            card.path = f"/dev/dri/card{number}"
        by_path = {card.path: card for card in made}
        on_it = dict(zip(by_path, contents, strict=True))

        def read(card: Card) -> Resources:
            found = on_it[card.path]
            if isinstance(found, int):
                raise OSError(found, os.strerror(found), card.path)
            return found

        monkeypatch.setattr(cards, "card_paths", lambda: list(by_path))
        monkeypatch.setattr(cards, "read_resources", read)
        monkeypatch.setattr(Card, "open", by_path.__getitem__)
        return made

    yield make
    for card in made:
        card.close()


def test_the_first_card_with_a_writeback_connector_is_taken(
    machine: Callable[..., list[FakeCard]],
) -> None:
    made = machine(PLAIN, topology.vkms(), topology.vkms())
    assert cards.open_card("") is made[1]
    assert not made[0], "and the other is closed"


def test_a_card_that_goes_while_it_is_looked_at_does_not_hide_the_next(
    machine: Callable[..., list[FakeCard]],
) -> None:
    made = machine(errno.ENODEV, topology.vkms())
    assert cards.open_card("") is made[1]


def test_a_card_that_cannot_be_read_is_named_where_there_is_no_other(
    machine: Callable[..., list[FakeCard]],
) -> None:
    machine(errno.ENODEV)
    with pytest.raises(CaptureUnsupportedError, match="/dev/dri/card0 cannot be used") as caught:
        cards.open_card("")
    assert caught.value.code == "no-card"
    assert is_gone(caught.value)


def test_where_none_is_of_use_each_is_named(machine: Callable[..., list[FakeCard]]) -> None:
    machine(PLAIN, errno.EIO)
    with pytest.raises(CaptureUnsupportedError) as caught:
        cards.open_card("")
    assert caught.value.code == "no-writeback"
    assert "/dev/dri/card0 has no writeback connector" in caught.value.hint
    assert "/dev/dri/card1 cannot be used" in caught.value.hint
