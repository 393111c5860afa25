# SPDX-License-Identifier: MIT
"""The capturing commands on the real driver: parts, films, and comparing with the formula."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.support import picture
from tests.support.processes import DaemonProcess, SceneProcess, capturectl, program

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT = 640, 480


def drawn(frame: int) -> picture.Rgb:
    return picture.compose(WIDTH, HEIGHT, frame)


def saved(path: Path, pixels: picture.Rgb) -> str:
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.mark.slow
def test_a_region_is_that_part_of_all_planes(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    frame = scene.tell("frame", 77)["frame"]
    file = tmp_path / "part.png"
    where = "200,250 180x120"  # of the dashboard, the window and the camera
    done = capturectl("snapshot", "-g", where, str(file), socket=daemon.socket)
    assert done.returncode == 0, done.stderr
    with Image.open(file) as image:
        np.testing.assert_array_equal(np.asarray(image), drawn(frame)[250:370, 200:380])


@pytest.mark.slow
def test_the_frames_of_a_stream_are_in_order(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    file = tmp_path / "a.raw"
    scene.tell("run", 15)
    done = capturectl("stream", "-n", "60", str(file), socket=daemon.socket)
    last = scene.tell("hold")["frame"]
    assert done.returncode == 0, done.stderr
    frames = np.fromfile(file, np.uint8).reshape(-1, HEIGHT, WIDTH, 4)[:, :, :, 2::-1]
    numbers = [picture.read_stamp(frame, 0, 0) for frame in frames]
    shown = [number for number in numbers if number is not None]
    assert len(shown) == 60
    assert shown == sorted(shown)
    assert shown[-1] <= last
    assert len(set(shown)) > 3, "the scene moved on"


@pytest.mark.slow
def test_a_frame_of_a_stream_is_whole(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    file = tmp_path / "a.raw"
    frame = scene.tell("frame", 42)["frame"]
    assert capturectl("stream", "-n", "2", str(file), socket=daemon.socket).returncode == 0
    frames = np.fromfile(file, np.uint8).reshape(2, HEIGHT, WIDTH, 4)[:, :, :, 2::-1]
    for shown in frames:
        np.testing.assert_array_equal(shown, drawn(frame))


@pytest.mark.slow
def test_ffmpeg_reads_the_scene_from_a_film(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    frame = scene.tell("frame", 5)["frame"]
    line = [program("capturectl"), "-S", str(daemon.socket), "stream", "-n", "3"]
    with subprocess.Popen([*line, "--chroma", "444"], stdout=subprocess.PIPE) as streaming:
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", "-", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
            stdin=streaming.stdout, capture_output=True, check=True,
        )  # fmt: skip
    film = np.frombuffer(done.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    assert len(film) == 3
    assert np.abs(film[2].astype(int) - drawn(frame)).max() <= 3


@pytest.mark.slow
def test_the_scene_is_recognised_by_its_formula_and_one_other_pixel_is_found(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    frame = scene.tell("frame", 9)["frame"]
    expected = drawn(frame)
    line = ("compare", "--timeout", "0")
    done = capturectl(*line, saved(tmp_path / "a.png", expected), socket=daemon.socket)
    assert done.returncode == 0, done.stderr
    expected[123, 321, 2] ^= 1
    done = capturectl(*line, saved(tmp_path / "a.png", expected), socket=daemon.socket)
    assert done.returncode == 1
    assert "1 pixel differs, by up to 1 of 255, within 321,123 1x1" in done.stderr


@pytest.mark.slow
def test_comparing_ends_when_the_picture_is_there(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    scene.tell("frame", 1)
    file = saved(tmp_path / "a.png", drawn(2))
    line = [program("capturectl"), "-S", str(daemon.socket), "compare", "--timeout", "40", file]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as comparing:
        with pytest.raises(subprocess.TimeoutExpired):
            comparing.wait(1)
        scene.tell("frame", 2)
        assert comparing.wait(30) == 0


@pytest.mark.slow
def test_an_output_that_is_off_is_waited_for(
    daemon: DaemonProcess, scene: SceneProcess, tmp_path: Path
) -> None:
    scene.tell("off")
    file = tmp_path / "a.png"
    done = capturectl("snapshot", str(file), socket=daemon.socket)
    assert (done.returncode, file.exists()) == (5, False)
    line = [program("capturectl"), "-S", str(daemon.socket), "snapshot", "--wait-active", "30"]
    with subprocess.Popen([*line, str(file)], stdout=subprocess.PIPE) as waiting:
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
        scene.tell("on")
        assert waiting.wait(30) == 0
    assert file.exists()
