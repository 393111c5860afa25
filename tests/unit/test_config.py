# SPDX-License-Identifier: MIT
"""captured.config: where settings come from, and what is said of wrong ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from capturectl.errors import UsageError
from captured import config
from captured.config import Config, Loaded
from captured.settings import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

XR24 = 0x34325258


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "captured.toml"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", str(file))


def read(file: Path | None, overrides: dict[str, Any]) -> Loaded:
    return config.load(None if file is None else str(file), overrides)


def load(file: Path | None, overrides: dict[str, Any]) -> Config:
    return read(file, overrides).config


def drop_in(file: Path, name: str, text: str) -> Path:
    directory = file.with_name(file.name + ".d")
    directory.mkdir(exist_ok=True)
    written = directory / name
    written.write_text(text)
    return written


# -- where settings come from -----------------------------------------------------------------


def test_without_files_every_setting_has_its_default() -> None:
    assert load(None, {}) == Config(
        card="",
        output="",
        socket="/run/captured/captured.sock",
        modeset="keep",
        format="",
        buffers=6,
        linger=10.0,
        log="info",
    )


def test_the_file_replaces_defaults(file: Path) -> None:
    file.write_text('output = "HDMI-A-1"\nbuffers = 8\nlinger = 5\n')
    assert load(file, {}) == Config(output="HDMI-A-1", buffers=8, linger=5.0)


def test_the_usual_file_is_read_when_none_is_named(file: Path) -> None:
    file.write_text("buffers = 8\n")
    assert load(None, {}).buffers == 8


def test_drop_ins_replace_the_file_in_the_order_of_their_names(file: Path) -> None:
    file.write_text('buffers = 7\nlog = "error"\noutput = "DP-1"\n')
    drop_in(file, "20-late.toml", "buffers = 9\n")
    drop_in(file, "10-early.toml", 'buffers = 8\nlog = "debug"\n')
    settings = load(file, {})
    assert (settings.buffers, settings.log, settings.output) == (9, "debug", "DP-1")


def test_drop_ins_are_read_without_the_usual_file(file: Path) -> None:
    drop_in(file, "10-site.toml", "buffers = 8\n")
    assert load(None, {}).buffers == 8


def test_drop_ins_of_another_suffix_are_not_read(file: Path) -> None:
    drop_in(file, "10-site.toml.dpkg-old", "buffers = 8\n")
    assert load(None, {}).buffers == 6


def test_the_command_line_is_on_top(file: Path) -> None:
    file.write_text('buffers = 7\nlog = "error"\n')
    drop_in(file, "10-site.toml", "buffers = 8\n")
    settings = load(file, {"buffers": 12})
    assert (settings.buffers, settings.log) == (12, "error")


def test_the_pixel_format_is_known_by_its_code() -> None:
    assert load(None, {"format": "XR24"}).fourcc == XR24


def test_no_pixel_format_takes_the_best() -> None:
    assert load(None, {}).fourcc == 0


@pytest.mark.parametrize("wish", ["keep", "preferred", "1920x1080", "1920x1080@59.94"])
def test_each_way_to_light_a_display_is_taken(wish: str) -> None:
    assert load(None, {"modeset": wish}).modeset == wish


# -- wrong ones -------------------------------------------------------------------------------


def test_a_named_file_that_is_missing_is_an_error_that_names_it(file: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(file, {})
    assert str(file) in caught.value.reason


@pytest.mark.parametrize("content", [b"buffers = \n", b"output = '\xff'\n"])
def test_a_file_that_is_no_toml_is_an_error_that_names_it(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load(file, {})
    assert str(file) in caught.value.reason


def test_an_unknown_key_is_an_error_that_names_file_and_key(file: Path) -> None:
    file.write_text("bufers = 8\n")
    with pytest.raises(UsageError) as caught:
        load(file, {})
    assert str(file) in caught.value.reason
    assert "bufers" in caught.value.reason
    assert "buffers" in caught.value.hint


def test_a_wrong_value_in_a_drop_in_names_the_drop_in(file: Path) -> None:
    file.write_text("buffers = 8\n")
    wrong = drop_in(file, "10-site.toml", 'linger = "long"\n')
    with pytest.raises(UsageError) as caught:
        load(file, {})
    assert str(wrong) in caught.value.reason
    assert "linger" in caught.value.reason


def test_a_wrong_value_is_not_excused_by_a_later_file(file: Path) -> None:
    file.write_text("buffers = 1\n")
    drop_in(file, "10-site.toml", "buffers = 8\n")
    with pytest.raises(UsageError):
        load(file, {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("card", 0),
        ("socket", 1.5),
        ("buffers", "6"),
        ("buffers", 6.5),
        ("buffers", True),
        ("buffers", 2),
        ("buffers", 65),
        ("linger", -1),
        ("linger", float("nan")),
        ("linger", float("inf")),
        ("format", "xrgb8888"),
        ("format", "XR2"),
        ("modeset", "always"),
        ("modeset", "1920x"),
        ("log", "INFO"),
        ("log", "loud"),
        ("group", "nosuchgroup"),
        ("pattern", "1x1@1"),
        ("pattern", "640x480@0"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_key(key: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        load(None, {key: value})
    assert key in caught.value.reason


def test_a_wrong_mode_in_a_file_names_the_file(file: Path) -> None:
    file.write_text('modeset = "always"\n')
    with pytest.raises(UsageError) as caught:
        load(file, {})
    assert str(file) in caught.value.reason


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ('group = "nosuchgroup"', "there is no group nosuchgroup"),
        ('pattern = "1x1@1"', "pattern '1x1@1' is smaller than 256x48"),
    ],
)
def test_what_only_its_user_can_judge_names_the_file_too(
    file: Path, setting: str, reason: str
) -> None:
    file.write_text(setting)
    with pytest.raises(UsageError) as caught:
        load(file, {})
    assert caught.value.reason == f"{file}: {reason}"


def test_a_wrong_value_that_a_later_file_replaces_is_not_judged(file: Path) -> None:
    file.write_text('group = "nosuchgroup"')
    drop_in(file, "10-site.toml", 'group = "root"')
    assert load(file, {}).group == "root"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load(None, {}).buffers = 7  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    assert tuple(SETTINGS) == Config._fields


def test_every_default_is_allowed() -> None:
    settings = {name: value for name, value in Config()._asdict().items() if value is not None}
    assert load(None, settings) == Config()


def test_each_setting_names_where_it_came_from(file: Path) -> None:
    file.write_text("buffers = 7\nlinger = 3\n")
    late = drop_in(file, "10-site.toml", "linger = 5\n")
    assert read(file, {"log": "debug"}).origins == {
        "buffers": str(file),
        "linger": str(late),
        "log": "command line",
    }
