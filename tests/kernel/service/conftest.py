# SPDX-License-Identifier: MIT
"""The service, installed in the guest, where systemd runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import service

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def installed() -> Iterator[None]:
    """The service, installed once; the guest forgets it. Skipped outside as `_card` says."""
    if os.environ.get("CAPTURED_TEST_CARD") != Path(__file__).parent.name:
        pytest.skip("needs the guest, under systemd")
    service.install()
    service.add_users()
    yield
    service.uninstall()


@pytest.fixture
def stopped(installed: None) -> Iterator[None]:
    """The service does not run, has the settings of a kiosk, and lights the display."""
    service.settle('modeset = "preferred"\nlinger = 0.5\n')
    yield
    service.stop()
    service.SETTINGS.unlink(missing_ok=True)


@pytest.fixture
def running(stopped: None) -> None:
    """The service runs."""
    service.start()
