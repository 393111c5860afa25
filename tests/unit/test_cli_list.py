# SPDX-License-Identifier: MIT
"""capturectl list: a table for people, an object for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from capturectl.cli import main
from capturectl.cli.list import mode_text
from capturectl.client import connect
from capturectl.protocol import Source, State
from tests.support.fake_daemon import STREAM, FakeDaemon, greeting
from tests.support.frames import RG16, XR24

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capturectl import protocol
    from capturectl.output import Output

OFF = STREAM._replace(
    name="DP-1",
    state=State.OFF,
    width=0,
    height=0,
    refresh_millihertz=0,
    clients=0,
    code="output-off",
    reason="DP-1 is off",
    hint="switch it on",
)

NO_CARD = OFF._replace(
    name="", state=State.BLOCKED, code="no-card", reason="there is no card", hint="load its driver"
)


@pytest.fixture
def daemon_with(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start a daemon with these outputs; return its socket's path."""
    daemons: list[FakeDaemon] = []

    def start(*streams: protocol.Stream) -> str:
        script = [(message, ()) for message in greeting(*streams, fourccs=(XR24, RG16))]
        daemons.append(FakeDaemon(tmp_path / "sock", script))
        return daemons[0].path

    yield start
    for daemon in daemons:
        daemon.close()


def only_output(path: str) -> Output:
    with connect(path) as client:
        return client.output()


def test_the_table_has_a_line_for_each_output(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["list", "-S", daemon_with(STREAM, OFF)])
    assert (status, capsys.readouterr().out) == (
        0,
        "OUTPUT    STATE  MODE          SOURCE     FORMATS    CLIENTS\n"
        "HDMI-A-1  ready  1920x1080@60  writeback  XR24 RG16  2\n"
        "DP-1      off    -             writeback  XR24 RG16  0\n"
        "\n"
        "2 outputs listed.\n",
    )


def test_one_output_is_counted_in_the_singular(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["list", "-S", daemon_with(STREAM)])
    assert capsys.readouterr().out.endswith("\n1 output listed.\n")


def test_no_output_is_no_failure(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["list", "-S", daemon_with()])
    assert (status, capsys.readouterr().out.endswith("\n0 outputs listed.\n")) == (0, True)


def test_why_an_output_is_not_ready_goes_to_standard_error(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["list", "-S", daemon_with(STREAM, OFF)])
    assert capsys.readouterr().err == "DP-1: DP-1 is off: switch it on\n"


def test_no_name_or_reason_commands_the_terminal(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["list", "-S", daemon_with(OFF._replace(name="DP\x1b[2J", reason="\x1b]0;owned\x07"))])
    out, err = capsys.readouterr()
    assert ("\x1b" in out + err, "DP?[2J" in out, err) == (
        False,
        True,
        "DP?[2J: ?]0;owned?: switch it on\n",
    )


def test_an_output_without_a_name_yet_has_a_dash_and_a_reason(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["list", "-S", daemon_with(NO_CARD)])
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:3] == ["-", "blocked", "-"]
    assert said.err == "no name yet: there is no card: load its driver\n"


def test_json_has_driver_and_outputs(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["list", "--json", "-S", daemon_with(STREAM._replace(fourcc=XR24))])
    assert (status, json.loads(capsys.readouterr().out)) == (
        0,
        {
            "schema": "captured/1/list",
            "driver": "vkms",
            "outputs": [
                {
                    "name": "HDMI-A-1",
                    "state": "ready",
                    "source": "writeback",
                    "width": 1920,
                    "height": 1080,
                    "refresh_hz": 60.0,
                    "card": "/dev/dri/card0",
                    "writeback": "Writeback-1",
                    "connector_id": 38,
                    "crtc_id": 36,
                    "clients": 2,
                    "clones": ["Writeback-1", "Writeback-2"],
                    "formats": ["XR24", "RG16"],
                    "format": "XR24",
                    "error": None,
                }
            ],
        },
    )


def test_json_of_an_output_that_is_not_ready_says_why(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["list", "--json", "-S", daemon_with(OFF)])
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    assert output["error"] == {
        "code": "output-off",
        "reason": "DP-1 is off",
        "hint": "switch it on",
    }


def test_json_of_an_output_that_nobody_captures_has_no_format(
    daemon_with: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["list", "--json", "-S", daemon_with(STREAM)])
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    assert output["format"] is None


@pytest.mark.parametrize(
    ("source", "word"),
    [(Source.WRITEBACK, "writeback"), (Source.SCANOUT, "scanout"), (Source.PATTERN, "pattern")],
)
def test_json_names_the_source(
    daemon_with: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    source: Source,
    word: str,
) -> None:
    main(["list", "--json", "-S", daemon_with(STREAM._replace(source=source))])
    (output,) = json.loads(capsys.readouterr().out)["outputs"]
    assert output["source"] == word


@pytest.mark.parametrize(
    ("refresh_mhz", "text"),
    [(60000, "1920x1080@60"), (59940, "1920x1080@59.94"), (23976, "1920x1080@23.98")],
)
def test_a_mode_is_size_and_rate(
    daemon_with: Callable[..., str], refresh_mhz: int, text: str
) -> None:
    path = daemon_with(STREAM._replace(refresh_millihertz=refresh_mhz))
    assert mode_text(only_output(path)) == text
