# SPDX-License-Identifier: MIT
"""A driver that does not let display and writeback share a CRTC."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.processes import DaemonProcess, SceneProcess, capturectl

if TYPE_CHECKING:
    from pathlib import Path

REASON = (
    "Writeback-1 may not share crtc-0 with Virtual-1: their encoders are no possible clones: "
    "kernels from mid-2025 on insist on that; the driver needs the change that declares them"
)


def test_a_refused_clone_has_its_own_message_and_exit_status_4(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    done = capturectl("snapshot", str(tmp_path / "x.png"), socket=daemon.socket)
    assert done.returncode == 4
    assert done.stderr == f"capturectl: {REASON}\n"
    assert list(tmp_path.glob("*.png")) == []


def test_the_daemon_says_so_at_the_start(daemon: DaemonProcess) -> None:
    assert f"captured: {REASON}\n" in daemon.log()


def test_list_shows_that_the_output_is_blocked_and_why(daemon: DaemonProcess) -> None:
    listed = json.loads(capturectl("list", "--json", socket=daemon.socket).stdout)
    (output,) = listed["outputs"]
    assert output["state"] == "blocked"
    assert output["error"]["code"] == "clone-refused"


def test_status_shows_that_the_driver_declares_no_clones(daemon: DaemonProcess) -> None:
    shown = capturectl("status", socket=daemon.socket)
    assert shown.returncode == 0
    assert "Writeback: Writeback-1\n" in shown.stdout
    assert "Clones: none that the driver declares\n" in shown.stdout
    assert f"Reason: {REASON}\n" in shown.stdout


def test_status_tells_the_refusal_as_the_last_error(daemon: DaemonProcess, tmp_path: Path) -> None:
    capturectl("snapshot", str(tmp_path / "x.png"), socket=daemon.socket)
    shown = json.loads(capturectl("status", "--json", socket=daemon.socket).stdout)
    error = shown["outputs"][0]["engine"]["last_error"]
    assert (error["code"], 0 <= error["age_s"] < 60) == ("clone-refused", True)


def test_the_display_goes_on_as_before(daemon: DaemonProcess, scene: SceneProcess) -> None:
    capturectl("snapshot", "x.png", socket=daemon.socket)
    assert "error" not in scene.tell("off")
    assert "error" not in scene.tell("on")
