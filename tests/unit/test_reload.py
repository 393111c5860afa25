# SPDX-License-Identifier: MIT
"""captured.reload: settings that are read again in a running daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from capturectl.errors import UsageError
from captured import config
from captured.config import Config
from captured.reload import Reloader

if TYPE_CHECKING:
    from pathlib import Path


class Running:
    """A daemon, as far as its settings go."""

    def __init__(self, file: Path, overrides: dict[str, Any]) -> None:
        self.file = file
        self.applied: list[Config] = []
        loaded = config.load(str(file), overrides)
        self.reloader = Reloader(str(file), overrides, loaded.config, self.applied.append)

    def reload(self, text: str) -> None:
        self.file.write_text(text)
        self.reloader.reload()


@pytest.fixture
def running(tmp_path: Path) -> Running:
    file = tmp_path / "captured.toml"
    file.write_text('linger = 5\noutput = "DP-1"\n')
    return Running(file, {"buffers": 8})


def test_what_can_change_changes(running: Running) -> None:
    running.reload('linger = 7\noutput = "DP-1"\nquota = 3\nlog = "info"\n[allow]\n"*" = ["0"]')
    assert running.applied == [
        Config(output="DP-1", linger=7.0, buffers=8, quota=3, allow={"*": ["0"]})
    ]


def test_what_cannot_change_stays_and_is_said_to_need_a_restart(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    running.reload('linger = 7\noutput = "DP-2"\n')
    assert running.applied == [Config(output="DP-1", linger=7.0, buffers=8)]
    assert capsys.readouterr().err.splitlines() == [
        "captured: settings read; changed: linger",
        "captured: needs a restart to change: output",
    ]


def test_it_is_said_again_as_long_as_the_restart_is_due(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        running.reload('linger = 5\noutput = "DP-2"\n')
    assert capsys.readouterr().err.count("needs a restart to change: output") == 2


def test_the_command_line_stays_on_top(running: Running) -> None:
    running.reload('linger = 5\noutput = "DP-1"\nbuffers = 12\n')
    assert running.applied == [Config(output="DP-1", linger=5.0, buffers=8)]


@pytest.mark.parametrize("text", ["linger = ", "linger = -1", 'allow = {"*" = ["@no-such"]}'])
def test_wrong_settings_change_nothing_and_are_named(
    running: Running, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running.reload(text)
    assert running.applied == []
    said = capsys.readouterr().err
    assert said.startswith("captured: the settings stay as they are: ")
    assert str(running.file) in said


def test_what_cannot_be_applied_is_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: Config) -> None:
        raise UsageError("there is no group lab")

    monkeypatch.setattr(running.reloader, "_apply", fail)
    running.reload("linger = 9\n")
    assert running.reloader.current.linger == 5.0
    assert "the settings stay as they are: there is no group lab" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("mistake"), RecursionError(), MemoryError()])
def test_whatever_goes_wrong_the_daemon_goes_on(
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def fail(settings: Config) -> None:
        raise error

    monkeypatch.setattr(running.reloader, "_apply", fail)
    running.reload("linger = 9\n")
    assert running.reloader.current.linger == 5.0
    said = capsys.readouterr().err
    assert said.startswith("captured: the settings stay as they are\n")
    assert type(error).__name__ in said


def test_after_wrong_settings_right_ones_are_taken(running: Running) -> None:
    running.reload("linger = -1")
    running.reload('linger = 9\noutput = "DP-1"\n')
    assert running.applied == [Config(output="DP-1", linger=9.0, buffers=8)]


def test_a_setting_that_is_taken_away_is_as_built_in_again(running: Running) -> None:
    running.reload('output = "DP-1"\n')
    assert running.applied == [Config(output="DP-1", linger=10.0, buffers=8)]
