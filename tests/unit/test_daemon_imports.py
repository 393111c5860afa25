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
sys.path[:0] = sys.argv[2:]
import captured.main
__import__(sys.argv[1])
print(*sys.modules)
"""
DISPLAY, PATTERN = "captured.output", "captured.patternoutput"


def loaded(output: str) -> set[str]:
    """Return the modules of a daemon that is about to capture an output of that module."""
    roots = [str(PROJECT), str(PROJECT / "daemon")]
    done = subprocess.run(
        ["/usr/bin/python3", "-IS", "-c", CODE, output, *roots], stdout=subprocess.PIPE, text=True,
        check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_daemon_loads_nothing_heavy() -> None:
    assert loaded(DISPLAY) & HEAVY == set()


def test_the_daemon_of_a_display_loads_no_test_picture() -> None:
    assert "captured.capture.pattern" not in loaded(DISPLAY)


def test_the_daemon_of_the_test_picture_loads_no_libdrm() -> None:
    assert "captured.drm.libdrm" not in loaded(PATTERN)


def test_the_check_sees_what_the_daemon_does_load() -> None:
    assert loaded(DISPLAY) >= {"captured.main", "captured.drm.libdrm", "ctypes", "_socket"}
    assert "captured.capture.pattern" in loaded(PATTERN)
