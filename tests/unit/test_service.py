# SPDX-License-Identifier: MIT
"""captured.service: what the service manager hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from captured.service import StatusLine
from tests.support.fakes import VirtualReactor

if TYPE_CHECKING:
    from collections.abc import Iterator


class Board:
    """Notes what is shown, and says what there is to show."""

    def __init__(self) -> None:
        self.text = "idle"
        self.shown: list[str] = []

    def status(self, text: str) -> None:
        self.shown.append(text)

    def describe(self) -> str:
        return self.text


@pytest.fixture
def reactor() -> Iterator[VirtualReactor]:
    made = VirtualReactor()
    yield made
    made.close()


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def line(reactor: VirtualReactor, board: Board) -> StatusLine:
    return StatusLine(reactor, board, board.describe)  # type: ignore[arg-type]  # a notifier's fake


def test_a_change_is_shown_at_once(
    reactor: VirtualReactor, board: Board, line: StatusLine
) -> None:
    line.touch()
    reactor.turn()
    assert board.shown == ["idle"]


def test_what_has_not_changed_is_not_shown_again(
    reactor: VirtualReactor, board: Board, line: StatusLine
) -> None:
    for _ in range(3):
        line.touch()
        reactor.advance(2.0)
    assert board.shown == ["idle"]


def test_many_changes_are_shown_once_a_second_and_the_last_of_them(
    reactor: VirtualReactor, board: Board, line: StatusLine
) -> None:
    for number in range(100):
        board.text = f"{number} clients"
        line.touch()
        reactor.advance(0.025)
    reactor.advance(1.0)
    assert board.shown == ["0 clients", "40 clients", "80 clients", "99 clients"]
