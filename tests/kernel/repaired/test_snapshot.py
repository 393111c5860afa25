# SPDX-License-Identifier: MIT
"""Snapshots of a real CRTC through a real writeback connector."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import capturectl as library
from capturectl import protocol
from capturectl.protocol import Source
from captured.drm.card import Card
from captured.drm.vblank import read_vblank
from tests.support import kernel, picture
from tests.support.processes import DaemonProcess, SceneProcess, capturectl, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 480


def expected(frame: int) -> picture.Rgb:
    return picture.compose(WIDTH, HEIGHT, frame)


def rgb(frame: library.Frame) -> picture.Rgb:
    """The colours of an XR24 frame, whatever its X byte holds."""
    return np.asarray(frame.array[:, :, 2::-1], np.uint8)


def read_png(path: Path) -> picture.Rgb:
    with Image.open(path) as image:
        assert image.mode == "RGB", "a PNG with alpha could show through"
        return np.asarray(image)


def test_the_picture_is_what_the_scene_drew_on_all_planes(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    frame = scene.tell("frame", 1234)["frame"]
    file = tmp_path / "glass.png"
    done = capturectl("snapshot", str(file), socket=daemon.socket)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{file}\n"
    np.testing.assert_array_equal(read_png(file), expected(frame))


def test_the_array_is_a_view_of_the_buffer_with_the_drivers_pitch(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        assert frame.array.shape == (HEIGHT, WIDTH, 4)
        assert frame.array.strides[0] == frame.pitch
        np.testing.assert_array_equal(rgb(frame), expected(0))


def test_a_snapshot_never_shows_what_was_there_before_it(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with library.connect(str(daemon.socket)) as client:
        for number in (1, 2, 3):
            scene.tell("frame", number)
            with client.snapshot() as frame:
                assert picture.read_stamp(rgb(frame), 0, 0) == number


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_snapshots_are_exact_and_leave_nothing_behind(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    daemon = start("--linger", "0.2")

    def held() -> tuple[int, ...]:
        return daemon.fd_count(), *kernel.leftovers()

    before = held()
    planes, memory = kernel.plane_state(), kernel.shmem_kib()
    exact = 0
    for number in range(200):
        scene.tell("frame", number)
        with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
            exact += bool((rgb(frame) == expected(number)).all())
    assert exact == 200
    assert kernel.plane_state() == planes
    wait_until(lambda: not kernel.is_attached(), "detached after the last client")
    wait_until(lambda: held() == before, "all is freed")
    wait_until(
        lambda: kernel.shmem_kib() - memory < 300, "less is left than a buffer object of 640x480"
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_snapshots_interrupt_the_display_once_at_most(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    ended = threading.Event()
    sightings: list[bool] = []

    def watch() -> None:
        with Card.open(kernel.CARD) as card:
            crtc_id = kernel.resources().crtcs[0].crtc_id
            while not ended.wait(0.005):
                sightings.append(read_vblank(card, crtc_id).is_active)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with library.connect(str(daemon.socket)) as client:
        for _ in range(200):
            client.snapshot().release()
    ended.set()
    watcher.join()
    assert len(sightings) > 100
    assert all(sightings)
    assert daemon.log().count("attached Writeback-1 to") == 1


@pytest.mark.parametrize("clients", [2, 10])
def test_concurrent_snapshots_are_all_exact(
    daemon: DaemonProcess, scene: SceneProcess, clients: int
) -> None:
    scene.tell("frame", 77)
    glass = expected(77)

    def take(_: int) -> bool:
        with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
            return bool((rgb(frame) == glass).all())

    with ThreadPoolExecutor(clients) as pool:
        assert list(pool.map(take, range(clients * 5))) == [True] * (clients * 5)


def test_snapshots_that_come_together_share_a_job(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(library.connect(str(daemon.socket), name=f"{number}"))
            for number in range(10)
        ]
        daemon.popen.send_signal(signal.SIGSTOP)
        try:
            daemon.wait_for_state("T")
            for client in clients:  # as `snapshot` does before it waits
                one = protocol.Subscribe(Source.WRITEBACK, 0, 0, 1, 1, 0)
                client._talk.subscribe(client.output(), one)
        finally:
            daemon.popen.send_signal(signal.SIGCONT)
        sequences = {
            client._await_frame(client.output(), time.monotonic() + 20).sequence
            for client in clients
        }
    assert len(sequences) <= 2, "the one that the first has begun, and the next"


def _as_565(glass: picture.Rgb) -> picture.Rgb:
    """What VKMS leaves of 8-bit colours in RG16 (it cuts), widened by repeating the upper bits."""
    small = glass.astype(int) * np.array([31, 63, 31]) // 255
    red_blue = (small << 3) | (small >> 2)
    green = (small << 2) | (small >> 4)
    return np.stack([red_blue[..., 0], green[..., 1], red_blue[..., 2]], axis=2).astype(np.uint8)


def save(daemon: DaemonProcess, file: Path) -> Path:
    done = capturectl("snapshot", str(file), socket=daemon.socket)
    assert done.returncode == 0, done.stderr
    return file


@pytest.mark.parametrize("fourcc", ["XR24", "AR24", "RG16"])
def test_every_format_of_8_bits_or_less_becomes_a_right_picture(
    start: Callable[..., DaemonProcess], scene: SceneProcess, tmp_path: Path, fourcc: str
) -> None:
    daemon = start("--format", fourcc)
    scene.tell("frame", 300)
    glass = expected(300)
    wanted = _as_565(glass) if fourcc == "RG16" else glass
    np.testing.assert_array_equal(read_png(save(daemon, tmp_path / "glass.png")), wanted)
    np.testing.assert_array_equal(np.load(save(daemon, tmp_path / "glass.npy")), wanted)


@pytest.mark.parametrize("fourcc", ["XR48", "AR48"])
def test_every_format_of_16_bits_keeps_them_in_png_and_npy(
    start: Callable[..., DaemonProcess], scene: SceneProcess, tmp_path: Path, fourcc: str
) -> None:
    daemon = start("--format", fourcc)
    scene.tell("frame", 300)
    # VKMS widens 8 bits to 16 by repeating them.
    wanted = expected(300).astype(np.uint16) * 257
    png = save(daemon, tmp_path / "glass.png")
    np.testing.assert_array_equal(read_deep_png(png), wanted)
    np.testing.assert_array_equal(np.load(save(daemon, tmp_path / "glass.npy")), wanted)


def read_deep_png(path: Path) -> NDArray[np.uint16]:
    """Let another program read 16 bits a component."""
    command = ["ffmpeg", "-loglevel", "error", "-i", str(path)]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb48le", "-"], check=True, capture_output=True
    ).stdout
    return np.frombuffer(raw, np.uint16).reshape(HEIGHT, WIDTH, 3)


def test_ffmpeg_kmsgrab_misses_the_overlays_that_we_have(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    theirs = tmp_path / "kmsgrab.png"
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-device", kernel.CARD, "-f", "kmsgrab", "-i", "-",
         "-vf", "hwdownload,format=bgr0", "-frames:v", "1", theirs],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    with Image.open(theirs) as image:
        seen = np.asarray(image.convert("RGB"))
    dashboard = picture.compose(WIDTH, HEIGHT, 0, ("dashboard",))
    np.testing.assert_array_equal(seen, dashboard)
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        np.testing.assert_array_equal(rgb(frame), expected(0))


def test_a_frame_says_where_and_when_it_comes_from(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with library.connect(str(daemon.socket)) as client:
        with client.snapshot() as first, client.snapshot() as second:
            assert first.source is library.Source.WRITEBACK
            assert second.sequence == first.sequence + 1
            assert second.vblank > first.vblank
            for frame in (first, second):
                assert frame.time_commit_ns < frame.time_vblank_ns < frame.time_done_ns
        assert client.driver == "vkms"
