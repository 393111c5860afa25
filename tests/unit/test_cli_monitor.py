# SPDX-License-Identifier: MIT
"""capturectl monitor: one JSON object for each event, and how it ends."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from capturectl import protocol
from capturectl.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.answering_daemon import AnsweringDaemon

    Run = Callable[..., tuple[int, list[dict[str, Any]]]]
    Start = Callable[..., AnsweringDaemon]

SUBSCRIBED = protocol.Event(
    protocol.EventKind.SUBSCRIBED, 4321, 9, 0, 5_000_000_000, 1000, "mpv", "", "", ""
)
LOST = protocol.Event(
    protocol.EventKind.CAPTURE_LOST, 0, 0, 77, 6_000_000_000, 0, "HDMI-A-1", "", "", ""
)
OFF = protocol.Event(
    protocol.EventKind.OUTPUT_STATE, 0, 0, 0, 7_000_000_000, 0, "HDMI-A-1",
    "output-off", "HDMI-A-1 is off", "switch it on",
)  # fmt: skip
ALL = ((1, SUBSCRIBED), (1, LOST), (1, OFF))


@pytest.fixture
def monitor(start: Start, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `monitor` against a daemon where these events happen; return status and lines."""

    def run(*words: str, **options: Any) -> tuple[int, list[dict[str, Any]]]:
        status = main(["monitor", *words, "-S", start(**options).path])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_each_event_is_an_object_of_its_own(monitor: Run) -> None:
    status, lines = monitor("-n", "3", events=ALL)
    for line in lines:
        del line["time"], line["schema"]
    assert (status, lines[1:]) == (
        0,
        [
            {
                "kind": "subscribed",
                "time_ns": 5_000_000_000,
                "output": "HDMI-A-1",
                "client": {"client": 9, "name": "mpv", "pid": 4321, "uid": 1000},
                "sequence": None,
                "error": None,
            },
            {
                "kind": "capture-lost",
                "time_ns": 6_000_000_000,
                "output": "HDMI-A-1",
                "client": None,
                "sequence": 77,
                "error": None,
            },
            {
                "kind": "output-state",
                "time_ns": 7_000_000_000,
                "output": "HDMI-A-1",
                "client": None,
                "sequence": None,
                "error": {
                    "code": "output-off",
                    "reason": "HDMI-A-1 is off",
                    "hint": "switch it on",
                },
            },
        ],
    )


def test_every_line_has_the_same_schema_and_fields(monitor: Run) -> None:
    _, lines = monitor("-n", "3", events=ALL)
    assert {line["schema"] for line in lines} == {"captured/1/event"}
    assert len({tuple(line) for line in lines}) == 1


def test_the_first_line_says_that_it_listens(monitor: Run) -> None:
    _, lines = monitor("-n", "1", events=ALL)
    assert [line["kind"] for line in lines] == ["daemon-startup", "subscribed"]


def test_the_time_of_day_is_that_of_the_event(monitor: Run) -> None:
    now_ns = time.monotonic_ns()
    before = time.time()
    event = SUBSCRIBED._replace(time_ns=now_ns - 5_000_000_000)
    _, (_, line) = monitor("-n", "1", events=[(1, event)])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    told = datetime.fromisoformat(line["time"]).timestamp()
    assert abs(told - (before - 5)) < 0.5


def test_a_kind_of_a_newer_daemon_is_a_number(monitor: Run) -> None:
    _, (_, line) = monitor("-n", "1", events=[(1, SUBSCRIBED._replace(kind=99))])
    assert line["kind"] == "unknown-99"


def test_events_that_were_left_out_are_counted(monitor: Run) -> None:
    kind = protocol.EventKind.EVENTS_LOST
    lost = SUBSCRIBED._replace(kind=kind, client=0, sequence=412, word="events-lost")
    _, (_, line) = monitor("-n", "1", events=[(0, lost)])
    assert (line["kind"], line["sequence"]) == ("events-lost", 412)
    assert line["error"]["code"] == "events-lost"


def test_a_line_cannot_be_broken_or_command_the_terminal(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = SUBSCRIBED._replace(name="\x1b[2J\n\u202e")
    main(["monitor", "-n", "1", "-S", start(events=[(1, evil)]).path])
    out = capsys.readouterr().out
    assert (out.count("\n"), out.replace("\n", "").isprintable()) == (2, True)


# -- how it ends ------------------------------------------------------------------------------


def last_line(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Return kind and error code of the command's last line; it has said an error, too."""
    out, err = capsys.readouterr()
    assert err.startswith("capturectl: ")
    line = json.loads(out.splitlines()[-1])
    return line["kind"], line["error"]["code"]


def test_a_connection_that_ends_without_a_word_is_said_and_exits_1(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["monitor", "-S", start(events=ALL).path])
    assert (status, last_line(capsys)) == (1, ("connection-lost", "lost"))


def test_a_daemon_that_says_it_ends_is_said_and_exits_1(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    bye = protocol.BYE.pack(protocol.Bye(protocol.ByeReason.SHUTDOWN))
    status = main(["monitor", "-S", start(events=ALL, last=bye).path])
    assert (status, last_line(capsys)) == (1, ("daemon-shutdown", "stopped"))


def test_a_client_that_is_cut_off_does_not_say_that_the_daemon_ends(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    error = protocol.Error(
        protocol.ErrorCode.DEVICE_LOST, protocol.ErrorFlag.FATAL, 0, "disconnected", "by uid 0", ""
    )
    status = main(["monitor", "-S", start(events=ALL, last=protocol.ERROR.pack(error)).path])
    assert (status, last_line(capsys)) == (1, ("connection-lost", "disconnected"))


def test_the_time_that_is_over_is_no_failure(monitor: Run) -> None:
    status, lines = monitor("--timeout", "0.1")
    assert (status, [line["kind"] for line in lines]) == (0, ["daemon-startup"])


def test_too_few_events_in_time_exit_6(monitor: Run) -> None:
    status, lines = monitor("-n", "1", "--timeout", "0.1")
    assert (status, [line["kind"] for line in lines]) == (6, ["daemon-startup"])


def test_no_daemon_exits_3(tmp_path: Path) -> None:
    assert main(["monitor", "-S", str(tmp_path / "nothing")]) == 3


def test_no_daemon_exits_3_with_reconnect_too(tmp_path: Path) -> None:
    assert main(["monitor", "--reconnect", "-S", str(tmp_path / "nothing")]) == 3


def test_no_daemon_in_time_exits_3(tmp_path: Path) -> None:
    words = ["monitor", "--wait", "--timeout", "0.1", "-S", str(tmp_path / "nothing")]
    assert main(words) == 3


def test_a_daemon_that_is_too_old_for_events_exits_4(start: Start) -> None:
    assert main(["monitor", "-S", start(capabilities=0).path]) == 4


@pytest.mark.parametrize("words", [("-n", "0"), ("--timeout", "-1"), ("extra",)], ids=" ".join)
def test_what_makes_no_sense_exits_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["monitor", *words])
    assert caught.value.code == 2
