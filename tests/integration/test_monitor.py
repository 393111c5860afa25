# SPDX-License-Identifier: MIT
"""capturectl monitor as a process: in time, in pipes, and over restarts of the daemon."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

import capturectl as library
from tests.support.processes import DaemonProcess, Process, capturectl, program, wait_until
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

GEOMETRY = "640x480@60"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sock"


@pytest.fixture
def daemon(path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(path, "--pattern", GEOMETRY) as process:
        yield process


class Monitor(Process):
    """The command, and what it prints line by line."""

    def __init__(self, socket: Path, *words: str) -> None:
        super().__init__([program("capturectl"), "monitor", "-S", str(socket), *words])

    def next(self) -> dict[str, Any]:
        """Return the next line; waits for it."""
        assert self.popen.stdout is not None
        line: dict[str, Any] = json.loads(self.popen.stdout.readline())
        return line

    def next_kind(self) -> str:
        kind: str = self.next()["kind"]
        return kind


def test_what_happens_is_printed_at_once(daemon: DaemonProcess, path: Path) -> None:
    with Monitor(path) as monitor:
        assert monitor.next_kind() == "daemon-startup"
        with library.connect(str(path), name="visitor") as client:
            assert monitor.next()["client"] == {
                "client": 2,
                "name": "visitor",
                "pid": os.getpid(),
                "uid": os.getuid(),
            }
            client.snapshot().release()
            heard = [monitor.next() for _ in range(3)]
        assert {event["kind"] for event in heard} == {"attached", "subscribed", "unsubscribed"}
        assert {event["output"] for event in heard} == {"Pattern-1"}
        assert monitor.next_kind() == "client-left"


def test_ctrl_c_exits_130_without_a_word(daemon: DaemonProcess, path: Path) -> None:
    with Monitor(path) as monitor:
        monitor.next()
        assert (monitor.end(signal.SIGINT), monitor.log()) == (130, "")


def test_ctrl_c_in_a_terminal_ends_the_line(daemon: DaemonProcess, path: Path) -> None:
    with Terminal(program("capturectl"), "monitor", socket=path) as terminal:
        wait_until(lambda: "daemon-startup" in terminal.text, "it listens")
        terminal.press("\x03")
        assert (terminal.end(), "Traceback" in terminal.text) == (130, False)


def test_a_reader_that_leaves_ends_it_quietly(daemon: DaemonProcess, path: Path) -> None:
    with Monitor(path) as monitor:
        monitor.next()
        assert monitor.popen.stdout is not None
        monitor.popen.stdout.close()
        library.connect(str(path)).close()
        assert (monitor.popen.wait(10), monitor.log()) == (0, "")


def test_a_reader_that_leaves_ends_it_though_nothing_happens(
    daemon: DaemonProcess, path: Path
) -> None:
    with Monitor(path) as monitor:
        monitor.next()
        assert monitor.popen.stdout is not None
        monitor.popen.stdout.close()
        assert (monitor.popen.wait(10), monitor.log()) == (0, "")


def test_a_daemon_that_is_not_there_yet_is_waited_for(path: Path) -> None:
    with Monitor(path, "--wait") as monitor, DaemonProcess(path, "--pattern", GEOMETRY):
        assert monitor.next_kind() == "daemon-startup"


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (signal.SIGTERM, "daemon-shutdown", "the daemon is stopping"),
        (signal.SIGKILL, "connection-lost", "the daemon hung up"),
    ],
)
def test_it_goes_on_with_the_next_daemon(
    path: Path, number: signal.Signals, kind: str, reason: str
) -> None:
    with Monitor(path, "--wait", "--reconnect") as monitor:
        with DaemonProcess(path, "--pattern", GEOMETRY) as first:
            assert monitor.next_kind() == "daemon-startup"
            first.popen.send_signal(number)
            gone = monitor.next()
            assert (gone["kind"], gone["error"]["reason"]) == (kind, reason)
        with DaemonProcess(path, "--pattern", GEOMETRY):
            assert monitor.next_kind() == "daemon-startup"
            library.connect(str(path)).close()
            assert monitor.next_kind() == "client-connected"
            assert (monitor.end(signal.SIGINT), monitor.log()) == (130, "")


def test_without_reconnect_it_ends_with_the_daemon(daemon: DaemonProcess, path: Path) -> None:
    with Monitor(path) as monitor:
        monitor.next()
        daemon.end()
        assert monitor.next_kind() == "daemon-shutdown"
        assert monitor.popen.wait(10) == 1


def test_who_is_disconnected_by_hand_does_not_come_back(daemon: DaemonProcess, path: Path) -> None:
    with Monitor(path, "--reconnect") as monitor:
        monitor.next()
        with library.connect(str(path)) as client:
            (number,) = {
                row.status.client for row in client.clients() if row.status.pid == monitor.pid
            }
            done = capturectl("clients", "disconnect", str(number), socket=path)
        assert (done.returncode, monitor.popen.wait(10)) == (0, 1)
        assert "disconnected by" in monitor.log()


def test_no_other_client_of_that_number_exits_4(daemon: DaemonProcess, path: Path) -> None:
    done = capturectl("clients", "disconnect", "4711", "--json", socket=path)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (4, "no-client")
