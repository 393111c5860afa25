# SPDX-License-Identifier: MIT
"""captured.config: where settings come from, and what is said of wrong ones."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from capturectl.errors import UsageError
from captured import config
from captured.config import Config, Loaded
from captured.settings import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

XR24 = 0x34325258
_LOAD_AS_NOBODY = """
import os, sys
file, sys.path[:] = sys.argv[1], sys.argv[2:]
from captured import config, settingsfile
from capturectl.errors import UsageError
config.DEFAULT_FILE = file
os.setgid(65534), os.setuid(65534)
try:
    print(config.load(None, {}))
except UsageError as error:
    print(error)
"""


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


# -- files that cannot be reached: they may be what keeps somebody out -------------------------


def unreachable(path: Path) -> str:
    """Return what is said of the usual file, or its drop-ins, when a path is in the way."""
    with pytest.raises(UsageError) as caught:
        load(None, {})
    assert caught.value.reason.startswith(f"{path}: ")
    return caught.value.reason.removeprefix(f"{path}: ")


def test_a_link_to_nothing_is_no_missing_file(file: Path) -> None:
    file.symlink_to("nowhere")
    assert unreachable(file) == "No such file or directory"


def test_a_link_to_itself_is_no_missing_file(file: Path) -> None:
    file.symlink_to(file)
    assert unreachable(file) == "Too many levels of symbolic links"


@pytest.mark.parametrize("target", ["nowhere", "captured.toml.d"])
def test_a_directory_of_drop_ins_that_leads_nowhere_is_no_missing_one(
    file: Path, target: str
) -> None:
    directory = file.with_name("captured.toml.d")
    directory.symlink_to(target)
    assert unreachable(directory)


def test_a_file_in_the_place_of_the_drop_ins_is_an_error(file: Path) -> None:
    directory = file.with_name("captured.toml.d")
    directory.touch()
    assert unreachable(directory) == "Not a directory"


def test_a_file_in_the_place_of_the_directory_is_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.touch()
    monkeypatch.setattr(config, "DEFAULT_FILE", str(file / "captured.toml"))
    assert unreachable(file / "captured.toml") == "Not a directory"


def test_a_directory_that_is_a_link_to_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").symlink_to("nowhere")
    monkeypatch.setattr(config, "DEFAULT_FILE", str(tmp_path / "etc" / "captured.toml"))
    with pytest.raises(UsageError):
        load(None, {})


def test_a_directory_that_is_missing_has_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", str(tmp_path / "none" / "captured.toml"))
    assert load(None, {}) == Config()


@pytest.mark.parametrize("call", ["lstat", "listdir"])
def test_what_may_not_be_looked_at_is_an_error_that_says_which_mode_helps(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def forbid(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    file.with_name("captured.toml.d").mkdir()
    monkeypatch.setattr(os, call, forbid)
    with pytest.raises(UsageError) as caught:
        load(None, {})
    assert "Permission denied" in caught.value.reason
    assert "755" in caught.value.hint


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("shut", ["etc", "etc/captured.toml", "etc/captured.toml.d"])
def test_a_user_who_cannot_reach_the_settings_does_not_start_without(
    shut: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    drop_in_directory = tmp_path / "etc" / "captured.toml.d"
    drop_in_directory.mkdir(parents=True)
    (tmp_path / "etc" / "captured.toml").touch()
    (tmp_path / shut).chmod(0o600)
    words = [sys.executable, "-c", _LOAD_AS_NOBODY, str(tmp_path / "etc" / "captured.toml")]
    done = subprocess.run([*words, *sys.path], check=True, capture_output=True, text=True)
    assert "Permission denied" in done.stdout


# -- what is no file of settings --------------------------------------------------------------


def test_a_pipe_is_not_waited_for(file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(UsageError) as caught:
        load(None, {})
    assert caught.value.reason == f"{file} is no regular file"


def test_a_pipe_is_read_when_it_is_read_once(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"buffers = 8\n")
    os.close(write_end)
    loaded = config.load(f"/dev/fd/{read_end}", {}, is_once=True)
    os.close(read_end)
    assert loaded.config.buffers == 8


@pytest.mark.parametrize("is_once", [True, False])
def test_a_directory_is_no_file_and_leaks_no_descriptor(file: Path, is_once: bool) -> None:
    file.mkdir()
    with pytest.raises(UsageError) as caught:
        config.load(str(file), {}, is_once=is_once)
    assert str(file) in caught.value.reason


def test_a_drop_in_is_a_regular_file_in_any_case(file: Path) -> None:
    os.mkfifo(drop_in(file, "10-x", "").with_name("20-pipe.toml"))
    with pytest.raises(UsageError, match="is no regular file"):
        config.load(None, {}, is_once=True)


@pytest.mark.parametrize(
    "content",
    [
        b"# " + b"x" * (1 << 18),
        b"x = " + b"[" * 100_000,
        b"buffers = " + b"1" * 5000,
        b"linger = " + b"1" * 400,
        b"buffers = 0x" + b"f" * 5000,
        b'card = "a\\u0000b"',
        b'[allow]\n"*" = ["a\\u0000b"]',
        b'[allow]\n"*" = ["@a\\u0000b"]',
        b'[allow]\n"*" = ["%s"]' % (b"1" * 5000),
    ],
    ids=[
        "size", "depth", "digits", "float", "hexadecimal", "nul", "user", "group", "uid",
    ],
)  # fmt: skip
def test_what_no_daemon_could_hold_is_an_error_that_names_the_file(
    file: Path, content: bytes
) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load(file, {})
    assert str(file) in caught.value.reason


# -- wrong values -----------------------------------------------------------------------------


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
        ("modeset", "0x0"),
        ("modeset", "1920x0"),
        ("modeset", "1920x1080@0"),
        ("modeset", "99999999999999999999x1@1"),
        ("modeset", "1x1@" + "9" * 400),
        ("socket", ""),
        ("socket", "a\0b"),
        ("socket", "/" + "x" * 107),
        ("group", "a\0b"),
        ("share", "99999999999:99999999999999"),
        ("share", "3:2147483648"),
        ("share", "0:3"),
        ("allow", {"*": ["99999999999999999999"]}),
        ("allow", {"*": ["@4294967295"]}),
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
