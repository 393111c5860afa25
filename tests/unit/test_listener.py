# SPDX-License-Identifier: MIT
"""captured.server.listener: the socket in the file system, and who connects to it."""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureBusyError, CaptureError, NotAllowedError
from capturectl.fd import OwnedFd
from captured.server.listener import Listener
from captured.server.peer import Peer
from tests.support.fakes import VirtualReactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from capturectl.transport import Transport


class Door:
    """Listeners on one loop, and whom they let in."""

    def __init__(self) -> None:
        self.reactor = VirtualReactor()
        self.guests: list[tuple[Transport, Peer]] = []
        self._listeners: list[Listener] = []
        self._sockets: list[socket.socket] = []

    def open(self, path: Path) -> Listener:
        listener = Listener(str(path), self.reactor, lambda *guest: self.guests.append(guest))
        self._listeners.append(listener)
        return listener

    def inherit(self, inherited: OwnedFd) -> Listener:
        listener = Listener(
            "/nowhere", self.reactor, lambda *guest: self.guests.append(guest), "", inherited
        )
        self._listeners.append(listener)
        return listener

    def knock(self, path: Path) -> socket.socket:
        knocking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sockets.append(knocking)
        knocking.settimeout(0)
        knocking.connect(str(path))
        return knocking

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
        for transport, _ in self.guests:
            transport.close()
        for knocking in self._sockets:
            knocking.close()
        self.reactor.close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


def leave_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(path))
        dead.listen()


# -- the path ---------------------------------------------------------------------------------


def test_the_socket_is_for_its_owner_and_group_only(door: Door, path: Path) -> None:
    door.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_the_umask_is_as_before_afterwards(door: Door, path: Path) -> None:
    old = os.umask(0o027)
    try:
        door.open(path)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)


def test_missing_directories_are_made(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "run" / "captured" / "c.sock"
    door.open(path)
    assert path.is_socket()


def test_a_stale_socket_is_replaced(door: Door, path: Path) -> None:
    leave_stale(path)
    door.open(path)
    door.knock(path)
    door.reactor.run_once(0)
    assert len(door.guests) == 1


def test_a_live_socket_is_refused(door: Door, path: Path) -> None:
    door.open(path)
    with pytest.raises(CaptureBusyError) as caught:
        door.open(path)
    assert caught.value.code == "socket-in-use"


@pytest.mark.timeout(2)
def test_a_live_socket_with_no_room_for_another_client_is_refused(door: Door, path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as full:
        full.bind(str(path))
        full.listen(0)
        door.knock(path)
        with pytest.raises(CaptureBusyError) as caught:
            door.open(path)
    assert caught.value.code == "socket-in-use"


def test_a_refused_daemon_leaves_the_live_socket_alone(door: Door, path: Path) -> None:
    door.open(path)
    with pytest.raises(CaptureBusyError):
        door.open(path)
    door.reactor.run_once(0)
    guests = len(door.guests)
    door.knock(path)
    door.reactor.run_once(0)
    assert len(door.guests) == guests + 1


def test_a_file_that_is_no_socket_is_left_alone(door: Door, path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(CaptureError):
        door.open(path)
    assert path.read_text() == "precious"


def test_the_path_is_removed_on_close(door: Door, path: Path) -> None:
    door.open(path).close()
    assert not path.exists()


def test_a_path_that_is_another_daemons_by_now_is_left_alone(door: Door, path: Path) -> None:
    old = door.open(path)
    path.rename(path.with_suffix(".old"))
    door.open(path)
    old.close()
    door.knock(path)
    door.reactor.run_once(0)
    assert len(door.guests) == 1


def test_a_path_that_somebody_removed_is_no_error_on_close(door: Door, path: Path) -> None:
    listener = door.open(path)
    path.unlink()
    listener.close()
    assert not path.exists()


def test_closing_twice_is_fine(door: Door, path: Path) -> None:
    listener = door.open(path)
    listener.close()
    path.write_text("somebody else's")
    listener.close()
    assert path.exists()


def test_after_closing_nobody_can_connect(door: Door, path: Path) -> None:
    door.open(path).close()
    with pytest.raises(FileNotFoundError):
        door.knock(path)


# -- what goes wrong --------------------------------------------------------------------------


def test_a_directory_that_may_not_be_written_to_is_not_allowed(
    door: Door, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forbidden(_socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("captured.server.listener._new_socket", Forbidden)
    with pytest.raises(NotAllowedError) as caught:
        door.open(path)
    assert str(path) in caught.value.reason


def test_a_parent_that_is_a_file_is_an_error_that_names_the_path(door: Door, path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(CaptureError) as caught:
        door.open(path / "c.sock")
    assert type(caught.value) is CaptureError
    assert str(path / "c.sock") in caught.value.reason


def test_a_path_that_is_too_long_is_an_error_that_says_so(door: Door, tmp_path: Path) -> None:
    with pytest.raises(CaptureError) as caught:
        door.open(tmp_path / ("x" * 120))
    assert "too long" in caught.value.reason


# -- who connects -----------------------------------------------------------------------------


def test_a_new_connection_comes_with_the_process_at_its_other_end(door: Door, path: Path) -> None:
    door.open(path)
    door.knock(path)
    door.reactor.run_once(0)
    assert [peer for _, peer in door.guests] == [
        Peer(os.getpid(), os.getuid(), os.getgid(), frozenset(os.getgroups()))
    ]


def test_all_connections_that_wait_are_accepted_in_one_batch(door: Door, path: Path) -> None:
    door.open(path)
    for _ in range(3):
        door.knock(path)
    door.reactor.run_once(0)
    assert len(door.guests) == 3


def test_an_accepted_connection_never_waits(door: Door, path: Path) -> None:
    door.open(path)
    door.knock(path)
    door.reactor.run_once(0)
    with pytest.raises(BlockingIOError):
        door.guests[0][0].receive()


def test_an_accepted_connection_queues_little_for_a_client_that_does_not_read(
    door: Door, path: Path
) -> None:
    door.open(path)
    door.knock(path)
    door.reactor.run_once(0)
    transport, _ = door.guests[0]
    with contextlib.suppress(BlockingIOError):
        for _ in range(32):
            transport.send(bytes(80))
    with pytest.raises(BlockingIOError):
        transport.send(bytes(80))


# -- no more file descriptors -----------------------------------------------------------------


class Exhausted(_socket.socket):
    """A listening socket that counts how often it was tried, and has no room until `relieve`."""

    tries = 0
    is_full = True

    def relieve(self) -> None:
        self.is_full = False

    def _accept(self) -> tuple[int, str]:
        self.tries += 1
        if self.is_full:
            raise OSError(errno.EMFILE, "Too many open files")
        accepted: tuple[int, str] = super()._accept()  # type: ignore[misc]  # not in the stubs
        return accepted


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> Exhausted:
    """The socket of the next listener."""
    sock = Exhausted(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    monkeypatch.setattr("captured.server.listener._new_socket", lambda: sock)
    return sock


def test_a_connection_that_cannot_be_accepted_is_not_tried_all_the_time(
    door: Door, path: Path, exhausted: Exhausted
) -> None:
    door.open(path)
    door.knock(path)
    door.reactor.advance(0.05)
    assert exhausted.tries == 1


def test_a_connection_that_could_not_be_accepted_is_accepted_later(
    door: Door, path: Path, exhausted: Exhausted
) -> None:
    door.open(path)
    door.knock(path)
    door.reactor.turn()
    exhausted.relieve()
    door.reactor.advance(1)
    assert len(door.guests) == 1


def test_closing_while_no_connection_can_be_accepted_ends_the_trying(
    door: Door, path: Path, exhausted: Exhausted
) -> None:
    listening = door.open(path)
    door.knock(path)
    door.reactor.turn()
    listening.close()
    door.reactor.advance(1)
    assert exhausted.tries == 1


def test_a_socket_of_the_service_managers_is_listened_on_and_left_alone(
    door: Door, tmp_path: Path
) -> None:
    path = tmp_path / "sock"
    given = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given.bind(str(path))
    given.listen()
    before = path.stat()
    listener = door.inherit(OwnedFd(given.detach(), "captured.socket"))
    door.knock(path)
    door.reactor.turn()
    assert len(door.guests) == 1
    listener.close()
    after = path.stat()
    assert (after.st_ino, after.st_mode, after.st_gid) == (
        before.st_ino, before.st_mode, before.st_gid,
    )  # fmt: skip
