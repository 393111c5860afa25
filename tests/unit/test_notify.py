# SPDX-License-Identifier: MIT
"""captured.notify: the words of sd_notify(3) and sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from captured import notify
from captured.notify import Notifier, Watchdog, receive
from tests.support.fakes import VirtualReactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Ear:
    """The manager's end."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(0)

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
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
    assert notifier.store("card", read)
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
    assert not notifier.tell("READY=1")


def test_a_manager_that_does_not_listen_is_not_waited_for(ear: Ear, notifier: Notifier) -> None:
    while notifier.tell("STATUS=x"):
        pass
    assert not notifier.store("card", 0)
    assert ear.heard()
    assert notifier.store("card", 0)


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


def test_the_watchdog_is_fed_twice_as_often_as_it_bites(ear: Ear, notifier: Notifier) -> None:
    reactor = VirtualReactor()
    Watchdog(reactor, notifier, 1.0, lambda: None)
    reactor.advance(2.1)
    assert ear.heard() == ["WATCHDOG=1"] * 5
    reactor.close()


def test_a_loop_that_does_not_turn_feeds_nothing(ear: Ear, notifier: Notifier) -> None:
    reactor = VirtualReactor()
    Watchdog(reactor, notifier, 1.0, lambda: None)
    ear.heard()
    reactor._now += 10_000_000_000
    assert ear.heard() == []
    reactor.close()


def test_no_watchdog_is_wanted_no_timer_is_set(ear: Ear, notifier: Notifier) -> None:
    reactor = VirtualReactor()
    Watchdog(reactor, notifier, 0, lambda: None)
    reactor.advance(0.1)
    assert ear.heard() == []
    reactor.close()
