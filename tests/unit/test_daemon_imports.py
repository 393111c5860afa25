# SPDX-License-Identifier: MIT
"""What the daemon loads when it starts: every frame that a restart costs is in this list."""

from __future__ import annotations

import subprocess

from tests.support.processes import PROJECT

HEAVY = {
    "argparse", "asyncio", "capturectl.client", "dataclasses", "inspect", "json", "logging",
    "numpy", "pathlib", "re", "selectors", "shutil", "socket", "subprocess", "tempfile",
    "threading", "tomllib", "typing", "warnings",
}  # fmt: skip
CODE = """
import sys
sys.path[:0] = sys.argv[1:]
import captured.main
print(*sys.modules)
"""


def loaded() -> set[str]:
    """Return the modules of a daemon that is about to read its settings."""
    roots = [str(PROJECT), str(PROJECT / "daemon")]
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", CODE, *roots], stdout=subprocess.PIPE, text=True,
        check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_daemon_loads_nothing_heavy() -> None:
    assert loaded() & HEAVY == set()


def test_the_check_sees_what_the_daemon_does_load() -> None:
    assert loaded() >= {"captured.main", "captured.drm.writeback", "ctypes", "_socket"}
