# SPDX-License-Identifier: MIT
"""Killed at any moment: what the kernel is left with, and what the next daemon makes of it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

import capturectl as library
from capturectl import protocol
from tests.support import kernel, picture
from tests.support.clients import Clients
from tests.support.processes import DaemonProcess, SceneProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT = """
import sys, time, capturectl
client = capturectl.connect(sys.argv[1])
with client.stream(credits=4) as stream:
    for number, frame in enumerate(stream):
        if number == 3:
            print("begun", flush=True)
"""

BUFFER_KIB = 640 * 480 * 4 // 1024


def assert_captures_exactly(daemon: DaemonProcess, scene: SceneProcess, number: int) -> None:
    scene.tell("frame", number)
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        seen = frame.array[:, :, 2::-1]
        assert np.array_equal(seen, picture.compose(640, 480, number))


@pytest.mark.slow
def test_clients_that_are_killed_in_mid_stream_leave_nothing(
    scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    daemon = start("--linger", "0.2")

    def killed_in_mid_stream() -> None:
        with Clients(CLIENT, daemon.socket) as clients:
            clients.start()
        wait_until(lambda: not kernel.is_attached(), "the pool is freed")

    killed_in_mid_stream()
    # Kernel: a buffer object takes pages when it is first used (drm_gem_shmem_helper.c), so
    # memory is compared where there is no pool, of which more or fewer buffers may be in use.
    before, shmem_kib = kernel.leftovers(), kernel.shmem_kib()
    for _ in range(5):
        killed_in_mid_stream()
    wait_until(lambda: kernel.leftovers() == before, "everything is as before")
    wait_until(lambda: kernel.shmem_kib() - shmem_kib < BUFFER_KIB, "no buffer is left")
    assert_captures_exactly(daemon, scene, 5)


@pytest.mark.slow
def test_a_daemon_that_is_killed_at_any_moment_of_a_stream_leaves_the_display_as_it_was(
    scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    chance = random.Random(20)
    planes, before = kernel.plane_state(), kernel.leftovers()
    for number in range(8):
        daemon = start()
        with Clients(CLIENT, daemon.socket) as clients:
            clients.start()
            time.sleep(chance.uniform(0, 0.05))  # committed, fence pending, settling: in turn
            daemon.popen.kill()
            daemon.popen.wait()
        assert kernel.is_active()
        assert kernel.plane_state() == planes
        wait_until(lambda: kernel.leftovers()[:2] == before[:2], f"run {number} left nothing")
    daemon = start()
    assert not kernel.is_attached(), "the next daemon takes off what was left attached"
    assert_captures_exactly(daemon, scene, 9)
    daemon.end()
    wait_until(lambda: kernel.leftovers() == before, "and leaves nothing itself")


@pytest.mark.slow
def test_a_daemon_that_is_killed_while_it_attaches_or_detaches_leaves_the_display_as_it_was(
    scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    chance = random.Random(21)
    planes = kernel.plane_state()
    for _ in range(8):
        daemon = start("--linger", "0")
        with library.connect(str(daemon.socket)) as client:
            output = client.output()
            client._talk.subscribe(output, protocol.Subscribe(1, 0, 0, 1, 1, 0))
            time.sleep(chance.uniform(0, 0.12))  # attaching, capturing, detaching
            daemon.popen.kill()
            daemon.popen.wait()
        assert kernel.is_active()
        assert kernel.plane_state() == planes
    assert_captures_exactly(start(), scene, 11)


@pytest.mark.slow
def test_a_daemon_that_is_killed_while_it_lingers_is_cleaned_up_after(
    scene: SceneProcess, start: Callable[..., DaemonProcess]
) -> None:
    before = kernel.leftovers()
    daemon = start("--linger", "60")
    with library.connect(str(daemon.socket)) as client:
        client.snapshot().release()
    assert kernel.is_attached()
    daemon.popen.kill()
    daemon.popen.wait()
    assert kernel.is_active()
    again = start()
    assert not kernel.is_attached()
    again.end()
    wait_until(lambda: kernel.leftovers() == before, "nothing is left")
