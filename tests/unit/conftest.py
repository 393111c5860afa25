# SPDX-License-Identifier: MIT
"""What several unit tests need."""

from __future__ import annotations

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
