# SPDX-License-Identifier: MIT
"""capturectl.installed: where the daemon's program is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from capturectl.installed import find_captured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Place programs below a prefix; PREFIX/bin/capturectl is what runs."""

    def place(name: str) -> Path:
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        return program

    monkeypatch.setattr(sys, "argv", [str(place("bin/capturectl"))])
    monkeypatch.setenv("PATH", "/nonexistent")
    return place


def test_the_program_beside_the_command_is_found(install: Callable[[str], Path]) -> None:
    program = install("bin/captured")
    assert find_captured() == str(program)


def test_the_program_in_the_prefix_is_found_without_sbin_in_path(
    install: Callable[[str], Path],
) -> None:
    program = install("sbin/captured")
    assert find_captured() == str(program)


@pytest.mark.parametrize("own", ["bin/captured", "sbin/captured"])
def test_the_program_of_this_command_comes_before_another_in_path(
    install: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    monkeypatch.setenv("PATH", str(install("other/captured").parent))
    program = install(own)
    assert find_captured() == str(program)


def test_the_program_in_path_is_found_where_this_command_has_none(
    install: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = install("other/captured")
    monkeypatch.setenv("PATH", str(other.parent))
    assert find_captured() == str(other)


@pytest.mark.parametrize("own", ["bin/captured", "sbin/captured"])
def test_what_a_link_leads_to_comes_before_what_is_beside_the_link(
    install: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    link = install("links/captured").with_name("capturectl")
    link.symlink_to(tmp_path / "bin/capturectl")
    monkeypatch.setattr(sys, "argv", [str(link)])
    program = install(own)
    assert find_captured() == str(program)


def test_the_program_beside_a_link_is_found(
    install: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = install("links/captured")
    link = program.with_name("capturectl")
    link.symlink_to(tmp_path / "bin/capturectl")
    monkeypatch.setattr(sys, "argv", [str(link)])
    assert find_captured() == str(program)


def test_a_python_of_a_virtual_environment_finds_its_own(
    install: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = install("venv/bin/captured")
    (tmp_path / "venv/bin/python").symlink_to(install("bin/python"))
    install("bin/captured")
    monkeypatch.setattr(sys, "argv", ["-c"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))
    assert find_captured() == str(program)


def test_a_program_in_the_current_directory_is_not_run(
    install: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(install("captured").parent)
    monkeypatch.setattr(sys, "argv", ["-c"])
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert find_captured() == ""


def test_a_directory_of_that_name_is_no_program(
    install: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "bin/captured").mkdir()
    program = install("sbin/captured")
    assert find_captured() == str(program)
