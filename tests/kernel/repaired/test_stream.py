# SPDX-License-Identifier: MIT
"""Frames one after the other, for several clients, on the real driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from tests.support import kernel, picture
from tests.support.clients import Clients
from tests.support.processes import DaemonProcess, SceneProcess, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

HOLDER = """
import sys, time, capturectl
client = capturectl.connect(sys.argv[1])
stream = client.stream(credits=int(sys.argv[2]))
held = []
print("begun", flush=True)
while True:
    try:
        held.append(client._await_frame(client.output(), time.monotonic() + 60))
    except capturectl.CaptureLostError as error:
        print(error.code, flush=True)
        break
"""
"""A client that takes frames and never gives one back."""


def numbers(frame: library.Frame) -> set[int | None]:
    """The frame numbers that stand in the corners of every layer."""
    seen = frame.array[:, :, 2::-1]
    return {
        picture.read_stamp(seen, layer.x + x, layer.y + y)
        for layer in picture.layers_for(frame.width, frame.height)
        for x, y in picture.mark_places(layer.width, layer.height)
    }


def watch(daemon: DaemonProcess, frames: int) -> list[library.Frame]:
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(timeout=10) as stream,
    ):
        return [frame for frame, _ in zip(stream, range(frames), strict=False)]


@pytest.fixture
def holder(daemon: DaemonProcess) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    with Clients(HOLDER, daemon.socket) as clients:
        yield clients.start


@pytest.mark.slow
def test_frames_come_in_order_and_none_is_lost(daemon: DaemonProcess, scene: SceneProcess) -> None:
    frames = watch(daemon, 120)
    sequences = [frame.sequence for frame in frames]
    assert sequences == list(range(sequences[0], sequences[0] + 120))
    vblanks = [frame.vblank for frame in frames]
    assert vblanks == sorted(set(vblanks))
    assert {frame.missed for frame in frames} == {0}


@pytest.mark.slow
def test_every_frame_shows_one_moment_in_all_its_corners(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=10) as stream:
        for number in range(40):
            scene.tell("frame", number)
            next(stream)  # it may have been captured while the scene was drawing
            assert numbers(next(stream)) == {number}


@pytest.mark.slow
def test_eight_clients_see_the_same_captures(daemon: DaemonProcess, scene: SceneProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: watch(daemon, 30), range(8)))
    assert all(len(frames) == 30 for frames in seen)
    captured = {frame.sequence for frames in seen for frame in frames}
    assert len(captured) < 8 * 30, "captures are shared"


@pytest.mark.slow
def test_a_rate_limit_is_kept(daemon: DaemonProcess, scene: SceneProcess) -> None:
    with library.connect(str(daemon.socket)) as client, client.stream(max_fps=10) as stream:
        times = [frame.time_commit_ns for frame, _ in zip(stream, range(11), strict=False)]
    assert (times[-1] - times[0]) / 1e9 >= 0.95


@pytest.mark.slow
def test_clients_that_never_release_cost_the_others_no_frame(
    daemon: DaemonProcess,
    scene: SceneProcess,
    holder: Callable[[int], subprocess.Popen[str]],
) -> None:
    for _ in range(3):
        holder(2)
    wait_until(kernel.is_attached, "the holders are served")
    sequences = [frame.sequence for frame in watch(daemon, 60)]
    assert len(sequences) == 60
    assert sequences == sorted(set(sequences))


@pytest.mark.slow
def test_clients_that_keep_what_others_need_have_it_taken_back_and_are_cut_off_in_the_end(
    daemon: DaemonProcess,
    scene: SceneProcess,
    holder: Callable[[int], subprocess.Popen[str]],
) -> None:
    greedy = [holder(4) for _ in range(4)]
    ended: list[subprocess.Popen[str]] = []
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=10) as stream:
        for frame in stream:
            ended = [process for process in greedy if process.poll() is not None]
            if ended:
                break
            assert frame.sequence < 600, "ten seconds"
    (first, *_) = ended
    assert first.stdout is not None
    assert first.stdout.read() == "slow\n"
    assert "held frame" in daemon.log()


@pytest.mark.slow
def test_a_mode_that_takes_longer_to_compose_than_a_frame_lasts_is_captured_all_the_same(
    start: Callable[..., DaemonProcess],
) -> None:
    with SceneProcess("1920x1080@60") as scene:
        scene.tell("frame", 33)
        daemon = start()
        with library.connect(str(daemon.socket)) as client, client.stream(timeout=10) as stream:
            frames = [
                (frame.sequence, frame.vblank, frame.missed, numbers(frame))
                for frame, _ in zip(stream, range(30), strict=False)
            ]
    vblanks = [vblank for _, vblank, _, _ in frames]
    assert vblanks[-1] - vblanks[0] > 2 * 29, "a capture takes more than two frames"
    assert vblanks == sorted(set(vblanks))
    assert {(missed, frozenset(shown)) for _, _, missed, shown in frames} == {(0, frozenset({33}))}
    assert "did not signal" not in daemon.log()


@pytest.mark.slow
def test_jobs_that_overlap_come_in_order_and_show_their_own_moment(
    scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    daemon = start("--pace", "flip", "--settle", "0")
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=10) as stream:
        for number in range(20):
            scene.tell("frame", number)
            next(stream)  # it was under way when the scene drew, and so may have been another
            next(stream)
            frame = next(stream)
            assert (numbers(frame), frame.missed) == ({number}, 0)
        sequences = [frame.sequence for frame, _ in zip(stream, range(60), strict=False)]
    assert sequences == list(range(sequences[0], sequences[0] + 60))
