# SPDX-License-Identifier: MIT
"""captured --examine: facts as JSON, whatever the settings and the machine are like."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from captured import examine
from captured.capture.quirks import quirks_of
from captured.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

NOTES = Path(__file__).parents[2] / "docs/kernel-notes.md"


@pytest.fixture
def seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Examine a machine without cards."""
    monkeypatch.setattr(examine, "card_paths", list)
    monkeypatch.setattr("captured.config.DEFAULT_FILE", str(tmp_path / "none.toml"))

    def look(*words: str) -> dict[str, Any]:
        assert main(["--examine", *words]) == 0
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        return said

    return look


def test_a_machine_without_cards_has_an_empty_list(seen: Callable[..., dict[str, Any]]) -> None:
    said = seen()
    assert (said["schema"], said["cards"]) == ("captured/1/examination", [])
    assert said["settings"]["error"] is None


def test_settings_of_the_file_count(seen: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "captured.toml"
    file.write_text('group = "wheel"\n')
    assert seen("--config", str(file))["settings"]["group"] == "wheel"


def test_wrong_settings_are_told_and_those_built_in_taken(
    seen: Callable[..., dict[str, Any]],
) -> None:
    settings = seen("--buffers", "1")["settings"]
    assert settings["error"]["code"] == "usage"
    assert settings["error"]["is_secret"] is False
    assert settings["buffers"] == 6


def test_settings_that_may_not_be_read_are_secret(
    seen: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, flags: int) -> None:  # as to a user; root may read every file
        raise PermissionError(errno.EACCES, "Permission denied", path)

    file = tmp_path / "captured.toml"
    file.touch()
    monkeypatch.setattr("captured.settingsfile.os.open", refuse)
    assert seen("--config", str(file))["settings"]["error"]["is_secret"] is True


def test_a_named_card_that_is_not_there_is_told(seen: Callable[..., dict[str, Any]]) -> None:
    (card,) = seen("--card", "/dev/dri/card63")["cards"]
    assert (card["path"], card["node"], card["error"]["code"]) == (
        "/dev/dri/card63",
        None,
        "no-card",
    )


def test_a_file_that_is_no_card_is_told(seen: Callable[..., dict[str, Any]]) -> None:
    (card,) = seen("--card", "/dev/null")["cards"]
    assert card["error"]["reason"] == "/dev/null is not a DRM card"


@pytest.mark.parametrize("driver", ["vkms", "rcar-du", "msm", "komeda", "amdgpu", "vc4"])
def test_every_driver_that_the_notes_tell_of_has_its_quirks(driver: str) -> None:
    assert f"\n### {driver}" in NOTES.read_text()
    assert quirks_of(driver)


def test_an_unknown_driver_has_none() -> None:
    assert quirks_of("simpledrm") == ()
