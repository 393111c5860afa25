# SPDX-License-Identifier: MIT
"""captured.service: what the service manager hears."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from captured.handover import stop
from captured.notify import Received
from captured.service import Service, StatusLine
from tests.support.processes import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fakes import VirtualReactor


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


class BusyManager:
    """A notifier whose manager hears what waits when the test says so."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.hear: Callable[[], None] | None = None
        self.patience_s = 0.0

    def ready(self) -> None:
        self.told.append("ready")

    def status(self, text: str) -> None:
        """Show it to nobody."""

    def stopping(self) -> None:
        self.told.append("stopping")

    def when_heard(self, callback: Callable[[], None], patience_s: float) -> None:
        self.hear, self.patience_s = callback, patience_s


@pytest.fixture
def manager() -> BusyManager:
    return BusyManager()


@pytest.fixture
def service(manager: BusyManager, monkeypatch: pytest.MonkeyPatch) -> Service:
    """One that keeps something."""
    made = Service(Received(manager, [], 0, 512))  # type: ignore[arg-type]  # a notifier's fake
    monkeypatch.setattr(made, "_keeper", object())
    return made


def test_what_the_end_needs_is_loaded_soon_after_the_start_and_not_before(
    manager: BusyManager, reactor: VirtualReactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = ["captured.handover.stop", "captured.backlog"]
    for name in late:
        monkeypatch.delitem(sys.modules, name, raising=False)
    made = Service(Received(manager, [], 0, 0))  # type: ignore[arg-type]  # a notifier's fake
    made.ready(reactor, SimpleNamespace(), lambda: "idle")  # type: ignore[arg-type]  # hub's fake
    assert manager.told == ["ready"]
    assert [name in sys.modules for name in late] == [False, False]
    reactor.advance(2)
    assert [name in sys.modules for name in late] == [True, True]


@pytest.mark.parametrize("is_restart", [True, False])
def test_only_a_restart_waits_until_the_manager_has_heard_all(
    service: Service, manager: BusyManager, monkeypatch: pytest.MonkeyPatch, is_restart: bool
) -> None:
    answers: list[bool] = []
    monkeypatch.setattr(stop, "StopQuestion", lambda _, answered: answered(is_restart))
    service.ask_whether_restart(None, answers.append)  # type: ignore[arg-type]  # no loop is used
    assert manager.told == ["stopping"]
    assert answers == ([] if is_restart else [False])
    if manager.hear is not None:
        manager.hear()
    assert answers == [is_restart]


def test_a_manager_that_does_not_listen_is_left_before_it_kills(
    service: Service, manager: BusyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "StopQuestion", lambda _, answered: answered(True))
    service.ask_whether_restart(None, lambda _: None)  # type: ignore[arg-type]  # no loop is used
    unit = (PROJECT / "systemd/captured.service").read_text()
    assert manager.patience_s + stop._PATIENCE_S < 15
    assert "TimeoutStopSec=15s" in unit
