# SPDX-License-Identifier: MIT
"""Pictures in sealed memory: the hardware writes there, and nobody who receives them can."""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

import capturectl as library
from capturectl.buffers import BufferTable
from tests.support import kernel, picture
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from capturectl import protocol
    from capturectl.fd import OwnedFd
    from tests.support.processes import DaemonProcess, SceneProcess


@pytest.fixture
def daemon(scene: SceneProcess, start: Callable[..., DaemonProcess]) -> DaemonProcess:
    return start("--memory", "sealed", "--linger", "0")


def test_a_sealed_picture_is_exact(daemon: DaemonProcess, scene: SceneProcess) -> None:
    for number in (3, 4):
        scene.tell("frame", number)
        with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
            seen = frame.array[:, :, 2::-1]
            assert np.array_equal(seen, picture.compose(640, 480, number))


def test_a_receiver_can_neither_map_nor_write_it(
    daemon: DaemonProcess, scene: SceneProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    fds: list[int] = []
    add = BufferTable.add

    def keep(table: BufferTable, stream: int, layout: protocol.Buffer, fd: OwnedFd) -> None:
        fds.append(os.dup(fd.fileno()))
        add(table, stream, layout, fd)

    monkeypatch.setattr(BufferTable, "add", keep)
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        (fd,) = fds
        with pytest.raises(PermissionError):
            mmap.mmap(fd, frame.pitch)
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    os.close(fd)


def test_sealed_memory_is_freed_with_the_pool(daemon: DaemonProcess, scene: SceneProcess) -> None:
    def snapshot() -> None:
        with library.connect(str(daemon.socket)) as client:
            client.snapshot().release()

    wait_until(lambda: not kernel.is_attached(), "it has detached")
    before = kernel.framebuffer_count(), daemon.fd_count()
    snapshot()
    wait_until(lambda: (kernel.framebuffer_count(), daemon.fd_count()) == before, "all is freed")
    shared_kib = kernel.shmem_kib()
    for _ in range(5):
        snapshot()
    wait_until(lambda: (kernel.framebuffer_count(), daemon.fd_count()) == before, "all is freed")
    wait_until(
        lambda: kernel.shmem_kib() - shared_kib < 640 * 480 * 4 // 1024, "no buffer is left"
    )
