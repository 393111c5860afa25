# SPDX-License-Identifier: MIT
"""Hotplug under systemd: in a network of its own, without root, with udev giving the node away."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from capturectl.protocol import State
from tests.support import module
from tests.support.processes import PROJECT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

UNIT = "captured-hotplug-test"
SOCKET = Path(f"/run/{UNIT}/captured.sock")
SANDBOX = (
    "User=nobody", "Group=video", "CapabilityBoundingSet=", "NoNewPrivileges=yes",
    "PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX AF_NETLINK",
    "DevicePolicy=closed", "DeviceAllow=char-drm rw", "MemoryDenyWriteExecute=yes",
    "SystemCallFilter=@system-service", f"RuntimeDirectory={UNIT}",
)  # fmt: skip


@pytest.fixture
def _service() -> Iterator[None]:
    """A service that was started while there was no card."""
    module.remove()
    properties = [word for setting in SANDBOX for word in ("-p", setting)]
    command = [str(PROJECT / ".venv/bin/captured"), "--socket", str(SOCKET),
               "--missing", "wait", "--modeset", "preferred", "--linger", "0.2"]  # fmt: skip
    subprocess.run(["systemd-run", "-q", "--unit", UNIT, *properties, *command], check=True)
    yield
    subprocess.run(["systemctl", "stop", UNIT], check=True)
    if not module.CARD_EVENT.exists():
        module.insert()


def journal() -> str:
    """Return what the service said."""
    return subprocess.run(
        ["journalctl", "-q", "-o", "cat", "-u", UNIT], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.usefixtures("_service")
def test_a_service_without_root_in_a_network_of_its_own_serves_a_card_that_comes() -> None:
    wait_until(SOCKET.exists, "the service listens")
    with library.connect(str(SOCKET), wait=5) as client:
        assert client.output().state is State.BLOCKED
        module.insert()
        wait_until(lambda: client.refresh()[0].state is not State.BLOCKED, "the card is served")
        for _ in range(2):
            with client.snapshot() as frame:
                assert frame.width > 0
        module.announce_removal()
        wait_until(lambda: client.refresh()[0].state is State.BLOCKED, "the card is gone")
        module.remove()
        module.insert()
        wait_until(lambda: client.refresh()[0].state is not State.BLOCKED, "it is served again")
        with client.snapshot() as frame:
            assert frame.width > 0
    assert "hotplug is not noticed" not in journal()
    assert "Traceback" not in journal()
