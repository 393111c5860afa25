# SPDX-License-Identifier: MIT
"""`make man`'s pages, before the programs that read them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
NAMES = ("capturectl.1", "captured.8", "captured.toml.5", "capture-protocol.7")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("man")
    command = [sys.executable, "-m", "docs.man", str(path)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1767312000"}
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return path


def test_these_pages_and_no_others_are_made(directory: Path) -> None:
    assert sorted(path.name for path in directory.iterdir()) == sorted(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_clean(directory: Path, name: str) -> None:
    command = ["mandoc", "-T", "lint", "-W", "warning", str(directory / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_the_width_and_shows_no_markup(directory: Path, name: str, width: int) -> None:
    command = ["mandoc", "-T", "ascii", "-O", f"width={width}", str(directory / name)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [word for word in ("\\f", "T{", ".TP", "`", "**") if word in shown] == []
    assert len(shown) > 1000


@pytest.mark.slow
def test_the_date_is_the_one_that_the_build_wants(directory: Path) -> None:
    assert '"2026-01-02"' in (directory / "captured.8").read_text()
