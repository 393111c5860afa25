# SPDX-License-Identifier: MIT
"""captured.backlog: what the service manager has not heard is said until it has."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from capturectl.fd import OwnedFd
from captured.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from captured.notify import Holder
    from tests.support.fakes import VirtualReactor

FULL, TOO_MANY_FDS = errno.EAGAIN, errno.ETOOMANYREFS


class Manager:
    """Notes what it hears. Refuses messages, or those with a descriptor, with an errno."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.attempts = 0
        self.refusal = self.refusal_of_fds = 0

    def hear(self, text: str, holder: Holder | None) -> None:
        self.attempts += 1
        refusal = self.refusal
        if holder is not None:
            holder.fileno()
            refusal = refusal or self.refusal_of_fds
        if refusal:
            raise OSError(refusal, os.strerror(refusal))
        self.heard.append(text)


@pytest.fixture
def manager() -> Manager:
    return Manager()


@pytest.fixture
def backlog(manager: Manager, reactor: VirtualReactor) -> Backlog:
    made = Backlog(manager.hear)
    made.attend(reactor)
    return made


@pytest.fixture
def holder() -> Iterator[OwnedFd]:
    made = OwnedFd(os.memfd_create("kept"))
    yield made
    made.close()


def add(backlog: Backlog, *texts: str, holder: OwnedFd | None = None) -> None:
    for text in texts:
        backlog.add(text, text, holder)


def test_everything_is_said_in_order(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor
) -> None:
    add(backlog, "a", "b", "c")
    reactor.advance(0.02)
    assert manager.heard == ["a", "b", "c"]
    assert not backlog


def test_nothing_is_said_before_there_is_a_loop(manager: Manager, reactor: VirtualReactor) -> None:
    backlog = Backlog(manager.hear)
    add(backlog, "a")
    reactor.advance(0.02)
    assert manager.heard == []
    backlog.attend(reactor)
    reactor.advance(0.02)
    assert manager.heard == ["a"]


def test_what_is_refused_is_said_later_and_nothing_overtakes_it(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor
) -> None:
    manager.refusal = FULL
    add(backlog, "a", "b")
    reactor.advance(0.5)
    add(backlog, "c")
    manager.refusal = 0
    reactor.advance(0.3)
    assert manager.heard == ["a", "b", "c"]


def test_a_turn_of_the_loop_says_a_few_only(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor
) -> None:
    add(backlog, *map(str, range(1000)))
    reactor._now += 10_000_000
    reactor.run_once(0)
    assert len(manager.heard) == 32
    for _ in range(32):
        reactor.run_once(0)
    assert manager.heard == [str(number) for number in range(1000)]


def test_a_manager_that_does_not_listen_is_tried_four_times_a_second_in_the_end(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor
) -> None:
    manager.refusal = FULL
    add(backlog, "a")
    reactor.advance(2.0)
    manager.attempts = 0
    reactor.advance(10.0)
    assert 39 <= manager.attempts <= 41


def test_a_message_waits_once(backlog: Backlog, manager: Manager, reactor: VirtualReactor) -> None:
    add(backlog, "WATCHDOG=1", "WATCHDOG=1")
    reactor.advance(0.02)
    assert manager.heard == ["WATCHDOG=1"]


def test_what_is_taken_out_is_not_said(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor
) -> None:
    add(backlog, "a", "b")
    assert backlog.cancel("a")
    assert not backlog.cancel("c")
    reactor.advance(0.02)
    assert manager.heard == ["b"]


def test_what_its_holder_has_closed_is_not_said(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor, holder: OwnedFd
) -> None:
    add(backlog, "store", holder=holder)
    add(backlog, "b")
    holder.close()
    reactor.advance(0.02)
    assert manager.heard == ["b"]


def test_a_descriptor_that_cannot_pass_lets_messages_by(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor, holder: OwnedFd
) -> None:
    manager.refusal_of_fds = TOO_MANY_FDS
    add(backlog, *(f"store {number}" for number in range(100)), holder=holder)
    add(backlog, "READY=1")
    reactor.advance(0.015)
    assert manager.heard == ["READY=1"]
    assert manager.attempts == 2, "one of the descriptors stands for all"
    manager.refusal_of_fds = 0
    reactor.advance(0.1)
    assert manager.heard[1:] == [f"store {number}" for number in range(100)]


def test_trouble_is_told_once_and_its_end_once(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.refusal = FULL
    add(backlog, "a", "b")
    reactor.advance(60.0)
    assert capsys.readouterr().err.splitlines() == [
        "captured: the service manager does not listen: Resource temporarily unavailable; "
        "2 messages wait"
    ]
    manager.refusal = 0
    reactor.advance(60.0)
    told = capsys.readouterr().err.splitlines()
    assert told == ["captured: the service manager has heard all that waited"]


def test_a_manager_that_is_busy_for_a_moment_is_no_trouble(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        manager.refusal = FULL
        add(backlog, "a")
        reactor.advance(0.5)
        manager.refusal = 0
        reactor.advance(0.5)
    assert capsys.readouterr().err == ""


def test_whoever_waits_is_called_once_all_was_heard(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor
) -> None:
    called: list[int] = []
    manager.refusal = FULL
    add(backlog, "a")
    backlog.when_heard(lambda: called.append(len(manager.heard)), 5.0)
    reactor.advance(1.0)
    assert called == []
    manager.refusal = 0
    reactor.advance(10.0)
    assert called == [1]


def test_whoever_waits_is_called_when_the_time_is_up(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[int] = []
    manager.refusal = FULL
    add(backlog, "a", "b", "c")
    backlog.when_heard(lambda: called.append(len(manager.heard)), 5.0)
    reactor.advance(4.9)
    assert called == []
    reactor.advance(0.2)
    assert called == [0]
    assert "the service manager has not heard 3 messages" in capsys.readouterr().err


def test_nothing_is_said_after_the_end(
    backlog: Backlog, manager: Manager, reactor: VirtualReactor
) -> None:
    add(backlog, "a")
    backlog.close()
    reactor.advance(1.0)
    assert manager.attempts == 0
