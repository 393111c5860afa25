# SPDX-License-Identifier: MIT
"""capturectl config and version, with the daemon's own program."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import pytest

from capturectl.version import VERSION
from tests.support.processes import DaemonProcess, capturectl

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "captured.toml"
    path.write_text('buffers = 8\nmemory = "sealed"\n')
    (tmp_path / "captured.toml.d").mkdir()
    (tmp_path / "captured.toml.d" / "10-more.toml").write_text("buffers = 9\n")
    return path


def test_show_says_what_each_setting_is_and_where_it_is_from(file: Path) -> None:
    rows = [
        line.split(maxsplit=2)
        for line in capturectl("config", "show", str(file)).stdout.splitlines()
    ]
    assert rows[0] == ["SETTING", "VALUE", "ORIGIN"]
    assert {tuple(row) for row in rows} >= {
        ("buffers", "9", f"{file}.d/10-more.toml"),
        ("memory", "sealed", str(file)),
        ("linger", "10.0", "built in"),
        ("card", "-", "built in"),
    }


def test_show_as_json_keeps_the_kinds_of_values(file: Path) -> None:
    shown = json.loads(capturectl("config", "show", "--json", str(file)).stdout)
    assert shown["schema"] == "captured/1/config"
    assert {"name": "buffers", "value": 9, "origin": f"{file}.d/10-more.toml"} in shown["settings"]


def test_check_says_ok_of_every_file_that_counts(file: Path) -> None:
    done = capturectl("config", "check", str(file))
    assert (done.returncode, sorted(done.stdout.splitlines())) == (
        0,
        sorted([f"{file}: OK", f"{file}.d/10-more.toml: OK"]),
    )


def test_check_says_in_one_line_what_is_wrong(file: Path) -> None:
    file.write_text("bufers = 8\n")
    done = capturectl("config", "check", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"capturectl: {file}: there is no setting bufers: ")
    assert done.stderr.count("\n") == 1


def test_check_as_json_is_an_object_in_both_cases(file: Path) -> None:
    good = json.loads(capturectl("config", "check", "--json", str(file)).stdout)
    file.write_text("not toml")
    bad = json.loads(capturectl("config", "check", "--json", str(file)).stdout)
    assert (good["schema"], good["is_right"]) == ("captured/1/config-check", True)
    assert (bad["schema"], bad["error"]["code"]) == ("captured/1/error", "config")


@pytest.mark.parametrize("text", ["buffers = 8\n", ""])
def test_settings_come_through_standard_input(text: str) -> None:
    done = capturectl("config", "check", "-", input=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "-: OK\n", "")


def test_what_is_wrong_with_standard_input_has_its_name() -> None:
    done = capturectl("config", "check", "-", input="buffers = 4096\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("capturectl: -: buffers 4096 is not")


def test_what_is_from_standard_input_has_its_name() -> None:
    done = capturectl("config", "show", "--json", "-", input="buffers = 8\n")
    rows = json.loads(done.stdout)["settings"]
    assert {"name": "buffers", "value": 8, "origin": "-"} in rows


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = capturectl("config", "check", str(tmp_path / "none.toml"))
    said = f"capturectl: {tmp_path}/none.toml: No such file or directory: name another --config, "
    assert (done.returncode, done.stderr) == (2, f"{said}or correct the link\n")


def test_version_names_everything_that_takes_part(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with DaemonProcess(path, "--pattern", "640x480@60"):
        said = json.loads(capturectl("version", "--json", socket=path).stdout)
    assert said == {
        "schema": "captured/1/version",
        "capturectl": VERSION,
        "python": platform.python_version(),
        "protocol": [1, 1],
        "daemon": {"version": VERSION, "driver": "pattern", "socket": str(path)},
        "error": None,
    }


def test_version_without_a_daemon_says_why_and_is_no_failure(tmp_path: Path) -> None:
    done = capturectl("version", socket=tmp_path / "none")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"captured: not reached: there is no socket {tmp_path}/none" in done.stdout
