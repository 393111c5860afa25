# SPDX-License-Identifier: MIT
"""The commands that look, at a real driver: against what the scene has put on the CRTC."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import capturectl as library
from tests.support import picture
from tests.support.processes import capturectl, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.processes import DaemonProcess, SceneProcess

NOBODY = 65534


def status(socket: Path) -> dict[str, Any]:
    """Return what `status --json` says of the only output."""
    done = capturectl("status", "--json", socket=socket)
    assert (done.returncode, done.stderr) == (0, "")
    (output,) = json.loads(done.stdout)["outputs"]
    found: dict[str, Any] = output
    return found


def test_status_shows_the_planes_of_the_scene_and_who_set_them(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    planes = status(daemon.socket)["planes"]
    layers = picture.layers_for(640, 480)
    assert {(p["x"], p["y"], p["width"], p["height"]) for p in planes} == {
        (layer.x, layer.y, layer.width, layer.height) for layer in layers
    }
    assert [p["zpos"] for p in planes] == sorted(p["zpos"] for p in planes)
    assert {(p["format"], p["setter"]) for p in planes} == {("XR24", "python")}


def test_status_names_the_connectors_that_may_share_the_crtc(daemon: DaemonProcess) -> None:
    output = status(daemon.socket)
    assert (output["writeback"], output["clones"]) == ("Writeback-1", ["Writeback-1"])


def test_status_follows_an_output_that_is_captured(daemon: DaemonProcess) -> None:
    assert status(daemon.socket)["engine"]["state"] == "idle"
    with library.connect(str(daemon.socket)) as client:
        with client.stream() as stream:
            for _ in range(20):
                next(stream)
            seen = status(daemon.socket)
            assert (seen["engine"]["state"], seen["format"]) == ("capturing", "XR24")
            assert (seen["engine"]["pool"]["buffers"], seen["engine"]["attached"]) == (6, 1)
        assert seen["engine"]["captured"] >= 20
        assert status(daemon.socket)["engine"]["state"] == "lingering"


def test_status_of_an_output_that_is_off_says_why(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    daemon = start()
    scene.tell("off")
    output = status(daemon.socket)
    assert (output["state"], output["error"]["code"]) == ("off", "output-off")


def test_status_for_people_has_a_line_for_each_plane(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    text = capturectl("status", socket=daemon.socket).stdout
    assert text.count(", set by python\n") == len(picture.layers_for(640, 480))


def test_another_users_client_cannot_be_disconnected(
    start: Callable[..., DaemonProcess], socket: Path, scene: SceneProcess
) -> None:
    daemon = start()
    with library.connect(str(daemon.socket)) as client:
        own = client.clients()[0].status.client
        for place in (*socket.parents[:-1], socket):
            place.chmod(place.stat().st_mode | 0o777)
        words = [program("capturectl"), "clients", "disconnect", str(own), "--json", "-S"]
        done = subprocess.run(
            ["setpriv", f"--reuid={NOBODY}", "--clear-groups", *words, str(socket)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (7, "not-allowed")
