# SPDX-License-Identifier: MIT
"""captured.journal: entries as the journal's native protocol has them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureBusyError
from captured import log
from captured.journal import Journal, entry
from captured.server.peer import Peer
from captured.throttle import BURST, Throttle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_ID = "37b7868e795f5aeaae31b5525082d7bb"
LONGER_THAN_A_DATAGRAM = 1 << 20


class Reader:
    """The journal's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def read(self) -> list[dict[str, str]]:
        """Take every entry that is there, of fields without line breaks."""
        found: list[dict[str, str]] = []
        while True:
            try:
                raw = self.socket.recv(1 << 16).decode()
            except BlockingIOError:
                return found
            found.append(dict(line.split("=", 1) for line in raw.splitlines()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    made = Reader(path)
    yield made
    made.socket.close()


@pytest.fixture
def logged(reader: Reader, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """The daemon's log, as under systemd."""
    found = os.fstat(2)
    monkeypatch.setattr(log, "Journal", lambda: Journal(str(path)))
    monkeypatch.setattr(log, "_throttle", Throttle())
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    log.begin("info")
    yield reader
    monkeypatch.delenv("JOURNAL_STREAM")
    log.begin("info")


# -- the protocol -----------------------------------------------------------------------------


def test_an_entry_is_one_field_a_line() -> None:
    assert entry(4, "no place", {"uid": 1000}) == (
        b"MESSAGE=no place\nPRIORITY=4\nSYSLOG_IDENTIFIER=captured\nCAPTURED_UID=1000\n"
    )


def test_a_value_with_a_line_break_has_its_length_in_front() -> None:
    raw = entry(3, "one\ntwo", {})
    assert raw.startswith(b"MESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\nPRIORITY=3\n")


def test_a_client_cannot_smuggle_a_field_in() -> None:
    raw = entry(6, "x", {"client": "me\nMESSAGE=forged"})
    assert b"\nMESSAGE=forged" not in raw.replace(b"me\nMESSAGE=forged", b"")
    assert b"CAPTURED_CLIENT\n\x11\0\0\0\0\0\0\0me\nMESSAGE=forged\n" in raw


def test_a_code_brings_its_message_id() -> None:
    raw = entry(4, "x", {"code": "busy"})
    assert f"MESSAGE_ID={BUSY_ID}\n".encode() in raw
    assert b"CAPTURED_CODE=busy\n" in raw


def test_an_entry_is_not_in_a_journal_that_is_not_there(path: Path) -> None:
    way = Journal(str(path))
    assert not way.send(6, "x", {})
    way.close()


def test_a_journal_that_was_started_again_gets_the_next_entry(reader: Reader, path: Path) -> None:
    way = Journal(str(path))
    reader.socket.close()
    assert not way.send(6, "lost", {})
    path.unlink()
    again = Reader(path)
    assert way.send(6, "found", {})
    assert [said["MESSAGE"] for said in again.read()] == ["found"]
    again.socket.close()
    way.close()


def test_an_entry_that_is_too_long_is_not_in_the_journal(reader: Reader, path: Path) -> None:
    way = Journal(str(path))
    assert not way.send(6, "x" * LONGER_THAN_A_DATAGRAM, {})
    way.close()


def test_a_full_journal_does_not_hold_the_daemon_up(reader: Reader, path: Path) -> None:
    way = Journal(str(path))
    assert all(way.send(6, "x", {}) for _ in range(2000))
    way.close()


# -- the log ----------------------------------------------------------------------------------


def test_the_log_tells_the_journal_what_its_parts_know_of_themselves(logged: Reader) -> None:
    error = CaptureBusyError("taken", "wait")
    log.warning("%s: %s", Peer(4711, 1000, 100), error, output="DP-1", sequence=7)
    assert logged.read() == [
        {
            "MESSAGE": "pid 4711 uid 1000: taken: wait",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "captured",
            "MESSAGE_ID": BUSY_ID,
            "CAPTURED_PID": "4711",
            "CAPTURED_UID": "1000",
            "CAPTURED_CODE": "busy",
            "CAPTURED_OUTPUT": "DP-1",
            "CAPTURED_SEQUENCE": "7",
        }
    ]


def test_what_the_journal_does_not_take_goes_to_standard_error(
    logged: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("x" * LONGER_THAN_A_DATAGRAM)
    assert capsys.readouterr().err == "<6>" + "x" * LONGER_THAN_A_DATAGRAM + "\n"


class Counted(Peer):
    """A user that counts how often it is put into a line."""

    said = 0

    def __str__(self) -> str:
        Counted.said += 1
        return super().__str__()


def test_a_line_that_is_held_back_is_not_even_put_together(logged: Reader) -> None:
    peer = Counted(4711, 1002, 100)
    for _ in range(BURST + 5):
        log.info("%s left", peer)
        logged.read()
    assert Counted.said == BURST


def test_a_user_cannot_flood_the_log(logged: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    users: list[str] = []
    for uid in [*[1000] * (BURST + 5), 1001]:
        log.info("%s left", Peer(4711, uid, 100))
        users += [e["CAPTURED_UID"] for e in logged.read()]  # the kernel queues ten
    assert users == ["1000"] * BURST + ["1001"]
    monkeypatch.setattr(log._throttle, "_now", lambda: float("inf"))
    log.info("later")
    told, later = (e["MESSAGE"] for e in logged.read())
    assert told == "suppressed 5 more of user 1000 in 10 s: pid 4711 uid 1000 left"
    assert later == "later"
