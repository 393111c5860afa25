# SPDX-License-Identifier: MIT
"""A driver that loses jobs: without the pause that it needs, fences and jobs fall out of step."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

import capturectl as library
from tests.support import kernel, picture
from tests.support.processes import DaemonProcess, SceneProcess, capturectl, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 640, 480
NUMBER = 77


def rgb(frame: library.Frame) -> picture.Rgb:
    return np.asarray(frame.array[:, :, 2::-1], np.uint8)


def has_marks(frame: library.Frame) -> bool:
    """Whether the number stands in two corners of the picture; costs little time."""
    seen = frame.array[:, :, 2::-1]
    places = picture.mark_places(frame.width, frame.height)
    return all(picture.read_stamp(seen, x, y) == NUMBER for x, y in places)


@cache
def glass() -> picture.Rgb:
    return picture.compose(WIDTH, HEIGHT, NUMBER)


def is_exact(frame: library.Frame) -> bool:
    return bool((rgb(frame) == glass()).all())


def drain(
    daemon: DaemonProcess, frames: int, is_right: Callable[[library.Frame], bool] = is_exact
) -> tuple[int, Exception | None]:
    """Stream until the output is given up; every frame that comes must be right."""
    count = 0
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(timeout=20) as stream,
    ):
        try:
            for frame in stream:
                assert is_right(frame)
                count += 1
                if count == frames:
                    return count, None
        except library.CaptureLostError as error:
            return count, error
    raise AssertionError("the stream ended without a reason")


def is_whole_or_given_up(count: int, wanted: int, error: Exception | None) -> bool:
    """The driver may be out of step from the tests before, or fall out of it: then it is said."""
    given_up = isinstance(error, library.CaptureLostError) and error.code == "out-of-step"
    return count == wanted or given_up


@pytest.mark.slow
def test_with_the_drivers_pause_frames_come_and_none_is_false(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    """How long no job is lost is the machine's mood: `tests.bench.pause` measures it."""
    scene.tell("frame", NUMBER)
    count, error = drain(daemon, 300, has_marks)
    assert is_whole_or_given_up(count, 300, error)


@pytest.mark.slow
def test_without_it_the_output_is_given_up_with_a_reason_and_no_false_frame(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    daemon = start("--settle", "0")
    scene.tell("frame", NUMBER)
    begun = time.monotonic()
    count, error = drain(daemon, 2000)
    assert count < 2000
    assert isinstance(error, library.CaptureLostError)
    assert error.code == "out-of-step"
    assert "did not signal in time" in daemon.log()
    assert time.monotonic() - begun < 60
    wait_until(lambda: not kernel.is_attached(), "detached")
    assert kernel.is_active()


@pytest.mark.slow
def test_the_command_says_why_and_leaves_no_file(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    # The driver's queue is out of step for good by now, or falls out of it here.
    daemon = start("--settle", "0")
    scene.tell("frame", NUMBER)
    drain(daemon, 2000)
    done = capturectl("snapshot", "--timeout", "20", "lost.png", socket=daemon.socket)
    assert done.returncode == 1
    assert "the driver loses captures" in done.stderr


@pytest.mark.slow
def test_a_mode_that_takes_longer_to_compose_than_a_frame_lasts_yields_no_false_frame(
    start: Callable[..., DaemonProcess],
) -> None:
    with SceneProcess("1920x1080@60") as scene:
        scene.tell("frame", NUMBER)
        count, error = drain(start(), 60, has_marks)
    assert is_whole_or_given_up(count, 60, error)
