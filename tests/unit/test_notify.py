# SPDX-License-Identifier: MIT
"""captured.notify: the words of sd_notify(3) and sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from itertools import count
from typing import TYPE_CHECKING

import pytest

from capturectl.fd import OwnedFd
from captured import notify
from captured.notify import Notifier, Watchdog, receive
from tests.support.fds import open_fds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fakes import VirtualReactor


class Ear:
    """The manager's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(0)

    def heard_one(self) -> str:
        return self.socket.recv(4096).decode()

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.heard_one())
            except BlockingIOError:
                return found


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    made = Ear(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def notifier(ear: Ear) -> Iterator[Notifier]:
    made = Notifier(ear.socket.getsockname())
    yield made
    made.close()


def test_what_is_told_is_one_datagram_of_lines(ear: Ear, notifier: Notifier) -> None:
    notifier.ready()
    notifier.status("card0 HDMI-A-1")
    notifier.stopping()
    assert ear.heard() == ["READY=1", "STATUS=card0 HDMI-A-1", "STOPPING=1"]


def test_a_stored_descriptor_is_the_same_file_and_is_not_polled(
    ear: Ear, notifier: Notifier
) -> None:
    read, write = os.pipe()
    notifier.store("card", OwnedFd(read))
    text, fds, _, _ = socket.recv_fds(ear.socket, 4096, 2)
    assert text == b"FDSTORE=1\nFDNAME=card\nFDPOLL=0"
    os.write(write, b"x")
    assert os.read(fds[0], 1) == b"x"
    for fd in (read, write, *fds):
        os.close(fd)


def test_a_descriptor_is_forgotten_by_name(ear: Ear, notifier: Notifier) -> None:
    notifier.forget("card")
    assert ear.heard() == ["FDSTOREREMOVE=1\nFDNAME=card"]


def test_an_abstract_address_is_understood() -> None:
    name = f"captured-test-{os.getpid()}"
    ear = Ear(f"\0{name}")
    notifier = Notifier(f"@{name}")
    notifier.ready()
    assert ear.heard() == ["READY=1"]
    notifier.close()
    ear.socket.close()


def test_nobody_is_told_without_a_manager() -> None:
    notifier = Notifier()
    assert not notifier
    notifier.ready()
    notifier.close()


# -- a manager that is busy -------------------------------------------------------------------


def fill(notifier: Notifier) -> int:
    """Speak until the manager has no room; return how many messages it has had."""
    for number in count():
        if notifier._backlog:
            return number - 1
        notifier.tell(f"X={number}")
    raise AssertionError


def test_what_a_manager_has_no_room_for_is_said_when_it_has(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    notifier.attend(reactor)
    before = fill(notifier)
    notifier.ready()
    reactor.advance(1.0)
    assert len(ear.heard()) == before
    reactor.advance(1.0)
    assert ear.heard() == [f"X={before}", "READY=1"]
    notifier.stopping()
    assert ear.heard() == ["STOPPING=1"], "at once again"


def test_what_was_said_before_there_was_a_loop_waits_for_it(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    fill(notifier)
    notifier.ready()
    ear.heard()
    notifier.attend(reactor)
    reactor.advance(0.1)
    assert ear.heard()[-1] == "READY=1"


def test_a_descriptor_that_waits_is_borrowed_until_it_is_heard(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    notifier.attend(reactor)
    fill(notifier)
    with OwnedFd(os.memfd_create("card")) as holder:
        before = open_fds()
        notifier.store("card", holder)
        assert open_fds() == before
        ear.heard()
        reactor.advance(0.1)
        ear.heard_one()
        text, fds, _, _ = socket.recv_fds(ear.socket, 4096, 2)
        assert text == b"FDSTORE=1\nFDNAME=card\nFDPOLL=0"
        assert os.fstat(fds[0]).st_ino == os.fstat(holder.fileno()).st_ino
        os.close(fds[0])


def test_a_descriptor_that_was_closed_meanwhile_is_not_stored(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    notifier.attend(reactor)
    before = fill(notifier)
    with OwnedFd(os.memfd_create("client")) as holder:
        notifier.store("client-1", holder)
    ear.heard()
    reactor.advance(1.0)
    assert ear.heard() == [f"X={before}"]


def test_clients_that_come_and_go_unheard_leave_nothing_to_say(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    notifier.attend(reactor)
    before = fill(notifier)
    with OwnedFd(os.memfd_create("client")) as holder:
        for number in range(1000):
            notifier.store(f"client-{number}", holder)
            notifier.forget(f"client-{number}")
    ear.heard()
    reactor.advance(1.0)
    assert ear.heard() == [f"X={before}"]


def test_what_was_stored_is_forgotten_even_when_it_is_to_be_stored_anew(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    notifier.attend(reactor)
    with OwnedFd(os.memfd_create("card")) as holder:
        notifier.store("card", holder)
        fill(notifier)
        notifier.forget("card")
        notifier.store("card", holder)
        notifier.forget("card")
        ear.heard()
        reactor.advance(1.0)
    assert ear.heard()[1:] == ["FDSTOREREMOVE=1\nFDNAME=card"]


def test_of_how_things_stand_only_the_last_is_said(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    notifier.attend(reactor)
    fill(notifier)
    for number in range(100):
        notifier.status(f"{number} clients")
    ear.heard()
    reactor.advance(1.0)
    assert ear.heard()[1:] == ["STATUS=99 clients"]


def test_a_manager_that_has_heard_everything_is_not_waited_for(notifier: Notifier) -> None:
    called: list[bool] = []
    notifier.ready()
    notifier.when_heard(lambda: called.append(True), 5.0)
    assert called == [True]


def test_a_manager_that_is_busy_is_waited_for(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    called: list[bool] = []
    notifier.attend(reactor)
    fill(notifier)
    notifier.when_heard(lambda: called.append(True), 5.0)
    reactor.advance(1.0)
    assert called == []
    ear.heard()
    reactor.advance(1.0)
    assert called == [True]


# -- what it gave -----------------------------------------------------------------------------


def test_the_environment_is_taken_over_once() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid()),
        "LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b:c", "FDSTORE": "700",
        "HOME": "/",
    }  # fmt: skip
    received = receive(environment)
    assert environment == {"HOME": "/"}
    assert received.watchdog_s == 5.0
    assert received.store_size == 700
    assert received.fds == [], "they are for another process"
    assert received.notifier
    received.notifier.close()


def test_a_watchdog_that_watches_another_process_is_not_fed() -> None:
    assert receive({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}).watchdog_s == 0


@pytest.mark.parametrize(
    "name",
    ["WATCHDOG_USEC", "FDSTORE", "LISTEN_FDS"],
)
@pytest.mark.parametrize("text", ["many", "-1", "1.5", "9" * 5000])
def test_what_is_no_number_does_not_count_and_is_said(
    name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    received = receive({name: text, "LISTEN_PID": str(os.getpid())})
    assert received[1:] == receive({})[1:]
    assert f"{name}={text} does not count" in capsys.readouterr().err


def test_a_daemon_that_was_started_by_hand_has_received_nothing() -> None:
    received = receive({})
    assert not received.notifier
    assert received.fds == []
    assert received.watchdog_s == 0


def test_descriptors_begin_at_three_and_have_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    first = 200
    os.dup2(read, first, inheritable=True)
    os.dup2(write, first + 1, inheritable=True)
    monkeypatch.setattr(notify, "FIRST_FD", first)
    fds = receive({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a"}).fds
    assert [(fd.fileno(), fd.name) for fd in fds] == [(first, "a"), (first + 1, "unknown")]
    assert not any(os.get_inheritable(fd.fileno()) for fd in fds)
    for fd in fds:
        fd.close()
    os.close(read)
    os.close(write)


def test_the_real_first_descriptor_is_three() -> None:
    assert notify.FIRST_FD == 3


def test_the_watchdog_is_fed_twice_as_often_as_it_bites(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    Watchdog(reactor, notifier, 1.0, lambda: None)
    reactor.advance(2.1)
    assert ear.heard() == ["WATCHDOG=1"] * 5


def test_a_loop_that_does_not_turn_feeds_nothing(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    Watchdog(reactor, notifier, 1.0, lambda: None)
    ear.heard()
    reactor._now += 10_000_000_000
    assert ear.heard() == []


def test_no_watchdog_is_wanted_no_timer_is_set(
    ear: Ear, notifier: Notifier, reactor: VirtualReactor
) -> None:
    Watchdog(reactor, notifier, 0, lambda: None)
    reactor.advance(0.1)
    assert ear.heard() == []
