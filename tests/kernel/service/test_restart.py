# SPDX-License-Identifier: MIT
"""Restart without a trace: what clients, the kernel and the display notice of it is a gap."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import capturectl as library
from tests.support import kernel
from tests.support.processes import PROJECT, program, wait_until
from tests.support.service import (
    INSIDE,
    SETTINGS,
    SOCKET,
    drop_in,
    run,
    settle,
    systemctl,
    take_back,
)
from tests.support.units import (
    DAEMON,
    Crowd,
    KernelLog,
    Seen,
    Service,
    Watcher,
    frames_between,
    journal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.processes import SceneProcess

CLIENTS = 8
KILLS = 20
HOLDER = """
import sys, capturectl
client = capturectl.connect(sys.argv[1])
stream = client.stream(credits=1, timeout=20)
frame = next(stream)
print("holds", flush=True)
sys.stdin.readline()
frame.release()
print("released", flush=True)
next(stream)
print("revoked:", client.statistics().revoked, flush=True)
"""
"""A client that releases its only frame when it is told to, and wants another."""
MANY = 768
"""Clients, as many as one user gets."""
VANISHING = """
import os, socket, sys
held = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(int(sys.argv[2]))]
for one in held:
    one.connect(sys.argv[1])
os._exit(0)
"""
"""Clients of one process that come, and leave all at once."""


@pytest.fixture
def service(installed: None) -> Iterator[Service]:
    units = Service()
    units.install("--linger", "60")
    yield units
    sys.stdout.write(journal())  # shown when the test failed
    units.remove()


@pytest.fixture
def watchers() -> Iterator[Callable[..., list[Watcher]]]:
    """Start clients that stream; frames come to all of them."""
    running: list[Watcher] = []

    def start(count: int, *arguments: str) -> list[Watcher]:
        for _ in range(count):
            running.append(Watcher(*arguments))
            running[-1].begun()  # one after the other: the guest has one CPU
        return running[-count:]

    yield start
    for watcher in running:
        watcher.__exit__(None, None, None)


@pytest.fixture
def wrong_settings() -> Iterator[Callable[[], None]]:
    """Make the settings of the next daemon wrong."""
    yield lambda: settle("bufers = 3\n")
    SETTINGS.unlink(missing_ok=True)
    systemctl("reset-failed", is_checked=False)


@pytest.fixture
def no_second_start(service: Service) -> Iterator[None]:
    """Let systemd give the service up when it ends."""
    drop_in("unit", "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=1\n")
    yield
    take_back("unit")
    systemctl("reset-failed", is_checked=False)


def kill(service: Service) -> None:
    os.kill(service.pid, signal.SIGKILL)


def restart(service: Service) -> None:
    systemctl("restart", "captured.service")


def vanish() -> None:
    """Let as many clients come and go as a user of the group can have."""
    words = ("/usr/bin/python3", "-IS", "-c", VANISHING, SOCKET, MANY)
    run("runuser", "-u", INSIDE, "--", *words, cwd="/tmp")


def hang(service: Service) -> None:
    os.kill(service.pid, signal.SIGSTOP)


def assert_shows_the_gap(frames: list[dict[str, Any]]) -> None:
    """The sequence goes on, and has grown by at least what was missed.

    A client that is slow goes without frames too, which nobody has missed.
    """
    sequences = [frame["sequence"] for frame in frames]
    assert sequences == sorted(set(sequences))
    before, after = max(pairwise(frames), key=lambda pair: pair[1]["missed"] - pair[0]["missed"])
    missed = after["missed"] - before["missed"]
    assert after["sequence"] - before["sequence"] > missed
    assert missed >= frames_between(before, after) / 2


def assert_went_on(seen: Seen) -> None:
    """A client that did not connect again saw the gap, and nothing else."""
    assert seen.error is None
    assert seen.statistics["reconnected"] == 0
    assert_shows_the_gap(seen.frames)


def assert_no_picture_is_stale(seen: Seen, before: int, after: int) -> None:
    """Before the gap all pictures show one number, after it all show the other."""
    stamps = [frame["stamps"] for frame in seen.frames if frame["stamps"]]
    assert stamps == sorted(stamps)
    assert [before] in stamps
    assert [after] in stamps
    assert all(one in ([before], [after]) for one in stamps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", [pytest.param(kill, id="kill -9"), pytest.param(restart, id="systemctl restart")]
)
def test_eight_streams_go_on_through_the_end_of_the_daemon(
    service: Service,
    scene: SceneProcess,
    watchers: Callable[..., list[Watcher]],
    end: Callable[[Service], None],
) -> None:
    (watcher,) = watchers(1)
    with Crowd(CLIENTS - 1) as crowd:
        crowd.begun()
        buffers, planes, pid = kernel.framebuffer_ids(), kernel.plane_state(), service.pid
        with KernelLog() as log:
            end(service)
            watcher.saw_gap()
            crowd.saw_gap()
            assert service.pid != pid
            assert kernel.framebuffer_ids() == buffers
            assert log.modesets() == []
        seen, others = watcher.finish(), crowd.finish()
    assert kernel.plane_state() == planes
    assert seen.error is None
    assert seen.statistics["reconnected"] == 0
    for frames in (seen.frames, *others):
        assert_shows_the_gap(frames)


@pytest.mark.slow
def test_a_modeset_would_have_been_seen(service: Service, scene: SceneProcess) -> None:
    with KernelLog() as log:
        with library.connect(str(SOCKET), timeout=20) as client:
            client.snapshot().release()
        assert log.modesets() != [], "attaching is one"


@pytest.mark.slow
def test_no_picture_is_announced_that_was_not_written(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    scene.tell("frame", 1)
    (watcher,) = watchers(1, "look")
    pid = service.pid
    os.kill(pid, signal.SIGKILL)
    scene.tell("frame", 2)
    watcher.saw_gap()
    assert_no_picture_is_stale(watcher.finish(), 1, 2)


@pytest.mark.slow
def test_a_loop_that_hangs_is_ended_by_the_watchdog_and_the_next_goes_on(
    scene: SceneProcess, watchers: Callable[..., list[Watcher]], service: Service
) -> None:
    service.install("--linger", "60", WatchdogSec="1")
    (watcher,) = watchers(1)
    pid = service.pid
    hang(service)
    watcher.saw_gap()
    assert service.pid != pid
    assert_went_on(watcher.finish())
    assert "Watchdog timeout" in journal()


@pytest.mark.slow
def test_twenty_kills_in_a_row_leave_nothing(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    (watcher,) = watchers(1)
    kill(service)
    watcher.saw_gap()
    before = kernel.framebuffer_ids(), kernel.dmabuf_count()
    descriptors = service.fd_count()
    for _ in range(KILLS - 1):
        kill(service)
        watcher.saw_gap()
    assert (kernel.framebuffer_ids(), kernel.dmabuf_count()) == before
    # A fence more or less: captures go on.
    wait_until(lambda: service.fd_count() <= descriptors, "the descriptors are as many")
    wait_until(lambda: service.stored() == 3, "state, card and client are kept, each once")
    seen = watcher.finish()
    assert_went_on(seen)
    assert seen.frames[-1]["sequence"] > KILLS


@pytest.mark.slow
def test_a_client_that_is_killed_while_there_is_no_daemon_is_given_up(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    stays, goes = watchers(2)
    service.set_restart_delay(1.0)
    kill(service)
    goes.popen.kill()
    goes.popen.wait()
    stays.saw_gap()
    wait_until(lambda: ", 1 clients, " in service.show("StatusText"), "one client is left")
    wait_until(lambda: service.stored() == 3, "state, card and one client are kept")
    assert_went_on(stays.finish())


@pytest.mark.slow
def test_a_restart_succeeds_right_after_many_clients_have_vanished(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    (watcher,) = watchers(1)
    vanish()
    restart(service)
    watcher.saw_gap()
    assert_went_on(watcher.finish())
    wait_until(lambda: service.stored() == 2, "state and card are kept, and no client")
    assert journal().count("does not hear") <= 1


@pytest.mark.slow
def test_the_manager_keeps_nothing_of_many_clients_that_have_vanished(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    watchers(1)
    vanish()
    wait_until(lambda: ", 1 clients, " in service.show("StatusText"), "one client is left")
    wait_until(lambda: service.stored() == 3, "state, card and one client are kept")


@pytest.mark.slow
def test_a_release_while_there_is_no_daemon_is_heard_by_the_next(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    (watcher,) = watchers(1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(SOCKET)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
    ) as holder:  # fmt: skip
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        service.set_restart_delay(1.0)
        kill(service)
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "released\n"
        assert holder.stdout.readline() == "revoked: 0\n"
        watcher.saw_gap()
    assert_went_on(watcher.finish())


@pytest.mark.slow
def test_a_snapshot_in_flight_comes_after_all(service: Service, scene: SceneProcess) -> None:
    service.start()
    service.set_restart_delay(1.0)
    with library.connect(str(SOCKET)) as client:
        client.snapshot().release()  # attached, and lingering
        client.refresh()  # the end of that subscription was told before this is answered
        kill(service)
        scene.tell("frame", 9)
        with client.snapshot(timeout=20) as frame:
            assert frame.sequence > 1
        assert client.statistics().reconnected == 0


@pytest.mark.slow
def test_a_stop_leaves_the_display_as_it_was_found_and_says_goodbye(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    before = kernel.framebuffer_ids(), kernel.plane_state()
    (watcher,) = watchers(1)
    systemctl("stop", "captured.service")
    assert not kernel.is_attached()
    assert (kernel.framebuffer_ids(), kernel.plane_state()) == before
    assert service.stored() == 0
    assert "the daemon is stopping" in str(watcher.wait_for_error())


@pytest.fixture
def no_bus() -> Iterator[None]:
    """There is no system bus."""
    units = "dbus.socket", "dbus.service"
    systemctl("mask", "--runtime", "--now", *units)
    yield
    systemctl("unmask", "--runtime", *units)
    systemctl("start", *units)


@pytest.mark.slow
def test_a_restart_without_the_bus_is_a_stop_and_says_why(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]], no_bus: None
) -> None:
    (watcher,) = watchers(1)
    restart(service)
    assert "the daemon is stopping" in str(watcher.wait_for_error())
    assert "cannot be asked, so it is: systemctl ended with 1: Failed to connect" in journal()


@pytest.mark.slow
def test_the_display_that_a_former_daemon_lit_is_put_out_by_the_one_that_stops(
    service: Service, watchers: Callable[..., list[Watcher]]
) -> None:
    service.install("--linger", "60", "--modeset", "640x480")
    (watcher,) = watchers(1)
    kill(service)
    watcher.saw_gap()
    assert kernel.is_active()
    systemctl("stop", "captured.service")
    assert not kernel.is_active()
    assert not kernel.is_attached()
    assert kernel.framebuffer_ids() == []


def is_begun(service: Service, killed: int) -> bool:
    return service.pid not in {0, killed}


def is_python(service: Service, killed: int) -> bool:
    with contextlib.suppress(OSError):  # it came and went
        return is_begun(service, killed) and "python" in str(
            Path(f"/proc/{service.pid}/exe").readlink()
        )
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(lambda *_: True, id="none yet"),
        pytest.param(is_begun, id="not yet Python"),
        pytest.param(is_python, id="Python"),
    ],
)
def test_a_stop_while_the_next_daemon_starts_gives_the_display_back(
    service: Service,
    watchers: Callable[..., list[Watcher]],
    moment: Callable[[Service, int], bool],
) -> None:
    service.install("--linger", "60", "--modeset", "640x480")
    watchers(1)
    killed = service.pid
    kill(service)
    wait_until(lambda: moment(service, killed), "the moment has come")
    systemctl("stop", "captured.socket", "captured.service")
    assert not kernel.is_attached()
    assert not kernel.is_active()
    assert kernel.framebuffer_ids() == []


def blocks_sigterm(service: Service, killed: int) -> bool:
    with contextlib.suppress(OSError):  # it came and went
        status = Path(f"/proc/{service.pid}/status").read_text()
        blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
        return is_python(service, killed) and bool(blocked >> signal.SIGTERM - 1 & 1)
    return False


@pytest.mark.slow
def test_a_daemon_that_is_stopped_before_its_loop_runs_ends_as_any_other(
    service: Service, watchers: Callable[..., list[Watcher]]
) -> None:
    service.install("--linger", "60", "--modeset", "640x480")
    (watcher,) = watchers(1)
    killed = service.pid
    kill(service)
    wait_until(lambda: blocks_sigterm(service, killed), "its launcher has begun")
    systemctl("stop", "captured.service")
    assert not kernel.is_attached()
    assert not kernel.is_active()
    assert "the daemon is stopping" in str(watcher.wait_for_error())


@pytest.mark.slow
def test_what_gives_a_display_back_takes_none_from_a_daemon_that_captures(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    (watcher,) = watchers(1)
    with KernelLog() as log:
        run("runuser", "-u", "captured", "--", DAEMON, "--give-back", cwd="/tmp")
        assert log.modesets() == []
    assert kernel.is_attached()
    with library.connect(str(SOCKET), timeout=20) as client:
        client.snapshot().release()
    seen = watcher.finish()
    assert (seen.error, seen.statistics["reconnected"]) == (None, 0)


@pytest.mark.slow
def test_a_restart_of_the_socket_leaves_the_display_to_the_next_daemon(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    (watcher,) = watchers(1)
    buffers, pid = kernel.framebuffer_ids(), service.pid
    with KernelLog() as log:
        systemctl("restart", "captured.socket")
        watcher.saw_gap()
        assert service.pid != pid
        assert kernel.framebuffer_ids() == buffers
        assert log.modesets() == []
    assert_went_on(watcher.finish())


@pytest.mark.slow
def test_a_service_that_systemd_gives_up_leaves_the_display_as_it_was_found(
    service: Service, watchers: Callable[..., list[Watcher]], no_second_start: None
) -> None:
    service.install("--linger", "60", "--modeset", "640x480")
    watchers(1)
    kill(service)
    wait_until(lambda: service.show("ActiveState") == "failed", "it is given up")
    wait_until(lambda: not kernel.is_attached(), "the connector is taken off")
    wait_until(lambda: not kernel.is_active(), "the display is put out")


@pytest.mark.slow
def test_a_restart_with_wrong_settings_says_goodbye_and_gives_the_display_back(
    service: Service, watchers: Callable[..., list[Watcher]], wrong_settings: Callable[[], None]
) -> None:
    service.install("--linger", "60", "--modeset", "640x480")
    (watcher,) = watchers(1)
    wrong_settings()
    systemctl("restart", "captured.service", is_checked=False)
    assert "the daemon is stopping" in str(watcher.wait_for_error())
    wait_until(lambda: service.show("ActiveState") == "failed", "it gives up")
    assert service.show("ExecMainStatus") == "2"
    assert "there is no setting bufers" in journal()
    assert not kernel.is_attached()
    assert not kernel.is_active()
    assert kernel.framebuffer_ids() == []


@pytest.mark.slow
def test_a_daemon_without_any_privilege_goes_on_as_well_and_can_attach_again(
    service: Service, scene: SceneProcess, watchers: Callable[..., list[Watcher]]
) -> None:
    service.install("--linger", "0")
    (watcher,) = watchers(1)
    buffers = kernel.framebuffer_ids()
    for end in (restart, kill):
        end(service)
        watcher.saw_gap()
        assert kernel.framebuffer_ids() == buffers
    assert_went_on(watcher.finish())
    wait_until(lambda: not kernel.is_attached(), "it has let go of the display")
    with library.connect(str(SOCKET)) as client:
        client.snapshot(timeout=10).release()


@pytest.mark.slow
def test_a_detached_daemon_keeps_no_card(service: Service, scene: SceneProcess) -> None:
    service.install("--linger", "0")
    with library.connect(str(SOCKET), timeout=20) as client:
        client.snapshot().release()
        wait_until(lambda: not kernel.is_attached(), "it has let go of the display")
        wait_until(lambda: service.stored() == 2, "state and client are kept")
        assert "python" not in kernel.master_names()


def seconds(*words: str) -> float:
    begin = time.monotonic()
    subprocess.run(words, check=True, cwd=PROJECT, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


@pytest.mark.slow
def test_the_first_client_of_a_stopped_service_is_served(
    service: Service, scene: SceneProcess, tmp_path: Path
) -> None:
    snapshot = [program("capturectl"), "-S", str(SOCKET), "snapshot", str(tmp_path / "a.ppm")]
    seconds(*snapshot)  # the guest has read no file of either program before

    def activated_s() -> float:
        service.stop()
        assert service.pid == 0
        return seconds(*snapshot)

    def running_s() -> float:
        service.stop()
        service.start()
        return seconds(*snapshot)

    # Whatever else the machine does only adds to it, so the shortest is what it takes.
    activated, running = (min(once() for _ in range(3)) for once in (activated_s, running_s))
    interpreter = seconds(sys.executable, "-I", "-S", "-c", "pass")
    sys.stderr.write(
        f"first frame: {activated:.3f} s activated, {running:.3f} s running, "
        f"interpreter {interpreter:.3f} s\n"
    )
    assert activated <= 3 * running + interpreter
