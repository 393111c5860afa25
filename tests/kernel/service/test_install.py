# SPDX-License-Identifier: MIT
"""make install on the machine itself, and make uninstall while the service runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import service

pytestmark = pytest.mark.slow

PLACES = ("/usr/local", "/usr/lib/systemd", "/etc/systemd", "/etc/udev", "/run/captured")
ENABLED = Path("/etc/systemd/system/sockets.target.wants/captured.socket")


def listing() -> set[str]:
    """Return what is where an installation may have put something."""
    return {str(path) for place in PLACES for path in [Path(place), *Path(place).rglob("*")]
            if path.exists() or path.is_symlink()}  # fmt: skip


def test_enabling_the_socket_is_all_there_is_to_do(stopped: None) -> None:
    service.systemctl("enable", "--now", "captured.socket")
    assert ENABLED.is_symlink()
    assert service.systemctl("is-active", "captured.socket") == "active"
    assert service.show("ActiveState") == "inactive"


@pytest.mark.timeout(180)
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
