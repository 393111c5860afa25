# SPDX-License-Identifier: MIT
"""The doctor on a driver that loses jobs: it may, until it does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

import capturectl as library
from tests.support import picture
from tests.support.diagnosis import diagnose

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.processes import DaemonProcess, SceneProcess

WIDTH, HEIGHT, NUMBER = 640, 480, 77


def lose(daemon: DaemonProcess) -> None:
    """Stream with a client that keeps the CPU busy, until the output is given up."""
    glass = picture.compose(WIDTH, HEIGHT, NUMBER)
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(timeout=20) as stream,
        contextlib.suppress(library.CaptureLostError),
    ):
        for number, frame in enumerate(stream):
            assert (np.asarray(frame.array[:, :, 2::-1], np.uint8) == glass).all()
            assert number < 2000


@pytest.mark.slow
def test_a_driver_that_may_lose_captures_and_then_did(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    scene.tell("frame", NUMBER)
    daemon = start("--settle", "0")
    before = diagnose(daemon.socket)
    assert (before.status, before.others()["losses"]) == (0, "warn")
    lose(daemon)
    after = diagnose(daemon.socket)
    assert after.status == 1
    assert after.cause[0] == "losses"
    assert after.reason.startswith("the driver loses captures: ")
    assert "composer" in after.said["error"]["hint"]
