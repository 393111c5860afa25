# SPDX-License-Identifier: MIT
"""captured.probe: what takes long is done outside the loop."""

from __future__ import annotations

import _thread
import errno
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from capturectl.errors import CaptureLostError
from capturectl.fd import OwnedFd
from captured.drm.card import Card
from captured.drm.resources import Plug
from captured.probe import Prober
from captured.reactor import Reactor
from tests.support.fds import open_fds

if TYPE_CHECKING:
    from collections.abc import Iterator

FOUND = (Plug("HDMI-A-1", 1, ()),)
LONGEST_S = 10.0
NAME = "the-card"


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    with Reactor() as made:
        yield made


@pytest.fixture
def card() -> Iterator[Card]:
    with Card(OwnedFd(os.memfd_create(NAME, os.MFD_CLOEXEC), "card"), "card") as made:
        yield made


class SlowReader:
    """A card whose displays answer when the test says so."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.probes: list[bool] = []
        self.answers: list[Any] = []
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def __call__(self, card: Card, *, probe: bool) -> tuple[Plug, ...]:
        self.threads.append(threading.get_ident())
        self.probes.append(probe)
        os.fstat(card.fileno())
        self.begun.release()
        assert self.may_end.acquire(timeout=LONGEST_S)
        answer = self.answers.pop(0) if self.answers else FOUND
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, tuple)
        return answer


class Probing:
    """A prober over a slow reader, and what it has told."""

    def __init__(self, reactor: Reactor) -> None:
        self.reader = SlowReader()
        self.told: list[tuple[Card, tuple[Plug, ...] | None]] = []
        self.prober = Prober(
            reactor, lambda card, found: self.told.append((card, found)), self.reader
        )
        self._reactor = reactor

    def begun(self) -> None:
        assert self.reader.begun.acquire(timeout=LONGEST_S)

    def end(self) -> None:
        """Let the reading that is under way end, and hear of it."""
        count = len(self.told)
        self.reader.may_end.release()
        while len(self.told) == count:
            self._reactor.run_once(LONGEST_S)


@pytest.fixture
def probing(reactor: Reactor) -> Iterator[Probing]:
    made = Probing(reactor)
    yield made
    made.prober.close()
    made.prober.close()


def test_the_loop_goes_on_while_a_display_is_asked(
    reactor: Reactor, probing: Probing, card: Card
) -> None:
    ticks: list[int] = []
    probing.prober.ask(card, probe=True)
    probing.begun()
    for _ in range(100):
        reactor.call_later(0, lambda: ticks.append(1))
        reactor.run_once(0)
    assert (len(ticks), probing.told) == (100, [])
    probing.end()
    assert probing.told == [(card, FOUND)]


def test_reading_is_done_in_another_thread_and_told_in_the_loops(
    reactor: Reactor, card: Card
) -> None:
    reader, told = SlowReader(), list[int]()
    prober = Prober(reactor, lambda *_: told.append(threading.get_ident()), reader)
    prober.ask(card, probe=True)
    reader.may_end.release()
    while not told:
        reactor.run_once(LONGEST_S)
    prober.close()
    assert told == [threading.get_ident()]
    assert reader.threads != told


@pytest.mark.parametrize("probe", [True, False])
def test_displays_are_asked_only_when_wanted(probing: Probing, card: Card, probe: bool) -> None:
    probing.prober.ask(card, probe=probe)
    probing.end()
    assert probing.reader.probes == [probe]


def test_many_wishes_while_one_reading_is_under_way_make_one_more(
    probing: Probing, card: Card
) -> None:
    probing.prober.ask(card, probe=True)
    probing.begun()
    for _ in range(1000):
        probing.prober.ask(card, probe=False)
    probing.end()
    probing.begun()
    probing.end()
    assert probing.reader.probes == [True, False]
    assert len(probing.told) == 2


@pytest.mark.parametrize(
    "error", [OSError(19, "No such device"), CaptureLostError("gone")], ids=type
)
def test_a_reading_that_fails_tells_nothing_was_found(
    probing: Probing, card: Card, error: Exception
) -> None:
    probing.reader.answers = [error]
    probing.prober.ask(card, probe=True)
    probing.end()
    assert probing.told == [(card, None)]


def test_a_card_that_is_closed_meanwhile_is_read_to_the_end_and_not_told_of(
    reactor: Reactor, probing: Probing, card: Card
) -> None:
    probing.prober.ask(card, probe=True)
    probing.begun()
    card.close()
    probing.reader.may_end.release()
    reactor.run_once(LONGEST_S)
    assert probing.told == []
    assert not [target for target in open_fds().values() if NAME in target]


def test_readings_leave_no_descriptor(probing: Probing, card: Card) -> None:
    before = open_fds()
    for _ in range(20):
        probing.prober.ask(card, probe=True)
        probing.end()
    assert open_fds() == before


@pytest.mark.parametrize("name", ["dup", "start_new_thread"])
def test_a_reading_that_cannot_begin_is_left_out_and_the_next_is_not(
    probing: Probing, card: Card, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many") if name == "dup" else RuntimeError("Too many")

    before = open_fds()
    with monkeypatch.context() as patch:
        patch.setattr(os if name == "dup" else _thread, name, refuse)
        probing.prober.ask(card, probe=True)
    assert open_fds() == before
    probing.prober.ask(card, probe=True)
    probing.end()
    assert probing.told == [(card, FOUND)]
