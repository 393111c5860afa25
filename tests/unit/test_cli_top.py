# SPDX-License-Identifier: MIT
"""capturectl top: what it says of one time, and of what came since the time before."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from capturectl.cli import main
from capturectl.cli.sample import Sample, as_json, as_lines
from capturectl.conversation import Subscribed
from tests.support.answering_daemon import CLIENT, ENGINE, NOW_NS, AnsweringDaemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    Start = Callable[..., AnsweringDaemon]


def sample(at_s: float, **changes: Any) -> Sample:
    """Return how things are so many seconds after the beginning, of one client."""
    status = CLIENT._replace(**changes)
    return Sample(
        "captured 0.1.0 (vkms)",
        NOW_NS + round(at_s * 1e9),
        {"HDMI-A-1": ENGINE},
        {(status.client, "HDMI-A-1"): Subscribed("HDMI-A-1", status)},
    )


def row(now: Sample, before: Sample | None) -> list[str]:
    """Return the words of the client's line."""
    return as_lines(now, before, None)[-1].split()


# -- rates ------------------------------------------------------------------------------------


def test_a_clients_rates_are_what_came_since_the_time_before() -> None:
    before, now = sample(0, sent=600, skipped=40), sample(2, sent=660, skipped=45)
    assert row(now, before) == ["9", "mpv", "HDMI-A-1", "30.0", "2.5", "2", "1", "clogged"]


def test_the_first_time_has_no_rates() -> None:
    assert row(sample(0), None)[3:5] == ["-", "-"]


def test_a_client_that_was_not_there_before_has_no_rates() -> None:
    assert row(sample(1), sample(0, client=8))[3:5] == ["-", "-"]


def test_a_client_that_has_subscribed_anew_has_no_rates() -> None:
    assert row(sample(1, sent=5), sample(0, sent=600))[3:5] == ["-", "-"]


def test_another_daemon_whose_clock_stands_before_the_first_has_no_rates() -> None:
    assert row(sample(0), sample(1))[3:5] == ["-", "-"]


def test_json_has_the_rates_beside_the_counts() -> None:
    now, before = sample(2, sent=660, skipped=45), sample(0, sent=600, skipped=40)
    found: dict[str, Any] = as_json(now, before)
    (client,) = found["clients"]
    assert (found["interval_s"], client["fps"], client["skipped_per_s"]) == (2.0, 30.0, 2.5)


# -- tables -----------------------------------------------------------------------------------


def test_an_output_has_its_rates_its_losses_and_its_buffers() -> None:
    lines = as_lines(sample(0), None, None)
    assert lines[2:4] == [
        "OUTPUT    STATE       FPS  MISSED  LOST  POOL  COMMIT-FENCE  FENCE-SENT",
        "HDMI-A-1  capturing  59.9       5     2   3/6     16.4/17.9     0.1/2.3",
    ]


def test_the_first_line_says_which_daemon_it_is_and_how_much_it_does() -> None:
    first = as_lines(sample(0), None, None)[0]
    assert first.endswith("  captured 0.1.0 (vkms)  1 output, 1 subscription")


def test_in_a_narrow_terminal_the_last_columns_are_left_out() -> None:
    lines = as_lines(sample(0), None, 40)
    assert lines[2] == "OUTPUT    STATE       FPS  MISSED  LOST"
    assert max(map(len, lines)) <= 40


def test_without_a_subscription_there_is_no_table_of_clients() -> None:
    lines = as_lines(sample(0)._replace(clients={}), None, None)
    assert len(lines) == 4


def test_no_name_commands_the_terminal() -> None:
    now = sample(0, name="\x1b[2J\n")
    assert all(line.isprintable() for line in as_lines(now, None, None))


# -- the command ------------------------------------------------------------------------------


def test_once_is_one_pair_of_tables(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["top", "-n", "1", "-S", start().path])
    out = capsys.readouterr().out
    assert (status, out.count("HDMI-A-1  capturing"), out.count("mpv")) == (0, 1, 1)


def test_once_with_json_is_one_line(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["top", "-n", "1", "--json", "-S", start().path])
    found = json.loads(capsys.readouterr().out)
    assert (status, found["schema"], found["outputs"][0]["pool"]["free"]) == (
        0,
        "captured/1/top",
        3,
    )
    assert [client["name"] for client in found["clients"]] == ["mpv"]  # not who looks


class SlowTime:
    """Time of which every look at it takes a second."""

    strftime = staticmethod(time.strftime)

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0


def test_an_answer_that_takes_longer_than_the_delay_is_waited_for_and_no_more(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capturectl.cli.top.time", SlowTime())
    assert main(["top", "-b", "-n", "2", "-d", "0.1", "-S", start().path]) == 0


def test_nothing_to_show_is_no_failure(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = start(streams=[], engines=[], clients=[])
    status = main(["top", "-n", "1", "--json", "-S", daemon.path])
    found = json.loads(capsys.readouterr().out)
    assert (status, found["outputs"], found["clients"]) == (0, [], [])


def test_ctrl_c_is_how_one_leaves(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(client: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("capturectl.cli.top.read_sample", interrupt)
    assert main(["top", "-b", "-S", start().path]) == 0


def test_no_daemon_exits_3(tmp_path: Path) -> None:
    assert main(["top", "-n", "1", "-S", str(tmp_path / "nothing")]) == 3


def test_a_daemon_that_is_too_old_for_questions_exits_4(start: Start) -> None:
    assert main(["top", "-n", "1", "-S", start(capabilities=0).path]) == 4
