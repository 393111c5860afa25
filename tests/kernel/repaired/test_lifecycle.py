# SPDX-License-Identifier: MIT
"""Attaching, detaching, and leaving the display as it was found."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from tests.support import kernel
from tests.support.processes import DaemonProcess, SceneProcess, capturectl, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def take_one(socket: Path) -> int:
    with library.connect(str(socket)) as client, client.snapshot() as frame:
        return frame.sequence


def test_nothing_is_attached_and_nobody_is_master_before_the_first_client(
    daemon: DaemonProcess,
) -> None:
    assert not kernel.is_attached()
    assert kernel.master_names() == []


def test_the_daemon_is_master_only_while_attached(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    daemon = start("--linger", "0.3")
    with library.connect(str(daemon.socket)) as client, client.stream() as stream:
        next(stream)
        assert kernel.is_attached()
        assert kernel.master_names() == ["captured"]
    wait_until(lambda: not kernel.is_attached(), "detached after the linger time")
    wait_until(lambda: kernel.master_names() == [], "no master")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_daemon_leaves_the_display_as_it_was(
    daemon: DaemonProcess, scene: SceneProcess, number: int
) -> None:
    planes = kernel.plane_state()
    take_one(daemon.socket)
    assert kernel.is_attached()
    assert daemon.end(number) == 0
    assert not kernel.is_attached()
    assert kernel.is_active()
    assert kernel.plane_state() == planes
    assert not daemon.socket.exists()


def test_after_sigterm_another_master_can_switch_the_crtc_off(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    take_one(daemon.socket)
    daemon.end()
    assert "error" not in scene.tell("dark")
    assert not kernel.is_active()


def test_after_sigkill_the_connector_stays_attached_and_blocks_switching_off(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    # Kernel: this is why a new daemon has to clean up.
    take_one(daemon.socket)
    daemon.end(signal.SIGKILL)
    assert kernel.is_attached()
    assert "Invalid argument" in scene.tell("dark")["error"]
    _clean_up(daemon.socket)


def _clean_up(socket: Path) -> None:
    with DaemonProcess(socket) as another:
        another.end()


def test_after_sigkill_and_a_restart_the_connector_is_detached(
    daemon: DaemonProcess, scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    take_one(daemon.socket)
    daemon.end(signal.SIGKILL)
    again = start()
    assert "left attached" in again.log()
    assert not kernel.is_attached()
    assert kernel.is_active()
    assert "error" not in scene.tell("dark")


def test_a_restarted_daemon_captures_again(
    daemon: DaemonProcess, scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    take_one(daemon.socket)
    daemon.end(signal.SIGKILL)
    assert take_one(start().socket) == 1


def test_a_client_is_told_that_the_daemon_stops(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with library.connect(str(daemon.socket)) as client:
        client.snapshot().release()
        daemon.end()
        with pytest.raises(library.CaptureLostError):
            client.snapshot()


def test_a_killed_client_gives_everything_back(daemon: DaemonProcess, scene: SceneProcess) -> None:
    with contextlib.ExitStack() as clients:
        frames = []
        for _ in range(3):
            client = clients.enter_context(library.connect(str(daemon.socket)))
            frames.append(client.snapshot())
        assert len({frame.buffer_id for frame in frames}) == 3
    for _ in range(20):
        take_one(daemon.socket)
    assert "too long" not in daemon.log(), "nothing had to be revoked"


def test_a_dark_display_is_lit_on_demand_and_put_out_again(
    start: Callable[..., DaemonProcess],
) -> None:
    daemon = start("--modeset", "800x600@60", "--linger", "0.2")
    assert not kernel.is_active()
    with library.connect(str(daemon.socket)) as client, client.stream() as stream:
        frame = next(stream)
        assert kernel.is_active()
        assert (frame.width, frame.height) == (800, 600)
        assert not frame.array[:, :, :3].any(), "black"
    wait_until(lambda: not kernel.is_active(), "dark again")


def test_a_display_that_was_only_inactive_keeps_its_planes(
    scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    scene.tell("off")
    before = kernel.plane_state()
    daemon = start("--modeset", "preferred", "--linger", "0.2")
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        assert (frame.width, frame.height) == (640, 480)
        assert frame.array[:, :, :3].any(), "the scene, not black"
    wait_until(lambda: not kernel.is_active(), "inactive again")
    assert kernel.plane_state() == before
    wait_until(lambda: kernel.master_names() == [], "no master")
    assert "error" not in scene.tell("on")


def test_what_a_killed_daemon_lit_is_put_out_by_the_next(
    start: Callable[..., DaemonProcess],
) -> None:
    daemon = start("--modeset", "800x600@60")
    take_one(daemon.socket)
    daemon.end(signal.SIGKILL)
    assert kernel.is_active()
    start()
    assert not kernel.is_active()
    assert not kernel.is_attached()


def test_preferred_lights_the_mode_that_the_display_prefers(
    start: Callable[..., DaemonProcess],
) -> None:
    daemon = start("--modeset", "preferred")
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        # VKMS prefers 1024x768: drivers/gpu/drm/vkms/vkms_drv.h, XRES_DEF and YRES_DEF.
        assert (frame.width, frame.height) == (1024, 768)


def test_a_display_lit_later_is_captured_without_a_restart(
    start: Callable[..., DaemonProcess],
) -> None:
    daemon = start()
    assert capturectl("snapshot", "x.png", socket=daemon.socket).returncode == 5
    with SceneProcess():
        assert take_one(daemon.socket) == 1


def test_another_mode_gives_another_size_after_the_linger(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    daemon = start("--linger", "0")
    take_one(daemon.socket)
    wait_until(lambda: not kernel.is_attached(), "detached")
    wait_until(lambda: kernel.master_names() == [], "no master")
    assert scene.tell("mode", 320, 240, 60)["width"] == 320
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        assert (frame.width, frame.height) == (320, 240)
