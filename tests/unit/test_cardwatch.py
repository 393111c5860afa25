# SPDX-License-Identifier: MIT
"""captured.cardwatch: which card is open, and who is told of it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, cast

import pytest

from capturectl.errors import CaptureError, CaptureUnsupportedError, NoOutputError, NotAllowedError
from capturectl.fd import OwnedFd
from captured import cardwatch
from captured.cards import no_card
from captured.cardwatch import CardWatch
from captured.config import Config
from captured.drm import libdrm
from captured.drm.atomic import AtomicReq
from captured.drm.card import Card
from captured.drm.resources import Plug
from captured.hotplug import News
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from captured.reactor import Reactor

PLUGS = (Plug("HDMI-A-1", 1, ()),)
WAITS = Config(missing="wait")
NOT_YET = NotAllowedError("/dev/dri/card0: permission denied")
NULL_MINOR = 3  # Kernel: Documentation/admin-guide/devices.txt, /dev/null
ADDED = News(added=frozenset({NULL_MINOR}))
CHANGED = News(changed=frozenset({NULL_MINOR}))
GONE = News(removed=frozenset({NULL_MINOR}))


class FakeHotplug:
    """The kernel's messages, as the test tells them."""

    def __init__(self, reactor: Reactor, tell: Callable[[News], None]) -> None:
        self.tell = tell

    def close(self) -> None:
        self.tell = lambda news: None


class FakeProber:
    """Readings that end when the test says so."""

    def __init__(
        self, reactor: Reactor, tell: Callable[[Card, tuple[Plug, ...] | None], None]
    ) -> None:
        self._tell = tell
        self.wishes: list[bool] = []
        self._card: Card | None = None

    def ask(self, card: Card, *, probe: bool) -> None:
        self.wishes.append(probe)
        self._card = card

    def end(self, plugs: tuple[Plug, ...] | None) -> None:
        assert self._card is not None
        self._tell(self._card, plugs)

    def close(self) -> None:
        pass


class FakeUser:
    """Notes what it is told of the card."""

    def __init__(self) -> None:
        self.news: list[str] = []
        self.error: CaptureError | OSError | None = None
        self.is_capturing = False
        self.tidies: Callable[[], None] | None = None

    def card_came(self, card: Card) -> None:
        if self.error is not None:
            raise self.error
        self.news.append(f"came {card.path}")

    def card_went(self, problem: CaptureError) -> None:
        self.news.append(problem.code)
        if self.tidies is not None:
            self.tidies()

    def connectors_read(self, plugs: tuple[Plug, ...]) -> None:
        self.news.append(f"read {len(plugs)}")


class Machine:
    """A machine whose cards come and go, and a watch over them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.reactor = cast("Reactor", self.clock)  # all that the watch itself needs of one
        self.user = FakeUser()
        self.opened: list[Card] = []
        self.lack: CaptureError | OSError | None = None
        self.tries = 0
        self.answers = True
        monkeypatch.setattr(cardwatch, "Hotplug", self._make_hotplug)
        monkeypatch.setattr(cardwatch, "Prober", self._make_prober)
        monkeypatch.setattr(cardwatch, "open_card", self._open)
        monkeypatch.setattr(cardwatch, "_answers", lambda card: self.answers)
        self.watch = CardWatch(WAITS, self.reactor, self.user)

    def _open(self, path: str) -> Card:
        self.tries += 1
        if self.lack is not None:
            raise self.lack
        self.opened.append(make_card(f"/dev/dri/card{len(self.opened)}"))
        return self.opened[-1]

    def _make_hotplug(self, reactor: Reactor, tell: Callable[[News], None]) -> FakeHotplug:
        self.hotplug = FakeHotplug(reactor, tell)
        return self.hotplug

    def _make_prober(
        self, reactor: Reactor, tell: Callable[[Card, tuple[Plug, ...] | None], None]
    ) -> FakeProber:
        self.prober = FakeProber(reactor, tell)
        return self.prober

    def tell(self, news: News) -> None:
        self.hotplug.tell(news)

    @property
    def open_cards(self) -> list[Card]:
        return [card for card in self.opened if card]


def make_card(path: str) -> Card:
    return Card(OwnedFd(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), path), path)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(monkeypatch)
    yield made
    made.watch.close()
    made.watch.close()
    assert made.open_cards == []


def test_the_card_that_is_there_is_used(machine: Machine) -> None:
    machine.watch.start()
    assert machine.user.news == ["came /dev/dri/card0"]


def test_a_card_that_is_open_already_is_used_instead_of_opening_one(machine: Machine) -> None:
    machine.watch.start(make_card("handed over"))
    assert (machine.user.news, machine.tries) == (["came handed over"], 0)


def test_without_a_card_a_daemon_that_does_not_wait_ends(machine: Machine) -> None:
    machine.watch = CardWatch(Config(missing="end"), machine.reactor, machine.user)
    machine.lack = no_card()
    with pytest.raises(CaptureUnsupportedError, match="there is no card"):
        machine.watch.start()


def test_a_card_without_the_display_ends_a_daemon_that_does_not_wait(machine: Machine) -> None:
    machine.watch = CardWatch(Config(missing="end"), machine.reactor, machine.user)
    machine.user.error = NoOutputError("there is no output DP-3")
    with pytest.raises(NoOutputError):
        machine.watch.start()


def test_a_card_that_comes_later_is_used(machine: Machine) -> None:
    machine.lack = no_card()
    machine.watch.start()
    machine.lack = None
    machine.tell(ADDED)
    assert machine.user.news == ["no-card", "came /dev/dri/card0"]


def test_a_card_that_goes_is_closed_and_the_next_that_comes_is_used(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(GONE)
    assert machine.open_cards == []
    machine.tell(ADDED)
    assert machine.user.news == ["came /dev/dri/card0", "no-card", "came /dev/dri/card1"]


def test_nothing_reaches_a_card_that_is_told_gone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Most drivers do not find out themselves, and have no registers any more.
    reached: list[str] = []
    monkeypatch.setattr(libdrm, "ioctl", lambda _fd, request, *_: reached.append(request.name))
    machine.watch.start()
    (card,) = machine.opened

    def tidy() -> None:
        with pytest.raises(OSError, match="No such device"):
            AtomicReq(card).commit()

    machine.user.tidies = tidy
    machine.tell(GONE)
    assert machine.user.news == ["came /dev/dri/card0", "no-card"]
    assert reached == []


def test_a_card_that_is_told_gone_is_not_opened_again_before_one_comes(machine: Machine) -> None:
    # Its driver is being unloaded, and would not go while the card is open.
    machine.watch.start()
    machine.tell(GONE)
    machine.tell(News(removed=frozenset({7})))
    machine.clock.advance(60)
    assert machine.tries == 1


def test_one_that_went_and_came_within_one_message_is_opened_anew(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(GONE._replace(added=frozenset({NULL_MINOR})))
    assert machine.user.news == ["came /dev/dri/card0", "no-card", "came /dev/dri/card1"]


def test_another_card_that_goes_is_none_of_ours(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(News(removed=frozenset({NULL_MINOR + 1})))
    assert machine.user.news == ["came /dev/dri/card0"]


def test_a_card_that_stops_answering_is_let_go_of_in_the_next_turn(machine: Machine) -> None:
    machine.watch.start()
    for _ in range(3):
        machine.watch.card_died(OSError(errno.ENODEV, "No such device"))
    assert machine.open_cards != []
    machine.clock.advance()
    assert machine.open_cards == []
    assert machine.user.news == ["came /dev/dri/card0", "no-card"]


def test_a_card_that_died_without_a_message_is_tried_again_for_a_while(machine: Machine) -> None:
    machine.watch.start()
    for _ in range(20):
        machine.watch.card_died(OSError(errno.ENODEV, "No such device"))
        machine.clock.advance(60)
    assert machine.tries == 8  # the last after 6.4 seconds: it does not go on like that for ever


def test_the_death_of_a_card_is_no_news_of_the_one_that_came_after_it(machine: Machine) -> None:
    machine.watch.start()
    machine.watch.card_died(OSError(errno.ENODEV, "No such device"))
    machine.tell(GONE._replace(added=frozenset({NULL_MINOR})))
    machine.clock.advance(0)
    assert machine.user.news == ["came /dev/dri/card0", "no-card", "came /dev/dri/card1"]


def test_when_messages_were_lost_a_card_that_does_not_answer_is_gone(machine: Machine) -> None:
    machine.watch.start()
    machine.answers = False
    machine.lack = no_card()
    machine.tell(News(is_incomplete=True))
    assert machine.open_cards == []


def test_a_node_that_is_not_ours_yet_is_tried_again_with_growing_pauses(machine: Machine) -> None:
    machine.lack = NOT_YET
    machine.watch.start()
    machine.clock.advance(1)
    assert machine.tries == 4  # at 0, 0.1, 0.3 and 0.7 seconds
    machine.lack = None
    machine.clock.advance(1)
    assert machine.user.news[-1] == "came /dev/dri/card0"


def test_a_node_that_never_becomes_ours_is_left_alone_in_the_end(machine: Machine) -> None:
    machine.lack = NOT_YET
    machine.watch.start()
    machine.clock.advance(15)
    tries = machine.tries
    machine.clock.advance(600)
    assert machine.tries == tries
    machine.tell(ADDED)
    assert machine.tries == tries + 1


def test_a_display_that_is_not_there_yet_is_looked_for_at_each_hotplug(machine: Machine) -> None:
    machine.user.error = NoOutputError("there is no output DP-3")
    machine.watch.start()
    assert (machine.user.news, len(machine.open_cards)) == (["no-output"], 1)
    machine.user.error = None
    machine.tell(CHANGED)
    machine.prober.end(PLUGS)
    assert machine.user.news == ["no-output", "came /dev/dri/card0"]
    assert machine.tries == 1


def test_connectors_are_read_when_something_is_plugged(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(CHANGED)
    machine.prober.end(PLUGS)
    assert machine.user.news == ["came /dev/dri/card0", "read 1"]


def test_what_is_plugged_into_another_card_is_none_of_ours(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(News(changed=frozenset({NULL_MINOR + 1}), added=frozenset({NULL_MINOR + 1})))
    assert machine.prober.wishes == []


def test_displays_are_not_asked_while_frames_are_captured(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(CHANGED)
    machine.user.is_capturing = True
    machine.tell(CHANGED)
    assert machine.prober.wishes == [True, False]


def test_what_was_read_of_a_card_that_went_meanwhile_is_not_told(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(CHANGED)
    machine.tell(GONE._replace(added=frozenset({NULL_MINOR})))
    machine.prober.end(PLUGS)
    assert machine.user.news == ["came /dev/dri/card0", "no-card", "came /dev/dri/card1"]


def test_a_card_that_cannot_be_read_any_more_is_gone(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(CHANGED)
    machine.answers = False
    machine.prober.end(None)
    assert machine.open_cards == []


def test_a_reading_that_failed_of_a_card_that_answers_changes_nothing(machine: Machine) -> None:
    machine.watch.start()
    machine.tell(CHANGED)
    machine.prober.end(None)
    assert machine.user.news == ["came /dev/dri/card0"]


def test_a_card_that_goes_while_it_comes_is_no_card(machine: Machine) -> None:
    machine.user.error = OSError(errno.ENODEV, "No such device")
    machine.watch.start()
    assert machine.open_cards == []
    assert machine.user.news[-1] == "no-card"


def test_where_nothing_is_told_a_missing_card_is_looked_for_now_and_then(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(cardwatch, "Hotplug", refuse)
    machine.lack = no_card()
    machine.watch.start()
    machine.clock.advance(10)
    assert machine.tries == 6  # every two seconds
    machine.lack = None
    machine.clock.advance(2)
    assert machine.user.news[-1] == "came /dev/dri/card0"
    assert capsys.readouterr().err.count("hotplug is not noticed") == 1


def test_an_inherited_card_is_not_shared_a_second_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[str] = []

    def borrow(where: str) -> OwnedFd:
        shared.append(where)
        return OwnedFd(os.dup(0), "shared card")

    monkeypatch.setattr(cardwatch, "borrow_card", borrow)
    machine.watch = CardWatch(WAITS._replace(share="3"), machine.reactor, machine.user)
    machine.watch.start()
    machine.tell(GONE)
    machine.tell(ADDED)
    assert shared == ["3"]
    assert machine.user.news[-1] == "no-share"
