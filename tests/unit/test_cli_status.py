# SPDX-License-Identifier: MIT
"""capturectl status: blocks for people, an object for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from capturectl.cli import main
from capturectl.fourcc import fourcc_code
from capturectl.protocol import EngineState, Source, State
from tests.support.answering_daemon import CLIENT, ENGINE, PLANE, AnsweringDaemon
from tests.support.fake_daemon import STREAM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str]]

ATTACHED = STREAM._replace(fourcc=fourcc_code("XR24"))
IDLE = ENGINE._replace(
    state=EngineState.IDLE, captured=0, buffers=0, pool_bytes=0, fps_millihertz=0, word=""
)
OFF = STREAM._replace(
    name="DP-1", state=State.OFF, width=0, height=0, refresh_millihertz=0, clones="",
    code="output-off", reason="DP-1 is off", hint="switch it on",
)  # fmt: skip


@pytest.fixture
def status(start: Callable[..., AnsweringDaemon], capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `status` against a daemon with these options; return exit status and output."""

    def run(*words: str, **options: Any) -> tuple[int, str]:
        code = main(["status", *words, "-S", start(**options).path])
        return code, capsys.readouterr().out

    return run


@pytest.mark.parametrize("words", [(), ("HDMI-A-1",)])
def test_an_output_that_the_daemons_answer_lacks_is_a_protocol_error(
    start: Callable[..., AnsweringDaemon],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    assert main(["status", *words, "-S", start(engines=()).path]) == 1
    assert capsys.readouterr() == (
        "",
        "capturectl: the daemon does not say what it does with HDMI-A-1\n",
    )


@pytest.mark.parametrize(
    "words",
    [["top", "-b", "-n", "1"], ["top", "--json", "-n", "1"], ["metrics"], ["clients"]],
    ids=" ".join,
)
def test_others_show_what_there_is(
    start: Callable[..., AnsweringDaemon],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    assert main([*words, "-S", start(engines=(), planes=(), clients=()).path]) == 0
    assert capsys.readouterr().err == ""


def test_all_there_is_to_know_of_an_output(status: Run) -> None:
    assert status(streams=[ATTACHED]) == (
        0,
        "HDMI-A-1\n"
        "          State: ready\n"
        "           Mode: 1920x1080@60\n"
        "         Source: writeback\n"
        "           Card: /dev/dri/card0\n"
        "      Connector: 38\n"
        "           CRTC: 36\n"
        "      Writeback: Writeback-1\n"
        "         Clones: Writeback-1 Writeback-2\n"
        "        Formats: XR24 (in use), RG16\n"
        "         Planes: 31 Primary 1920x1080+0+0 XR24, zpos 0, set by weston\n"
        "                 35 Cursor 64x64-8+40 ?, zpos 2\n"
        "         Attach: capturing\n"
        "       Attached: 4 times\n"
        "           Pool: 6 buffers (47.5 MiB): 3 free, 2 lent, 1 quarantined; generation 7\n"
        "           Rate: 59.9 fps\n"
        "Commit to fence: 16.4 ms (p50), 17.9 ms (p99)\n"
        "  Fence to sent: 0.1 ms (p50), 2.3 ms (p99)\n"
        "         Frames: 1234 captured, 5 missed, 2 lost, 3 revoked\n"
        "        Clients: 9 mpv (pid 4321, root)\n"
        "     Last error: 1m 30s ago: HDMI-A-1: the driver loses captures: see the kernel's log\n",
    )


def test_an_output_that_is_off_says_why_and_what_to_do(
    status: Run,
) -> None:
    _, text = status(streams=[OFF], engines=[IDLE], planes=[], clients=[])
    assert text == (
        "DP-1\n"
        "    State: off\n"
        "   Reason: DP-1 is off: switch it on\n"
        "     Mode: -\n"
        "   Source: writeback\n"
        "     Card: /dev/dri/card0\n"
        "Connector: 38\n"
        "     CRTC: 36\n"
        "Writeback: Writeback-1\n"
        "   Clones: none that the driver declares\n"
        "  Formats: XR24, RG16\n"
        "   Attach: idle\n"
        " Attached: 4 times\n"
        "     Pool: none\n"
        "     Rate: 0.0 fps\n"
        "   Frames: 0 captured, 5 missed, 2 lost, 3 revoked\n"
        "  Clients: none\n"
    )


def test_a_test_picture_has_no_connectors(status: Run) -> None:
    pattern = STREAM._replace(
        source=Source.PATTERN, writeback="", connector_id=0, crtc_id=0, card="", clones=""
    )
    _, text = status(streams=[pattern])
    assert [w for w in ("Connector", "CRTC", "Writeback", "Clones", "Card") if w in text] == []


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (EngineState.IDLE, "idle"),
        (EngineState.CAPTURING, "capturing"),
        (EngineState.LINGERING, "lingering"),
        (EngineState.DOUBTED, "doubted"),
        (EngineState.SUSPENDED, "suspended"),
        (77, "unknown-77"),
    ],
)
def test_what_the_daemon_does_is_a_word(status: Run, state: int, word: str) -> None:
    assert f"Attach: {word}\n" in status(engines=[ENGINE._replace(state=state)])[1]


def test_memory_of_former_pools_is_named_where_there_is_any(
    status: Run,
) -> None:
    assert "Retired: 8.0 MiB\n" in status(engines=[ENGINE._replace(retired_bytes=8 << 20)])[1]


def test_outputs_stand_below_each_other(status: Run) -> None:
    _, text = status(streams=[STREAM, OFF], engines=[ENGINE, IDLE])
    first, second = text.split("\n\n")
    assert (first.split("\n")[0], second.split("\n")[0]) == ("HDMI-A-1", "DP-1")


def test_a_named_output_stands_alone(status: Run) -> None:
    _, text = status("DP-1", streams=[STREAM, OFF], engines=[ENGINE, IDLE])
    assert (text.startswith("DP-1\n"), "HDMI-A-1" in text) == (True, False)


def test_a_name_that_no_output_has_exits_4(
    status: Run,
) -> None:
    assert status("HDMI-A-9") == (4, "")


def test_with_json_a_name_that_no_output_has_is_an_object(
    status: Run,
) -> None:
    code, text = status("HDMI-A-9", "--json")
    assert (code, json.loads(text)["error"]["code"]) == (4, "no-output")


def test_no_daemon_exits_3(tmp_path: Path) -> None:
    assert main(["status", "-S", str(tmp_path / "nothing")]) == 3


def test_a_daemon_that_is_too_old_for_questions_exits_4(
    status: Run,
) -> None:
    assert status(capabilities=0) == (4, "")


def test_no_output_is_no_failure(status: Run) -> None:
    assert status(streams=[], engines=[]) == (0, "The daemon has no output.\n")


def test_no_name_commands_the_terminal(status: Run) -> None:
    evil = "\x1b[2J\n\x07"
    _, text = status(
        streams=[STREAM._replace(name=evil, reason=evil, hint=evil, writeback=evil)],
        engines=[ENGINE._replace(reason=evil)],
        planes=[PLANE._replace(setter=evil, kind=evil)],
        clients=[(1, CLIENT._replace(name=evil))],
    )
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert len(text.splitlines()) == 21


def test_json_has_all_of_it(status: Run) -> None:
    code, text = status("--json", streams=[ATTACHED])
    found = json.loads(text)
    (output,) = found.pop("outputs")
    assert (code, found) == (
        0,
        {"schema": "captured/1/status", "driver": "vkms", "daemon": "0.1.0"},
    )
    assert {name: output[name] for name in ("name", "format", "clones", "crtc_id")} == {
        "name": "HDMI-A-1",
        "format": "XR24",
        "clones": ["Writeback-1", "Writeback-2"],
        "crtc_id": 36,
    }
    assert output["engine"] == {
        "state": "capturing",
        "subscribers": 1,
        "captured": 1234,
        "missed": 5,
        "lost": 2,
        "revoked": 3,
        "attached": 4,
        "generation": 7,
        "fps": 59.94,
        "commit_to_fence_us": {"p50": 16400, "p99": 17900},
        "fence_to_sent_us": {"p50": 120, "p99": 2300},
        "pool": {
            "buffers": 6,
            "free": 3,
            "lent": 2,
            "quarantined": 1,
            "bytes": 49766400,
            "retired_bytes": 0,
        },
        "last_error": {
            "code": "out-of-step",
            "reason": "HDMI-A-1: the driver loses captures",
            "hint": "see the kernel's log",
            "time_ns": 909_500_000_000,
            "age_s": 90.5,
        },
    }
    assert output["planes"][1] == {
        "plane_id": 35,
        "fb_id": 72,
        "x": -8,
        "y": 40,
        "width": 64,
        "height": 64,
        "zpos": 2,
        "kind": "Cursor",
        "setter": None,
        "format": None,
    }
    assert [row["name"] for row in output["subscribers"]] == ["mpv"]


def test_json_of_no_output_is_an_empty_list(status: Run) -> None:
    assert json.loads(status("--json", streams=[], engines=[])[1])["outputs"] == []


def test_json_of_an_output_without_an_error_says_null(
    status: Run,
) -> None:
    (output,) = json.loads(status("--json", engines=[IDLE])[1])["outputs"]
    assert output["engine"]["last_error"] is None
