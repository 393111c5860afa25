# SPDX-License-Identifier: MIT
"""What a command may load: start-up time, without a clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fake_daemon import STREAM, FakeDaemon, greeting
from tests.support.processes import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAVY = {
    "argparse", "asyncio", "dataclasses", "importlib.metadata", "inspect", "json", "numpy",
    "pathlib", "PIL", "re", "shutil", "site", "socket", "subprocess", "tempfile",
    "typing", "warnings",
}  # fmt: skip
OF_A_CLIENT = {"capturectl.client", "enum", "contextlib", "_socket"}
PROJECT = Path(__file__).parents[2]
CODE = """
import sys
sys.path.insert(0, {project!r})
from capturectl.cli import latesite, main
latesite.install()
status = main({words!r})
sys.stderr.write(f"{{status}} {{' '.join(sys.modules)}}")
"""


def loaded_by(*words: str, cwd: Path | None = None) -> set[str]:
    """Return the modules that a command has loaded when it is done, without site's."""
    code = CODE.format(project=str(PROJECT), words=list(words))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, check=True, cwd=cwd,
    )  # fmt: skip
    status, *modules = done.stderr.split()
    assert status == "0", done.stderr
    return set(modules)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(tmp_path / "sock", [(message, ()) for message in greeting(STREAM)])
    yield fake
    fake.close()


def test_the_help_loads_the_table_of_commands_and_nothing_else() -> None:
    loaded = {name for name in loaded_by("--help") if name.startswith("capturectl")}
    assert loaded == {
        "capturectl", "capturectl.cli", "capturectl.cli.commands", "capturectl.cli.latesite",
        "capturectl.errors",
    }  # fmt: skip


def test_the_help_loads_nothing_heavy() -> None:
    assert loaded_by("--help") & (HEAVY | OF_A_CLIENT) == set()


def test_a_list_loads_nothing_heavy(daemon: FakeDaemon) -> None:
    assert loaded_by("list", "-S", daemon.path) & HEAVY == set()


def test_the_check_sees_what_a_list_does_load(daemon: FakeDaemon) -> None:
    assert loaded_by("list", "-S", daemon.path) >= OF_A_CLIENT


def test_a_list_loads_nothing_that_only_frames_need(daemon: FakeDaemon) -> None:
    frames = {"capturectl.frame", "capturectl.framestream"}
    assert loaded_by("list", "-S", daemon.path) & frames == set()


@pytest.mark.slow
def test_a_snapshot_to_png_loads_nothing_heavy(tmp_path: Path) -> None:
    socket = tmp_path / "captured.sock"
    with DaemonProcess(socket, "--pattern", "256x48@60"):
        loaded = loaded_by("snapshot", "-S", str(socket), "a.png", cwd=tmp_path)
    assert (loaded & HEAVY, (tmp_path / "a.png").exists()) == (set(), True)
