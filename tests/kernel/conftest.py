# SPDX-License-Identifier: MIT
"""Fixtures for the tests that need a real card; tests/vm/check runs them in the guest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import kernel
from tests.support.processes import DaemonProcess, SceneProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SWITCH = "CAPTURED_TEST_CARD"
"""Names the module that is loaded. Unset: these tests are skipped. Set: a lack is a failure."""


@pytest.fixture(autouse=True)
def _card(request: pytest.FixtureRequest) -> None:
    wanted = Path(str(request.path)).parent.name
    loaded = os.environ.get(SWITCH, "")
    if not loaded:
        pytest.skip(f"needs a card: run 'make guest', or set {SWITCH} to {wanted}")
    assert loaded == wanted, f"these tests are for {wanted}, loaded is {loaded}"
    if loaded != "none":
        kernel.put_out()


@pytest.fixture
def scene() -> Iterator[SceneProcess]:
    with SceneProcess() as process:
        yield process


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "captured.sock"


@pytest.fixture
def start(socket: Path) -> Iterator[Callable[..., DaemonProcess]]:
    """Start a daemon with options; it is ended with the test."""
    running: list[DaemonProcess] = []

    def start_one(*arguments: str) -> DaemonProcess:
        running.append(DaemonProcess(socket, *arguments))
        return running[-1]

    yield start_one
    for process in reversed(running):
        process.__exit__(None, None, None)


@pytest.fixture
def daemon(scene: SceneProcess, start: Callable[..., DaemonProcess]) -> DaemonProcess:
    return start()
