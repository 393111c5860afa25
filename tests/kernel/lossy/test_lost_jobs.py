# SPDX-License-Identifier: MIT
"""A driver that loses jobs: without the pause that it needs, fences and jobs fall out of step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

import capturectl as library
from tests.support import kernel, picture
from tests.support.processes import DaemonProcess, SceneProcess, capturectl, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


class Glass:
    """A scene that goes on by itself, and what was seen of it.

    A buffer that no job wrote has an older picture: then a number goes back.
    """

    def __init__(self, scene: SceneProcess) -> None:
        scene.tell("run", 30)
        self._newest: dict[tuple[int, int], int] = {}

    def look(self, frame: library.Frame) -> None:
        """See that no number in a corner is older than in the frame before."""
        seen = np.array(frame.array[:, :, 2::-1])  # all of it: a busy client provokes the loss
        for place in picture.mark_places(frame.width, frame.height):
            number = picture.read_stamp(seen, *place)
            if number is not None:  # it was being drawn
                assert number >= self._newest.get(place, 0)
                self._newest[place] = number

    @property
    def has_moved(self) -> bool:
        """Whether there was anything to see."""
        return len(self._newest) > 1 and min(self._newest.values()) > 1


def drain(daemon: DaemonProcess, glass: Glass, frames: int) -> tuple[int, Exception | None]:
    """Stream until the output is given up; every frame that comes must be right."""
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(timeout=20) as stream,
    ):
        for count in range(frames):
            try:
                frame = next(stream)
            except library.CaptureLostError as error:
                return count, error
            glass.look(frame)
    return frames, None


def is_whole_or_given_up(count: int, wanted: int, error: Exception | None) -> bool:
    """The driver may be out of step from the tests before, or fall out of it: then it is said."""
    given_up = isinstance(error, library.CaptureLostError) and error.code == "out-of-step"
    return count == wanted or given_up


@pytest.mark.slow
def test_with_the_drivers_pause_frames_come_and_none_is_false(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    """How long no job is lost is the machine's mood: `tests.bench.pause` measures it."""
    glass = Glass(scene)
    count, error = drain(daemon, glass, 300)
    assert glass.has_moved
    assert is_whole_or_given_up(count, 300, error)


@pytest.mark.slow
@pytest.mark.parametrize("pace", ["flip", "fence"])
def test_without_it_the_output_is_given_up_with_a_reason_and_no_false_frame(
    start: Callable[..., DaemonProcess], scene: SceneProcess, pace: str
) -> None:
    daemon = start("--settle", "0", "--pace", pace)
    begun = time.monotonic()
    count, error = drain(daemon, Glass(scene), 2000)
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
    drain(daemon, Glass(scene), 2000)
    done = capturectl("snapshot", "--timeout", "20", "lost.png", socket=daemon.socket)
    assert done.returncode == 1
    assert "the driver loses captures" in done.stderr


@pytest.mark.slow
def test_a_mode_that_takes_longer_to_compose_than_a_frame_lasts_yields_no_false_frame(
    start: Callable[..., DaemonProcess],
) -> None:
    with SceneProcess("1920x1080@60") as scene:
        count, error = drain(start(), Glass(scene), 60)
    assert is_whole_or_given_up(count, 60, error)
