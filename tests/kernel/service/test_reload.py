# SPDX-License-Identifier: MIT
"""systemctl reload: what it changes, and what it refuses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import NotAllowedError
from tests.support import service
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

BASE = 'modeset = "preferred"\n'


@pytest.fixture
def shut() -> Iterator[Path]:
    """The directory of the settings, to be shut and opened again."""
    directory = service.SETTINGS.parent
    yield directory
    directory.chmod(0o755)


def reloaded(count: int = 1) -> None:
    wait_until(
        lambda: len(service.entries("CAPTURED_CODE=reloaded")) == count, "settings are read"
    )


def test_a_reload_changes_settings_in_the_process_that_runs(running: None) -> None:
    pid = service.main_pid()
    service.settle(f'{BASE}log = "debug"\nquota = 1\n')
    service.systemctl("reload", "captured.service")
    reloaded()
    assert service.main_pid() == pid
    (entry,) = service.entries("CAPTURED_CODE=reloaded")
    assert entry["MESSAGE"] == "settings read; changed: quota, linger, log"


def test_what_needs_a_restart_says_so(running: None) -> None:
    service.settle(f"{BASE}linger = 0.5\nbuffers = 8\n")
    service.systemctl("reload", "captured.service")
    wait_until(lambda: service.entries("CAPTURED_CODE=restart-needed"), "it is said")
    (entry,) = service.entries("CAPTURED_CODE=restart-needed")
    assert (entry["MESSAGE"], entry["PRIORITY"]) == ("needs a restart to change: buffers", "4")


@pytest.mark.parametrize("text", ["linger = ", 'linger = "long"', "bufers = 8"])
def test_wrong_settings_fail_the_reload_and_change_nothing(running: None, text: str) -> None:
    service.settle(text)
    done = service.run("systemctl", "reload", "captured.service", is_checked=False)
    assert done.returncode == 1
    said = [entry["MESSAGE"] for entry in service.entries()]
    assert any(str(service.SETTINGS) in line for line in said)
    assert service.show("ActiveState") == "active"
    assert service.entries("CAPTURED_CODE=reloaded") == []
    service.settle(f'{BASE}[allow]\n"*" = ["root"]\n')
    service.systemctl("reload", "captured.service")
    reloaded()


@pytest.mark.parametrize(
    "text",
    [
        'linger = "long"',
        '[allow]\n"*" = ["a\\u0000b"]',
        f"x = {'[' * 100_000}",
        f"quota = {'1' * 5000}",
        f"linger = {'1' * 400}",
    ],
    ids=["kind", "nul", "depth", "digits", "float"],
)
def test_wrong_settings_that_only_the_signal_brings_are_refused_too(
    running: None, text: str
) -> None:
    service.settle(text)
    service.systemctl("kill", "--signal=HUP", "captured.service")
    wait_until(lambda: service.entries("CAPTURED_CODE=reload-refused"), "it is refused")
    assert service.capturectl_as(service.INSIDE, "snapshot", "/tmp/shot.png").returncode == 0


def test_a_pipe_in_the_place_of_the_file_is_refused_and_not_waited_for(running: None) -> None:
    service.SETTINGS.unlink()
    os.mkfifo(service.SETTINGS)
    service.systemctl("kill", "--signal=HUP", "captured.service")
    wait_until(lambda: service.entries("CAPTURED_CODE=reload-refused"), "it is refused")
    assert service.capturectl_as(service.INSIDE, "snapshot", "/tmp/shot.png").returncode == 0


def test_settings_that_cannot_be_reached_let_nobody_in(running: None, shut: Path) -> None:
    service.settle(f'{BASE}[allow]\n"*" = ["root"]\n')
    service.systemctl("reload", "captured.service")
    reloaded()
    shut.chmod(0o700)
    done = service.run("systemctl", "reload", "captured.service", is_checked=False)
    assert done.returncode == 1
    denied = service.capturectl_as(service.INSIDE, "snapshot", "/tmp/shot.png")
    assert denied.returncode == NotAllowedError.exit_code
    service.systemctl("restart", "captured.service", is_checked=False)
    wait_until(lambda: service.show("ActiveState") == "failed", "it does not start without")
    assert service.show("ExecMainStatus") == "2"


def test_wrong_settings_at_the_start_are_no_reason_to_try_again(stopped: None) -> None:
    service.settle("bufers = 8")
    service.systemctl("start", "captured.service", is_checked=False)
    wait_until(lambda: service.show("ActiveState") == "failed", "it gives up")
    assert (service.show("ExecMainStatus"), service.show("NRestarts")) == ("2", "0")
