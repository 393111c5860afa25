# SPDX-License-Identifier: MIT
"""One daemon after the other, under a small service manager: what clients notice."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from capturectl import protocol
from tests.support.manager import Manager
from tests.support.processes import BareDaemon, Lost, bare_command, capturectl, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATTERN = ("--pattern", "640x480@60")


class MistakenDaemon(BareDaemon):
    """A daemon that makes a mistake when it hears SIGHUP, and does so soon after its start."""

    first = "import captured.reload; captured.reload.Reloader.reload = lambda self: 1 / 0"

    def _command(self) -> list[str]:
        return bare_command(self.first)


class LateMistakenDaemon(MistakenDaemon):
    """The same; it counts as having run for long."""

    first = f"{MistakenDaemon.first}; import captured.main; captured.main._PROVEN_NS = 0"


class DaemonThatCannotAsk(BareDaemon):
    """A daemon that makes a mistake when it is told to end, and counts as having run for long."""

    first = (
        "from captured import main; from captured.handover import stop; main._PROVEN_NS = 0; "
        "stop.StopQuestion.__init__ = lambda *_: 1 / 0"
    )

    def _command(self) -> list[str]:
        return bare_command(self.first)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.close()


def killed(daemon: BareDaemon) -> None:
    daemon.popen.kill()
    daemon.popen.wait()


@pytest.mark.slow
def test_the_socket_is_the_managers_and_stays(manager: Manager) -> None:
    inode = manager.path.stat().st_ino
    with manager.start(*PATTERN) as daemon:
        assert capturectl("list", socket=manager.path).returncode == 0
        daemon.end()
    assert manager.path.stat().st_ino == inode


@pytest.mark.slow
def test_a_client_that_connected_before_the_daemon_was_there_is_served(manager: Manager) -> None:
    done: list[int] = []
    waiting = threading.Thread(
        target=lambda: done.append(capturectl("list", socket=manager.path).returncode)
    )
    waiting.start()
    with manager.start(*PATTERN):
        waiting.join()
    assert done == [0]


@pytest.mark.slow
def test_the_manager_hears_when_all_is_ready_and_how_things_stand(manager: Manager) -> None:
    with manager.start(*PATTERN) as daemon:
        wait_until(lambda: "READY=1" in manager.hear(), "it is ready")
        with library.connect(str(manager.path)):
            expected = "STATUS=pattern 640x480@60, 1 clients, 0 missed"
            wait_until(lambda: expected in manager.hear(), "the client is counted")
        daemon.end()
        assert "STOPPING=1" in manager.hear()


@pytest.mark.slow
def test_the_watchdog_is_fed_while_the_loop_turns_and_not_while_it_hangs(manager: Manager) -> None:
    def count() -> int:
        return manager.hear().count("WATCHDOG=1")

    with manager.start(*PATTERN, WATCHDOG_USEC="100000") as daemon:
        wait_until(lambda: count() >= 3, "it speaks")
        daemon.popen.send_signal(signal.SIGSTOP)
        daemon.wait_for_state("T")
        before = count()
        with pytest.raises(TimeoutError):
            _wait_for_more(manager, 0.3)
        assert count() == before
        daemon.popen.send_signal(signal.SIGCONT)
        wait_until(lambda: count() > before, "it speaks again")


def _wait_for_more(manager: Manager, timeout: float) -> None:
    manager.notified.settimeout(timeout)
    try:
        manager.notified.recv(1)
    finally:
        manager.notified.settimeout(0)


@pytest.mark.slow
def test_a_stream_goes_on_with_the_next_daemon_and_shows_the_gap(manager: Manager) -> None:
    first = manager.start(*PATTERN)
    with first, library.connect(str(manager.path)) as client, client.stream(timeout=10) as stream:
        before = next(stream)
        sequence = before.sequence
        before.release()
        killed(first)
        with manager.start(*PATTERN):
            for frame in stream:
                if frame.buffer_id[0] == 2:  # of the next daemon's pool
                    break
            assert frame.sequence > sequence
            assert client.statistics().reconnected == 0


@pytest.mark.slow
def test_a_frame_limit_is_kept_over_the_end_of_a_daemon(manager: Manager) -> None:
    first = manager.start(*PATTERN)
    with first, library.connect(str(manager.path)) as client:
        output = client.output()
        client._talk.subscribe(output, protocol.Subscribe(0b111, 0, 0, 2, 3, 0))
        client._await_frame(output, time.monotonic() + 10).release()
        killed(first)
        with manager.start(*PATTERN):
            for _ in range(2):
                client._await_frame(output, time.monotonic() + 10).release()
            with pytest.raises(library.CaptureLostError, match="ended"):
                client._await_frame(output, time.monotonic() + 10)


@pytest.mark.slow
def test_what_a_client_asks_the_next_daemon_is_answered(manager: Manager) -> None:
    first = manager.start(*PATTERN)
    with first, library.connect(str(manager.path), name="asker") as client:
        killed(first)
        with manager.start(*PATTERN):
            (one,) = client.clients()
            assert one.status.name == "asker"
            assert one.status.pid == os.getpid()


@pytest.mark.slow
def test_a_client_that_died_meanwhile_is_forgotten(manager: Manager) -> None:
    first = manager.start(*PATTERN)
    with first, library.connect(str(manager.path)):
        wait_until(lambda: "client-1" in (manager.hear() and manager.store), "it is kept")
        killed(first)
    with manager.start(*PATTERN):
        wait_until(lambda: manager.hear() and list(manager.store) == ["state"], "it is forgotten")


@pytest.mark.slow
def test_a_stop_leaves_nothing_with_the_manager(manager: Manager) -> None:
    with manager.start(*PATTERN) as daemon, library.connect(str(manager.path)) as client:
        stream = client.stream()
        next(stream).release()
        daemon.end()
        with pytest.raises(library.CaptureLostError, match="stopping"):
            list(stream)
    manager.hear()
    assert manager.store == {}


@pytest.mark.slow
def test_a_start_with_wrong_settings_says_goodbye_where_nothing_was_attached(
    manager: Manager,
) -> None:
    first = manager.start(*PATTERN)
    with first, library.connect(str(manager.path)) as client, client.stream(timeout=10) as stream:
        next(stream).release()
        with library.connect(str(manager.path)) as idle:
            wait_until(lambda: "client-2" in (manager.hear() and manager.store), "both are kept")
            killed(first)
            with pytest.raises(Lost, match="captured ended with 2"):
                manager.start("--pattern", "1x1")
            with pytest.raises(library.CaptureLostError, match="stopping"):
                list(stream)
            with pytest.raises(library.CaptureLostError, match="stopping"):
                idle.clients()
    manager.hear()
    assert not any(name.startswith("client-") for name in manager.store)


@pytest.mark.slow
def test_a_mistake_in_the_loop_is_no_more_than_a_gap(manager: Manager) -> None:
    manager.kind = LateMistakenDaemon
    first = manager.start(*PATTERN)
    with first, library.connect(str(manager.path)) as client, client.stream(timeout=10) as stream:
        next(stream).release()
        assert first.end(signal.SIGHUP) == 1
        assert "ZeroDivisionError" in first.log()
        with manager.start(*PATTERN):
            assert any(frame.buffer_id[0] == 2 for frame in stream), "a frame of the next daemon"
            assert client.statistics().reconnected == 0


def assert_all_is_let_go(manager: Manager, number: signal.Signals) -> None:
    """A signal ends the daemon by a mistake: the client hears BYE, and nothing is kept."""
    with manager.start(*PATTERN) as daemon, library.connect(str(manager.path)) as client:
        stream = client.stream()
        next(stream).release()
        assert daemon.end(number) == 1
        assert "ended by a mistake; all is let go" in daemon.log()
        with pytest.raises(library.CaptureLostError, match="stopping"):
            list(stream)
    manager.hear()
    assert manager.store == {}


@pytest.mark.slow
def test_a_mistake_soon_after_the_start_leaves_nothing_to_make_it_again(manager: Manager) -> None:
    manager.kind = MistakenDaemon
    assert_all_is_let_go(manager, signal.SIGHUP)


@pytest.mark.slow
def test_a_mistake_while_ending_is_a_stop_for_clients_and_manager(manager: Manager) -> None:
    manager.kind = DaemonThatCannotAsk
    assert_all_is_let_go(manager, signal.SIGTERM)


@pytest.mark.slow
def test_a_state_that_ends_every_daemon_is_dropped(manager: Manager) -> None:
    first = manager.start(*PATTERN)
    with first, library.connect(str(manager.path)):
        wait_until(lambda: "client-1" in (manager.hear() and manager.store), "it is kept")
        killed(first)
        os.pwrite(manager.store["state"], b"\x07", 63)  # attempts so far
        with manager.start(*PATTERN) as second:
            assert "starting afresh" in second.log()
            assert set(manager.hear() and manager.store) == {"state"}
            assert capturectl("list", socket=manager.path).returncode == 0


@pytest.mark.slow
def test_what_is_stored_under_no_known_name_is_let_go(manager: Manager) -> None:
    manager.store["surprise"] = os.memfd_create("surprise")
    with manager.start(*PATTERN):
        assert "surprise" not in (manager.hear() and manager.store)
