# SPDX-License-Identifier: MIT
"""What the daemon may take of a small machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from tests.support.processes import BareDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_KIB = 16 * 1024


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[BareDaemon]:
    with BareDaemon(tmp_path / "captured.sock", "--pattern", "1920x1080@60") as process:
        yield process


def resident_kib(pid: int) -> int:
    """Return what is resident, but for the pool: that is shared memory."""
    words = Path(f"/proc/{pid}/status").read_text().split()
    return sum(int(words[words.index(name) + 1]) for name in ("RssAnon:", "RssFile:"))


def test_the_daemon_runs_on_the_standard_library_alone(daemon: BareDaemon) -> None:
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        assert frame.width == 1920


def test_an_idle_daemon_takes_at_most_sixteen_megabytes(daemon: BareDaemon) -> None:
    assert resident_kib(daemon.pid) <= MEMORY_KIB


@pytest.mark.slow
def test_a_daemon_with_eight_clients_takes_at_most_sixteen_megabytes_beside_the_pool(
    daemon: BareDaemon,
) -> None:
    clients = [library.connect(str(daemon.socket)) for _ in range(8)]
    streams = [client.stream() for client in clients]
    for _ in range(60):
        for stream in streams:
            next(stream)
    taken = resident_kib(daemon.pid)
    for client in clients:
        client.close()
    assert taken <= MEMORY_KIB
