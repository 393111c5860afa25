# SPDX-License-Identifier: MIT
"""What is installed: the wheel, the sdist and the editable install."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SMOKE = "import capturectl, captured.main; print(capturectl.__file__, captured.__file__)"


def run(*words: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel from it."""
    directory = tmp_path_factory.mktemp("dist")
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", directory)
    run(*command, PROJECT, cwd=directory)
    return directory


@pytest.mark.slow
def test_the_wheel_holds_the_two_packages_and_a_launcher_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
    names = {name.split("/")[0] for name in files}
    assert {name for name in names if not name.endswith((".dist-info", ".data"))} == {
        "capturectl",
        "captured",
    }
    data = [name.partition("/")[2] for name in files if ".data/" in name]
    assert data == ["scripts/capturectl"]


@pytest.mark.slow
def test_the_sdist_holds_what_tests_and_packagers_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "README.md",
        "LICENSE",
        "Makefile",
        "capturectl/py.typed",
        "daemon/captured/main.py",
        "tests/vm/run",
        "docs/protocol.md",
    } <= names


@pytest.mark.slow
def test_an_installed_wheel_has_both_commands_and_imports_anywhere(
    built: Path, tmp_path: Path
) -> None:
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet",
        "--disable-pip-version-check", wheel, cwd=tmp_path,
    )  # fmt: skip
    for command in ("captured", "capturectl"):
        assert "0.1.0" in run(tmp_path / "venv/bin" / command, "--version", cwd=tmp_path)


@pytest.mark.slow
def test_the_editable_install_uses_this_tree(tmp_path: Path) -> None:
    places = run(sys.executable, "-P", "-c", SMOKE, cwd=tmp_path)
    assert places.split() == [
        str(PROJECT / "capturectl/__init__.py"),
        str(PROJECT / "daemon/captured/__init__.py"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["daemon", "tests"])
def test_no_folder_of_the_tree_becomes_an_import_name(tmp_path: Path, name: str) -> None:
    found = f"import importlib.util as u; print(u.find_spec({name!r}))"
    assert run(sys.executable, "-P", "-c", found, cwd=tmp_path) == "None\n"
