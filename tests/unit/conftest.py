# SPDX-License-Identifier: MIT
"""What several unit tests need."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.answering_daemon import AnsweringDaemon
from tests.support.fakes import VirtualReactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def reactor() -> Iterator[VirtualReactor]:
    """A loop with a time of its own."""
    made = VirtualReactor()
    yield made
    made.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., AnsweringDaemon]]:
    """Start a daemon that answers; it is ended with the test."""
    running: list[AnsweringDaemon] = []

    def start_one(**options: Any) -> AnsweringDaemon:
        running.append(AnsweringDaemon(tmp_path / "sock", **options))
        return running[-1]

    yield start_one
    for daemon in running:
        daemon.close()


@pytest.fixture
def full_listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket that accepts nobody, and has no room for one who waits."""
    with (
        contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as stuck,
        contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as before_us,
    ):
        stuck.bind(str(tmp_path / "full"))
        stuck.listen(0)
        before_us.connect(stuck.getsockname())
        yield stuck


@pytest.fixture
def full_socket(full_listener: socket.socket) -> str:
    """Its path."""
    path: str = full_listener.getsockname()
    return path
