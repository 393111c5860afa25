# SPDX-License-Identifier: MIT
"""make install on the machine itself, and over a service that runs; make uninstall under one."""

from __future__ import annotations

from pathlib import Path

import pytest

import capturectl as library
from capturectl.protocol import DEFAULT_CREDITS
from tests.support import kernel, service
from tests.support.processes import wait_until
from tests.support.units import Watcher

pytestmark = pytest.mark.slow

PLACES = ("/usr/local", "/usr/lib/systemd", "/etc/systemd", "/etc/udev", "/run/captured")
WANTED = Path("/etc/systemd/system")
ENABLED = WANTED / "sockets.target.wants/captured.socket"


def listing() -> set[str]:
    """Return what is where an installation may have put something."""
    return {str(path) for place in PLACES for path in [Path(place), *Path(place).rglob("*")]
            if path.exists() or path.is_symlink()}  # fmt: skip


def test_enabling_the_socket_is_all_there_is_to_do(stopped: None) -> None:
    service.systemctl("enable", "--now", "captured.socket")
    assert ENABLED.is_symlink()
    assert service.systemctl("is-active", "captured.socket") == "active"
    assert service.show("ActiveState") == "inactive"


def sent_to(pid: int) -> int:
    """Return the frames that the daemon has sent to a client since the daemon's start."""
    with library.connect(str(service.SOCKET), timeout=20) as client:
        return next(seen.status.sent for seen in client.clients() if seen.status.pid == pid)


@pytest.mark.timeout(300)
def test_an_upgrade_keeps_the_service_enabled_and_its_client_streaming(stopped: None) -> None:
    service.settle('modeset = "640x480"\n')  # leaves the guest time for the rest
    service.systemctl("enable", "--now", "captured.socket", "captured.service")
    enabled = set(WANTED.rglob("captured.*"))
    try:
        with Watcher() as watcher:
            watcher.begun()
            buffers, pid = kernel.framebuffer_ids(), service.main_pid()
            service.install()
            assert service.main_pid() == pid
            service.run("/usr/local/sbin/captured", "--check-config")
            service.systemctl("restart", "captured.service")
            wait_until(lambda: sent_to(watcher.popen.pid) > DEFAULT_CREDITS, "it goes on")
            assert service.main_pid() != pid
            assert kernel.framebuffer_ids() == buffers
            seen = watcher.finish()
        assert (seen.error, seen.statistics["reconnected"]) == (None, 0)
        assert set(WANTED.rglob("captured.*")) == enabled != set()
    finally:
        service.systemctl("disable", "captured.socket", "captured.service")


@pytest.mark.timeout(300)
def test_uninstalling_stops_the_service_and_leaves_nothing(stopped: None) -> None:
    service.uninstall()
    before = listing()
    try:
        service.install()
        service.systemctl("enable", "--now", "captured.socket", "captured.service")
        pid = service.main_pid()
        service.uninstall()
        assert listing() == before
        assert not Path(f"/proc/{pid}").exists()
        assert service.show("LoadState") == "not-found"
    finally:
        service.install()
