# SPDX-License-Identifier: MIT
"""systemctl reload: what it changes, and what it refuses."""

from __future__ import annotations

import pytest

from tests.support import service
from tests.support.processes import wait_until

pytestmark = pytest.mark.slow

BASE = 'modeset = "preferred"\n'


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


def test_wrong_settings_that_only_the_signal_brings_are_refused_too(running: None) -> None:
    service.settle('linger = "long"')
    service.systemctl("kill", "--signal=HUP", "captured.service")
    wait_until(lambda: service.entries("CAPTURED_CODE=reload-refused"), "it is refused")
    assert service.capturectl_as(service.INSIDE, "snapshot", "/tmp/shot.png").returncode == 0


def test_wrong_settings_at_the_start_are_no_reason_to_try_again(stopped: None) -> None:
    service.settle("bufers = 8")
    service.systemctl("start", "captured.service", is_checked=False)
    wait_until(lambda: service.show("ActiveState") == "failed", "it gives up")
    assert (service.show("ExecMainStatus"), service.show("NRestarts")) == ("2", "0")
