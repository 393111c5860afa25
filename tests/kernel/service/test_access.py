# SPDX-License-Identifier: MIT
"""Who may see an output, decided by a service that runs."""

from __future__ import annotations

import re

import pytest

from captured.capture.engine import Settings
from tests.support import service
from tests.support.processes import Process, wait_until

pytestmark = pytest.mark.slow

POOL_SIZE = Settings().pool_size
BASE = 'modeset = "preferred"\nlinger = 0.5\n'


def allow(*who: str) -> None:
    """Change the rule of the running service."""
    names = ", ".join(f'"{name}"' for name in who)
    service.settle(f'{BASE}[allow]\n"Virtual-1" = [{names}]\n')
    service.systemctl("reload", "captured.service")
    wait_until(lambda: service.entries("CAPTURED_CODE=reloaded"), "the settings are read")


def snapshot(user: str = service.INSIDE) -> tuple[int, str]:
    taken = service.capturectl_as(user, "snapshot", f"/tmp/{user}.png")
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


WATCH = """
with capturectl.connect(socket) as client:
    for frame in client.stream():
        print(frame.sequence, flush=True)
        frame.release()
"""

KEEP = """
import glob, os, time

def dmabufs():
    fds = filter(os.path.islink, glob.glob("/proc/self/fd/*"))
    return [int(os.path.basename(fd)) for fd in fds if "dmabuf" in os.readlink(fd)]

try:
    while True:
        with capturectl.connect(socket) as client:
            frames = [client.snapshot() for _ in range(2)]
            for fd in dmabufs():
                os.dup(fd)
            frames.clear()
        time.sleep(2)  # longer than the daemon lingers
except capturectl.CaptureError as error:
    print(error.code, len(dmabufs()), flush=True)
    time.sleep(60)
"""
"""Keeps the descriptors of every pool for itself, until that is refused."""


def library_as(user: str, program: str) -> Process:
    """Run a program with the installed library, as a user."""
    head = (
        f"import sys; sys.path.insert(0, '{service.PREFIX}/lib/captured')\n"
        f"import capturectl; socket = {str(service.SOCKET)!r}\n"
    )
    become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]
    return Process([*become, "/usr/bin/python3", "-I", "-c", head + program], cwd="/tmp")


def test_a_user_who_keeps_former_buffers_costs_nobody_else_theirs(running: None) -> None:
    with library_as(service.INSIDE, KEEP) as hoarder:
        assert hoarder.popen.stdout is not None
        code, kept = hoarder.popen.stdout.readline().split()
        assert code == "capacity"
        assert int(kept) > POOL_SIZE
        assert snapshot()[0] != 0
        assert snapshot("root") == (0, "")
    assert snapshot() == (0, "")


def test_a_user_who_loses_the_right_is_cut_off(running: None) -> None:
    with library_as(service.INSIDE, WATCH) as viewer:
        assert viewer.popen.stdout is not None
        assert viewer.popen.stdout.readline().strip().isdecimal()
        allow("root")
        assert viewer.popen.wait(20) != 0
        assert "NotAllowedError" in viewer.log()
