# SPDX-License-Identifier: MIT
"""The README's tour, command by command, on the real driver: it prints what it says it prints."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capturectl.protocol import DEFAULT_SOCKET
from tests.support import readme
from tests.support.processes import PROJECT, DaemonProcess, SceneProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_A_DARK_DISPLAY = "is off"


@pytest.fixture
def daemon() -> Iterator[DaemonProcess]:
    """The daemon, where the README's commands look for it."""
    with DaemonProcess(Path(DEFAULT_SOCKET)) as process:
        yield process


def run(words: str, directory: Path) -> str:
    """Run a command of the README in a shell; return all that it says."""
    done = subprocess.run(
        ["bash", "-c", words], cwd=directory, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": str(PROJECT)}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines() if line.strip())


def assert_as_shown(session: list[readme.Shown], directory: Path) -> None:
    assert session, "the README shows some"
    for shown in session:
        printed = run(shown.words, directory)
        assert readme.shape(printed) == readme.shape(shown.printed), shown.words


@pytest.mark.slow
def test_every_command_of_the_tour_prints_what_the_readme_shows(
    scene: SceneProcess, daemon: DaemonProcess, tmp_path: Path
) -> None:
    scene.tell("hold")
    tour = [shown for shown in readme.session() if OF_A_DARK_DISPLAY not in shown.printed]
    assert_as_shown(tour, tmp_path)


@pytest.mark.slow
def test_a_dark_display_is_refused_as_the_readme_shows(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    refused = [shown for shown in readme.session() if OF_A_DARK_DISPLAY in shown.printed]
    assert_as_shown(refused, tmp_path)


@pytest.mark.slow
def test_the_python_example_runs(
    scene: SceneProcess, daemon: DaemonProcess, tmp_path: Path
) -> None:
    (example,) = readme.blocks("python")
    (tmp_path / "example.py").write_text(example)
    printed = run("python example.py", tmp_path).splitlines()
    assert printed[0] == "Virtual-1 READY 640 480"
    assert printed[2] == "(480, 640, 4)"
