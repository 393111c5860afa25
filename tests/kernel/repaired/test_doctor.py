# SPDX-License-Identifier: MIT
"""The doctor on a card that can be captured: what it finds, and that it leaves no trace."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from tests.support import kernel
from tests.support.diagnosis import NOBODY, diagnose
from tests.support.processes import DaemonProcess, SceneProcess, capturectl, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTINGS = Path("/etc/captured/captured.toml")
HOST_NAME = Path("/proc/sys/kernel/hostname")
NO_SYSTEMD = {"unit": "skip"}


def stream(daemon: DaemonProcess, frames: int = 120) -> None:
    """Let the daemon capture, so that it has something to tell."""
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=20) as frames_of:
        for number, _ in enumerate(frames_of, 1):
            if number == frames:
                return


@pytest.fixture
def open_socket() -> Iterator[Path]:
    """A socket in a directory that everybody can enter, as /run/captured is."""
    directory = Path("/run/captured")
    directory.mkdir(mode=0o755, exist_ok=True)
    yield directory / "captured.sock"
    (directory / "captured.sock").unlink(missing_ok=True)


@pytest.fixture
def settings() -> Iterator[Path]:
    """The daemon's settings, gone again after the test."""
    SETTINGS.parent.mkdir(exist_ok=True)
    yield SETTINGS
    SETTINGS.unlink(missing_ok=True)


# -- all is well ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_healthy_system_passes_attached_and_idle(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    daemon = start("--linger", "60")
    stream(daemon)
    assert kernel.is_attached()
    attached = diagnose(daemon.socket)
    assert (attached.status, attached.others()) == (0, NO_SYSTEMD)
    daemon.end()
    stream(start("--linger", "0"))
    wait_until(lambda: not kernel.is_attached(), "detached")
    idle = diagnose(daemon.socket)
    assert (idle.status, idle.others()) == (0, NO_SYSTEMD)
    assert idle.said["summary"] == (
        "This machine can be captured: Virtual-1 through Writeback-1 of /dev/dri/card0."
    )


@pytest.mark.slow
def test_before_anything_was_captured_a_driver_of_this_name_may_lose_captures(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    found = diagnose(daemon.socket)
    assert (found.status, found.others()) == (
        0,
        NO_SYSTEMD | {"losses": "warn", "latency": "skip"},
    )


@pytest.mark.slow
def test_measure_says_what_it_does_and_has_losses_and_latency_to_tell(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    done = capturectl("doctor", "--measure", socket=daemon.socket)
    assert done.returncode == 0
    assert done.stderr == "capturing 100 pictures of Virtual-1; it may flicker\n"
    assert "PASS losses" in done.stdout
    assert "PASS latency      Virtual-1: a capture takes " in done.stdout


@pytest.mark.slow
def test_a_daemon_beside_a_master_is_well(start: Callable[..., DaemonProcess]) -> None:
    with SceneProcess("640x480@60", "--keep-master") as owner:
        daemon = start("--share", f"{owner.pid}:{owner.tell('hold')['fd']}")
        stream(daemon)
        found = diagnose(daemon.socket)
    assert (found.status, found.others()) == (0, NO_SYSTEMD)


# -- the doctor is no surgeon -----------------------------------------------------------------


@pytest.mark.slow
def test_a_look_changes_nothing(daemon: DaemonProcess, scene: SceneProcess) -> None:
    planes, number = kernel.plane_state(), kernel.next_object_id()
    diagnose(daemon.socket)
    assert kernel.plane_state() == planes
    assert kernel.next_object_id() == number
    assert not kernel.is_attached()
    assert kernel.master_names() == []
    assert "attached" not in daemon.log()


@pytest.mark.slow
def test_a_stream_goes_on_while_the_doctor_looks(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=20) as frames:
        next(frames)
        assert diagnose(daemon.socket).status == 0
        next(frames)
        assert client.engines()["Virtual-1"].attached == 1


# -- what is in the way -----------------------------------------------------------------------


@pytest.mark.slow
def test_without_a_socket_nobody_is_reachable(socket: Path, scene: SceneProcess) -> None:
    found = diagnose(socket)
    assert (found.status, found.cause) == (3, ("socket", "unreachable"))
    assert found.reason == f"there is no socket {socket}"


@pytest.mark.slow
def test_a_killed_daemons_socket_and_attachment_are_seen(
    daemon: DaemonProcess, scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    stream(daemon, 1)
    daemon.end(signal.SIGKILL)
    found = diagnose(daemon.socket)
    assert (found.status, found.cause) == (3, ("daemon", "unreachable"))
    assert found.others()["writeback"] == "warn"
    start()  # takes it off


@pytest.mark.slow
def test_a_dark_display_is_the_cause(daemon: DaemonProcess, scene: SceneProcess) -> None:
    scene.tell("off")
    found = diagnose(daemon.socket)
    assert (found.status, found.cause) == (5, ("display", "output-off"))
    assert found.reason == "Virtual-1 is off: crtc-0 is not active"
    assert list(found.others().values()).count("fail") == 1


@pytest.mark.slow
def test_another_master_is_named(start: Callable[..., DaemonProcess]) -> None:
    with SceneProcess("640x480@60", "--keep-master") as owner:
        found = diagnose(start().socket)
    assert (found.status, found.cause) == (1, ("master", "another-master"))
    assert found.reason == f"python (pid {owner.pid}) is master of /dev/dri/card0"
    assert f"--share {owner.pid}:" in found.said["error"]["hint"]
    assert list(found.others().values()).count("fail") == 1


@pytest.mark.slow
def test_the_descriptor_that_it_names_for_share_is_one(
    start: Callable[..., DaemonProcess],
) -> None:
    with SceneProcess("640x480@60", "--keep-master") as owner:
        hint = diagnose(Path("/run/none.sock")).said["error"]["hint"]
        daemon = start("--share", hint.split("--share ")[1])
        stream(daemon, 1)
        assert kernel.master_names() == ["python"]
        owner.tell("hold")


@pytest.mark.slow
def test_nobody_may_not_open_the_card(socket: Path, scene: SceneProcess) -> None:
    found = diagnose(socket, **NOBODY)
    assert (found.status, found.cause) == (7, ("permission", "not-allowed"))
    assert found.reason == "user nobody may not open /dev/dri/card0 (root:root 0600)"


@pytest.mark.slow
def test_nobody_may_not_connect(open_socket: Path, scene: SceneProcess) -> None:
    with DaemonProcess(open_socket):
        found = diagnose(open_socket, **NOBODY)
    assert (found.status, found.cause) == (7, ("membership", "not-allowed"))


@pytest.mark.slow
def test_a_user_who_may_open_the_card_sees_as_much_as_root(
    open_socket: Path, scene: SceneProcess
) -> None:
    os.chown("/dev/dri/card0", 0, 65534)
    Path("/dev/dri/card0").chmod(0o660)
    try:
        found = diagnose(open_socket, **NOBODY)
    finally:
        os.chown("/dev/dri/card0", 0, 0)
        Path("/dev/dri/card0").chmod(0o600)
    assert "test" not in found.others(), "the driver was asked: the first opener is master"
    assert found.cause == ("membership", "not-allowed")


@pytest.mark.slow
def test_a_user_is_told_of_another_master_too(scene: SceneProcess, socket: Path) -> None:
    scene.tell("master")
    Path("/dev/dri/card0").chmod(0o666)
    try:
        found = diagnose(socket, **NOBODY)
    finally:
        Path("/dev/dri/card0").chmod(0o600)
        scene.tell("drop")
    assert found.cause == ("master", "another-master")


@pytest.mark.slow
def test_a_group_that_does_not_exist_is_the_cause(
    settings: Path, socket: Path, scene: SceneProcess
) -> None:
    settings.write_text('group = "nosuchgroup"\n')
    found = diagnose(socket)
    assert (found.status, found.cause) == (1, ("group", "no-group"))
    assert found.reason == "the group nosuchgroup does not exist"
    assert list(found.others().values()).count("fail") == 1


@pytest.mark.slow
def test_settings_that_the_daemon_would_not_take_are_the_cause(
    settings: Path, socket: Path, scene: SceneProcess
) -> None:
    settings.write_text("buffers = 1\n")
    found = diagnose(socket)
    assert (found.status, found.cause) == (2, ("settings", "usage"))


# -- the report -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_report_has_the_kernels_lines_and_no_names(
    daemon: DaemonProcess, scene: SceneProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "somebody")
    before = HOST_NAME.read_text()
    HOST_NAME.write_text("secret-board")
    try:
        done = capturectl("doctor", "--report", "-", socket=daemon.socket)
    finally:
        HOST_NAME.write_text(before)
    assert done.returncode == 0
    assert "[drm] Initialized vkms" in done.stdout
    assert '"driver": "vkms"' in done.stdout
    assert "vm_job=REDACTED" in done.stdout
    assert "secret-board" not in done.stdout
    assert "somebody" not in done.stdout
