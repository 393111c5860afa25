# SPDX-License-Identifier: MIT
"""Frames that are announced with their fence, before the hardware has written them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import capturectl as library
from tests.support import picture

if TYPE_CHECKING:
    from tests.support.processes import DaemonProcess, SceneProcess


def test_an_early_frame_is_exact_once_its_fence_has_ended(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    scene.tell("frame", 21)
    with library.connect(str(daemon.socket)) as client:
        assert client.has_early
        with client.stream(early=True, timeout=10) as stream:
            for frame, _ in zip(stream, range(20), strict=False):
                assert frame.fence is not None
                frame.wait(5)
                seen = frame.array[:, :, 2::-1]
                assert np.array_equal(seen, picture.compose(640, 480, 21))


def test_an_early_frame_says_when_it_was_written(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(early=True, timeout=10) as stream,
    ):
        times = []
        for frame, _ in zip(stream, range(10), strict=False):
            frame.wait(5)
            assert frame.time_done_ns > frame.time_commit_ns
            times.append(frame.time_done_ns)
    assert times == sorted(set(times))


def test_early_and_other_clients_see_the_same_captures(
    daemon: DaemonProcess, scene: SceneProcess
) -> None:
    with (
        library.connect(str(daemon.socket)) as client,
        library.connect(str(daemon.socket)) as other,
        client.stream(early=True, timeout=10) as early,
        other.stream(timeout=10) as plain,
    ):
        seen: dict[int, int] = {}
        for _ in range(30):
            frame = next(early)
            frame.wait(5)
            seen[frame.sequence] = frame.time_done_ns
        written = [next(plain) for _ in range(5)]
    both = [frame for frame in written if frame.sequence in seen]
    assert both
    assert all(seen[frame.sequence] == frame.time_done_ns for frame in both)


def test_descriptors_of_fences_do_not_pile_up(daemon: DaemonProcess, scene: SceneProcess) -> None:
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(early=True, timeout=10) as stream,
    ):
        for _ in range(10):
            next(stream)
        before = daemon.fd_count()
        for _ in range(120):
            next(stream)
        assert daemon.fd_count() <= before + 1
