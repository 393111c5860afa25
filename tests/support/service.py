# SPDX-License-Identifier: MIT
"""The service as an operator has it: installed, started by systemd, asked for its journal."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.processes import PROJECT, wait_until

PREFIX = Path("/usr/local")
SETTINGS = Path("/etc/captured/captured.toml")
INSIDE, OUTSIDE = "inside", "outside"
"""A user in the group `captured`, and one who is not."""

SOCKET = Path("/run/captured/captured.sock")
_DROP_INS = Path("/run/systemd/system/captured.service.d")


def run(
    *words: object, is_checked: bool = True, timeout: float = 60, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; it has to succeed unless the caller looks at its status."""
    done = subprocess.run(
        [str(word) for word in words], check=False, capture_output=True, text=True,
        timeout=timeout, **options,
    )  # fmt: skip
    assert not is_checked or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done


def install() -> None:
    """Do what docs/operations.md says."""
    run("make", "-C", PROJECT, "--no-print-directory", "install", "VENDOR=no", timeout=180)
    run("systemd-sysusers")
    systemctl("daemon-reload")
    run("udevadm", "control", "--reload")
    run("journalctl", "--update-catalog")


def uninstall() -> None:
    """The same, the other way round."""
    shutil.rmtree(_DROP_INS, ignore_errors=True)
    run("make", "-C", PROJECT, "--no-print-directory", "uninstall")


def add_users() -> None:
    """Make the two users; what systemd-sysusers made is there."""
    run("useradd", "--no-create-home", "--groups", "captured", INSIDE)
    run("useradd", "--no-create-home", OUTSIDE)


def drop_in(name: str, text: str) -> None:
    """Change the unit until it is taken back or the machine is shut down."""
    _DROP_INS.mkdir(parents=True, exist_ok=True)
    (_DROP_INS / f"{name}.conf").write_text(text)
    systemctl("daemon-reload")


def take_back(*names: str) -> None:
    """Take drop-ins back, those that there are."""
    for name in names:
        (_DROP_INS / f"{name}.conf").unlink(missing_ok=True)
    systemctl("daemon-reload")


def settle(text: str) -> None:
    """Write captured.toml."""
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.write_text(text)


def systemctl(*words: str, is_checked: bool = True) -> str:
    """Return what it prints."""
    return run("systemctl", *words, is_checked=is_checked).stdout.strip()


def show(name: str) -> str:
    """Return a property of the unit."""
    return systemctl("show", "--property", name, "--value", "captured.service")


def main_pid() -> int:
    return int(show("MainPID"))


def start() -> None:
    """Start the service and wait until it serves."""
    systemctl("start", "captured.service")
    wait_until(SOCKET.exists, "the service serves")


def stop() -> None:
    systemctl("stop", "captured.service", "captured.socket")
    systemctl("reset-failed", "captured.service", "captured.socket", is_checked=False)


def capturectl_as(user: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a user, somewhere that is not the project."""
    command = (PREFIX / "bin/capturectl", "--socket", SOCKET, *words)
    return run("runuser", "-u", user, "--", *command, is_checked=False, cwd="/tmp")


def entries(*matches: str) -> list[dict[str, Any]]:
    """Return the journal's entries of the present run of the service."""
    run("journalctl", "--sync")
    wanted = f"_SYSTEMD_INVOCATION_ID={show('InvocationID')}"
    lines = run("journalctl", "--output=json", wanted, *matches).stdout.splitlines()
    return [json.loads(line) for line in lines]
