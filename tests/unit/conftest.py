# SPDX-License-Identifier: MIT
"""What several unit tests need."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.answering_daemon import AnsweringDaemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
def full_socket(tmp_path: Path) -> Iterator[str]:
    """The path of a socket that accepts nobody, and has no room for one who waits."""
    path = str(tmp_path / "full")
    with (
        contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as stuck,
        contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as before_us,
    ):
        stuck.bind(path)
        stuck.listen(0)
        before_us.connect(path)
        yield path
