# SPDX-License-Identifier: MIT
"""make install on the machine itself, and over a service that runs; make uninstall under one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from capturectl.protocol import DEFAULT_CREDITS
from tests.support import kernel, service
from tests.support.processes import PROJECT, wait_until
from tests.support.units import Watcher

if TYPE_CHECKING:
    from subprocess import CompletedProcess

pytestmark = pytest.mark.slow

PLACES = ("/usr/local", "/usr/lib/systemd", "/etc/systemd", "/etc/udev", "/run/captured")
WANTED = Path("/etc/systemd/system")
ENABLED = WANTED / "sockets.target.wants/captured.socket"


def listing() -> set[str]:
    """Return what is where an installation may have put something."""
    return {str(path) for place in PLACES for path in [Path(place), *Path(place).rglob("*")]
            if path.exists() or path.is_symlink()}  # fmt: skip


def commands_after(heading: str) -> list[str]:
    """Return the commands of the first block below a heading of the manual of the service."""
    section = (PROJECT / "docs/operations.md").read_text().split(f"\n## {heading}\n")[1]
    return section.split("```\n")[1].splitlines()


def run_as_root(command: str, *, is_checked: bool = True) -> CompletedProcess[str]:
    """Run a command of the manual as somebody who is logged in."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "VENDOR": "no"}
    # Beside a stream the guest's one CPU takes a minute for `make install`.
    return service.run(
        "bash", "-c", command, is_checked=is_checked, cwd=PROJECT, env=environment, timeout=180
    )


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
def test_the_manual_upgrades_and_keeps_the_service_enabled_and_its_client_streaming(
    stopped: None,
) -> None:
    service.settle('modeset = "640x480"\n')  # leaves the guest time for the rest
    service.systemctl("enable", "--now", "captured.socket", "captured.service")
    enabled = set(WANTED.rglob("captured.*"))
    try:
        with Watcher() as watcher:
            watcher.begun()
            buffers, pid = kernel.framebuffer_ids(), service.main_pid()
            *steps, restart = commands_after("Upgrades")
            for step in steps:
                run_as_root(step)
            assert service.main_pid() == pid
            run_as_root(restart)
            wait_until(lambda: sent_to(watcher.popen.pid) > DEFAULT_CREDITS, "it goes on")
            assert service.main_pid() != pid
            assert kernel.framebuffer_ids() == buffers
            seen = watcher.finish()
        assert (seen.error, seen.statistics["reconnected"]) == (None, 0)
        assert set(WANTED.rglob("captured.*")) == enabled != set()
    finally:
        service.systemctl("disable", "captured.socket", "captured.service")


def test_the_manual_restarts_no_daemon_that_may_not_read_its_settings(running: None) -> None:
    pid = service.main_pid()
    service.SETTINGS.chmod(0o600)
    done = run_as_root(commands_after("Upgrades")[-1], is_checked=False)
    assert (done.returncode, "Permission denied" in done.stderr) == (2, True)
    assert service.main_pid() == pid


def explained() -> list[str]:
    """Return the explanations of messages that are of the daemon."""
    said = service.run("journalctl", "--dump-catalog").stdout
    return [entry for entry in said.split("\n\n-- ") if "Defined-By: captured" in entry]


@pytest.mark.timeout(300)
def test_uninstalling_stops_the_service_and_leaves_nothing(stopped: None) -> None:
    service.uninstall()
    before = listing()
    try:
        service.install()
        service.systemctl("enable", "--now", "captured.socket", "captured.service")
        pid = service.main_pid()
        assert explained() != []
        service.uninstall()
        assert (listing(), explained()) == (before, [])
        assert not Path(f"/proc/{pid}").exists()
        assert service.show("LoadState") == "not-found"
    finally:
        service.install()


def test_the_manual_removes_user_and_group_though_somebody_has_joined(stopped: None) -> None:
    service.systemctl("stop", "captured.socket", "captured.service")
    assert service.INSIDE in service.run("getent", "group", "captured").stdout
    try:
        for command in commands_after("Removing")[1:3]:
            run_as_root(command)
        assert service.run("getent", "passwd", "captured", is_checked=False).stdout == ""
        assert service.run("getent", "group", "captured", is_checked=False).stdout == ""
    finally:
        service.run("systemd-sysusers")
        service.run("usermod", "--append", "--groups", "captured", service.INSIDE)
