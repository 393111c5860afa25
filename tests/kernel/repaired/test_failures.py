# SPDX-License-Identifier: MIT
"""Each thing that can be in the way has its own message and exit status."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import kernel
from tests.support.fds import open_fds
from tests.support.processes import (
    PROJECT,
    DaemonProcess,
    SceneProcess,
    capturectl,
    captured,
    program,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AS_NOBODY: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}


def test_another_master_is_named(start: Callable[..., DaemonProcess], tmp_path: Path) -> None:
    with SceneProcess("640x480@60", "--keep-master") as scene:
        daemon = start()
        done = capturectl("snapshot", str(tmp_path / "x.png"), socket=daemon.socket)
        assert done.returncode == 1
        assert "has another master" in done.stderr
        assert f"(pid {scene.pid})" in done.stderr
    assert list(tmp_path.glob("*.png")) == []


def test_an_output_that_is_off_has_exit_status_5(
    start: Callable[..., DaemonProcess], tmp_path: Path
) -> None:
    daemon = start()
    done = capturectl("snapshot", str(tmp_path / "x.png"), socket=daemon.socket)
    assert done.returncode == 5
    assert done.stderr == (
        "capturectl: Virtual-1 is off: crtc-0 is not active: "
        'switch the display on, or let the daemon do it: modeset = "preferred" in captured.toml, '
        "or --modeset preferred\n"
    )
    assert not (tmp_path / "x.png").exists()


def test_list_shows_an_output_that_is_off(start: Callable[..., DaemonProcess]) -> None:
    daemon = start()
    listed = json.loads(capturectl("list", "--json", socket=daemon.socket).stdout)
    (output,) = listed["outputs"]
    assert output["state"] == "off"
    assert output["error"]["code"] == "output-off"


def test_a_wrong_output_name_lists_the_right_ones(daemon: DaemonProcess) -> None:
    done = capturectl("snapshot", "-o", "HDMI-A-9", "x.png", socket=daemon.socket)
    assert done.returncode == 4
    assert done.stderr == "capturectl: there is no output HDMI-A-9: the daemon has Virtual-1\n"


def test_the_daemon_refuses_an_output_that_the_card_has_not(scene: SceneProcess) -> None:
    done = captured("--output", "HDMI-A-9")
    assert done.returncode == 4
    assert done.stderr == "captured: there is no output HDMI-A-9: the card has Virtual-1\n"


def test_a_format_that_the_connector_cannot_write_is_named_with_those_it_can(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    daemon = start("--format", "XB30")
    done = capturectl("snapshot", "x.png", socket=daemon.socket)
    assert done.returncode == 4
    assert "Writeback-1 cannot write XB30: it writes AR24, XR24, XR48, AR48, RG16" in done.stderr


def test_a_mode_that_the_display_lacks_is_named_with_those_it_has(
    start: Callable[..., DaemonProcess],
) -> None:
    daemon = start("--modeset", "641x481")
    done = capturectl("snapshot", "x.png", socket=daemon.socket)
    assert done.returncode == 4
    assert "Virtual-1 has no mode 641x481: it has 1024x768@60" in done.stderr


def test_no_permission_for_the_card_has_exit_status_7(scene: SceneProcess) -> None:
    Path(kernel.CARD).chmod(0o600)
    done = captured("--card", kernel.CARD, **AS_NOBODY)
    assert done.returncode == 7
    assert done.stderr.startswith(f"captured: {kernel.CARD}: permission denied: ")


def open_to_all(path: Path) -> None:
    for directory in (path, *path.parents[:2]):
        directory.chmod(0o777)


def test_an_ordinary_user_may_capture_when_nobody_is_master(
    scene: SceneProcess, tmp_path: Path
) -> None:
    Path(kernel.CARD).chmod(0o666)
    open_to_all(tmp_path)
    with DaemonProcess(tmp_path / "nobody.sock", **AS_NOBODY) as daemon:
        done = capturectl("snapshot", str(tmp_path / "x.png"), socket=daemon.socket)
    assert done.returncode == 0, done.stderr


def test_a_daemon_of_a_mere_user_waits_for_another_master_to_go(
    scene: SceneProcess, tmp_path: Path
) -> None:
    Path(kernel.CARD).chmod(0o666)
    open_to_all(tmp_path)
    scene.tell("master")
    with DaemonProcess(tmp_path / "nobody.sock", **AS_NOBODY) as daemon:
        # Kernel: only root, or whose file has been master before, may ask (drm_auth.c).
        before = capturectl("snapshot", str(tmp_path / "x.png"), socket=daemon.socket)
        scene.tell("drop")
        after = capturectl("snapshot", str(tmp_path / "x.png"), socket=daemon.socket)
    assert before.returncode == 1
    assert "has another master" in before.stderr
    assert after.returncode == 0


def test_no_socket_has_exit_status_3(tmp_path: Path) -> None:
    done = capturectl("list", "-S", str(tmp_path / "none"))
    assert done.returncode == 3
    assert done.stderr == (
        f"capturectl: there is no socket {tmp_path}/none: "
        "start captured, or name its socket with -S or $CAPTURECTL_SOCKET\n"
    )


def test_a_dead_socket_has_exit_status_3(daemon: DaemonProcess) -> None:
    daemon.end(9)
    done = capturectl("list", socket=daemon.socket)
    assert done.returncode == 3
    assert f"nobody answers on {daemon.socket}" in done.stderr


def test_a_socket_of_others_has_exit_status_7(daemon: DaemonProcess) -> None:
    open_to_all(daemon.socket.parent)
    done = capturectl("list", socket=daemon.socket, **AS_NOBODY)
    assert done.returncode == 7
    assert "permission denied" in done.stderr


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "full"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_leaves_no_file(daemon: DaemonProcess, full_disk: Path) -> None:
    file = full_disk / "glass.png"
    done = capturectl("snapshot", str(file), socket=daemon.socket)
    assert done.returncode == 1
    assert done.stderr == (
        f"capturectl: cannot write {file}: No space left on device: "
        "make room or choose another place\n"
    )
    assert list(full_disk.iterdir()) == []


def test_a_closed_standard_output_has_its_own_message(daemon: DaemonProcess) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = capturectl(
            "snapshot", "-", socket=daemon.socket, capture_output=False,
            stdout=closed, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "capturectl: standard output is closed: its reader has gone\n"


def test_a_full_device_on_standard_output_has_its_own_message(daemon: DaemonProcess) -> None:
    with Path("/dev/full").open("wb") as full:
        done = capturectl(
            "snapshot", "-", socket=daemon.socket, capture_output=False,
            stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert done.returncode == 1
    assert "cannot write standard output: No space left on device" in done.stderr


def test_a_second_daemon_on_the_socket_is_refused(daemon: DaemonProcess) -> None:
    done = captured("--socket", str(daemon.socket))
    assert done.returncode == 1
    assert f"another daemon answers on {daemon.socket}" in done.stderr
    assert capturectl("list", socket=daemon.socket).returncode == 0


def test_with_json_the_error_is_an_object_on_standard_output(daemon: DaemonProcess) -> None:
    done = capturectl("snapshot", "--json", "-o", "HDMI-A-9", "x.png", socket=daemon.socket)
    assert done.returncode == 4
    assert json.loads(done.stdout) == {
        "schema": "captured/1/error",
        "error": {
            "code": "no-output",
            "reason": "there is no output HDMI-A-9",
            "hint": "the daemon has Virtual-1",
        },
    }


def has_socket(pid: int) -> bool:
    """Whether a process has a socket open."""
    return any(target.startswith("socket:") for target in open_fds(pid).values())


def test_ctrl_c_has_exit_status_130_and_no_traceback(daemon: DaemonProcess) -> None:
    daemon.popen.send_signal(19)  # SIGSTOP: no frame will come
    with subprocess.Popen(
        [program("capturectl"), "snapshot", "-S", str(daemon.socket), "x.png"],
        stderr=subprocess.PIPE, text=True, cwd=PROJECT,
    ) as command:  # fmt: skip
        try:
            wait_until(lambda: has_socket(command.pid), "it asks the daemon")
            command.send_signal(2)
            _, errors = command.communicate(timeout=10)
        finally:
            daemon.popen.send_signal(18)
    assert command.returncode == 130
    assert errors == ""
