# SPDX-License-Identifier: MIT
"""Who may see an output, decided by a service that runs."""

from __future__ import annotations

import re

import pytest

from tests.support import service
from tests.support.processes import Process, wait_until

pytestmark = pytest.mark.slow

BASE = 'modeset = "preferred"\nlinger = 0.5\n'


def allow(*who: str) -> None:
    """Change the rule of the running service."""
    names = ", ".join(f'"{name}"' for name in who)
    service.settle(f'{BASE}[allow]\n"Virtual-1" = [{names}]\n')
    service.systemctl("reload", "captured.service")
    wait_until(lambda: service.entries("CAPTURED_CODE=reloaded"), "the settings are read")


def snapshot(user: str = service.INSIDE) -> tuple[int, str]:
    taken = service.capturectl_as(user, "snapshot", "/tmp/shot.png")
    return taken.returncode, taken.stderr


def test_a_user_who_is_named_gets_frames(running: None) -> None:
    allow(service.INSIDE)
    assert snapshot() == (0, "")


def test_a_user_of_a_group_that_is_named_gets_frames(running: None) -> None:
    allow("@captured")
    assert snapshot() == (0, "")


def test_a_user_who_is_not_named_gets_status_seven_and_one_line(running: None) -> None:
    allow("root")
    status, said = snapshot()
    assert status == 7
    assert re.fullmatch(r"capturectl: user \d+ may not see Virtual-1: .*`allow`.*\n", said)


def test_the_journal_has_every_decision(running: None) -> None:
    uid = service.run("id", "-u", service.INSIDE).stdout.strip()

    def left() -> int:
        return len(service.entries(f"CAPTURED_UID={uid}", "CAPTURED_CODE=left"))

    snapshot()
    allow("root")
    snapshot()
    wait_until(lambda: left() == 2, "the daemon has seen both hang up")
    decisions = [
        (entry.get("CAPTURED_CODE", "subscribed"), entry.get("CAPTURED_OUTPUT"))
        for entry in service.entries(f"CAPTURED_UID={uid}")
        if "CAPTURED_CODE" in entry or "CAPTURED_OUTPUT" in entry
    ]
    assert decisions == [
        ("connected", None), ("subscribed", "Virtual-1"), ("left", None),
        ("connected", None), ("not-allowed", "Virtual-1"), ("left", None),
    ]  # fmt: skip


def test_a_user_who_loses_the_right_is_cut_off(running: None) -> None:
    watch = (
        "import capturectl, sys\n"
        f"with capturectl.connect({str(service.SOCKET)!r}) as client:\n"
        "    for frame in client.stream():\n"
        "        print(frame.sequence, flush=True)\n"
        "        frame.release()\n"
    )
    library = f"import sys; sys.path.insert(0, '{service.PREFIX}/lib/captured')\n"
    words = [
        "runuser",
        "-u",
        service.INSIDE,
        "--",
        "/usr/bin/python3",
        "-I",
        "-c",
        library + watch,
    ]
    with Process(words, cwd="/tmp") as viewer:
        assert viewer.popen.stdout is not None
        assert viewer.popen.stdout.readline().strip().isdecimal()
        allow("root")
        assert viewer.popen.wait(20) != 0
        assert "NotAllowedError" in viewer.log()
