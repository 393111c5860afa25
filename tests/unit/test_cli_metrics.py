# SPDX-License-Identifier: MIT
"""capturectl metrics, read by the parser of Prometheus' own client library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from capturectl.cli import main
from capturectl.protocol import EngineState, State
from tests.support.answering_daemon import CLIENT, ENGINE, AnsweringDaemon
from tests.support.fake_daemon import STREAM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    Scrape = Callable[..., dict[str, Metric]]
    Start = Callable[..., AnsweringDaemon]


def parse(text: str) -> dict[str, Metric]:
    """Return the metrics of a text by name; a name that comes twice is an error."""
    found = list(text_string_to_metric_families(text))
    assert len({metric.name for metric in found}) == len(found)
    return {metric.name: metric for metric in found}


def values(metric: Metric) -> dict[tuple[str, ...], float]:
    """Return the values by the labels' values."""
    return {tuple(sample.labels.values()): sample.value for sample in metric.samples}


@pytest.fixture
def scrape(start: Start, capsys: pytest.CaptureFixture[str]) -> Scrape:
    """Return what a daemon with these options has to say, parsed."""

    def run(**options: Any) -> dict[str, Metric]:
        assert main(["metrics", "-S", start(**options).path]) == 0
        return parse(capsys.readouterr().out)

    return run


# -- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("captured_captures", 1234),
        ("captured_missed", 5),
        ("captured_lost", 2),
        ("captured_revoked", 3),
        ("captured_attached", 4),
        ("captured_subscribers", 1),
        ("captured_frames_per_second", 59.94),
        ("captured_pool_bytes", 49_766_400),
        ("captured_retired_bytes", 0),
        ("captured_output_refresh_hertz", 60),
    ],
)
def test_an_output_has_this_value(scrape: Scrape, name: str, value: float) -> None:
    assert values(scrape()[name]) == {("HDMI-A-1",): value}


def test_durations_are_seconds_by_quantile(scrape: Scrape) -> None:
    found = scrape()
    assert values(found["captured_commit_to_fence_seconds"]) == {
        ("HDMI-A-1", "0.5"): 0.0164,
        ("HDMI-A-1", "0.99"): 0.0179,
    }
    assert values(found["captured_fence_to_sent_seconds"]) == {
        ("HDMI-A-1", "0.5"): 0.00012,
        ("HDMI-A-1", "0.99"): 0.0023,
    }


def test_buffers_are_counted_by_state(scrape: Scrape) -> None:
    assert values(scrape(engines=[ENGINE._replace(buffers_free=2)])["captured_pool_buffers"]) == {
        ("HDMI-A-1", "free"): 2,
        ("HDMI-A-1", "lent"): 2,
        ("HDMI-A-1", "quarantined"): 1,
        ("HDMI-A-1", "other"): 1,
    }


def test_one_state_is_1_and_the_others_are_0(scrape: Scrape) -> None:
    found = scrape(
        streams=[STREAM._replace(state=State.BLOCKED)],
        engines=[ENGINE._replace(state=EngineState.DOUBTED)],
    )
    outputs, engines = (
        values(found["captured_output_state"]),
        values(found["captured_engine_state"]),
    )
    assert (outputs["HDMI-A-1", "blocked"], sum(outputs.values())) == (1, 1)
    assert (engines["HDMI-A-1", "doubted"], sum(engines.values())) == (1, 1)


def test_a_client_is_told_by_number_name_process_and_output(scrape: Scrape) -> None:
    sent = scrape()["captured_client_frames_sent"]
    assert values(sent) == {("9", "mpv", "4321", "HDMI-A-1"): 600}  # not who looks
    assert list(sent.samples[0].labels) == ["client", "name", "pid", "output"]


def test_every_counter_says_so_and_every_metric_has_its_help(scrape: Scrape) -> None:
    found = scrape()
    counters = {name for name, metric in found.items() if metric.type == "counter"}
    assert counters == {
        *(f"captured_{name}" for name in ("captures", "missed", "lost", "revoked", "attached")),
        *(f"captured_client_frames_{name}" for name in ("sent", "skipped", "revoked")),
    }
    assert [name for name, metric in found.items() if not metric.documentation] == []
    assert [name for name, metric in found.items() if metric.type in {"unknown", "untyped"}] == []


def test_counters_end_in_total(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    main(["metrics", "-S", start().path])
    typed = [line.split() for line in capsys.readouterr().out.splitlines() if " TYPE " in line]
    assert {name.endswith("_total") for _, _, name, kind in typed if kind == "counter"} == {True}


def test_names_are_escaped(scrape: Scrape) -> None:
    evil = 'a"b\\n,c="d'
    sent = scrape(clients=[(1, CLIENT._replace(name=evil))])["captured_client_frames_sent"]
    assert sent.samples[0].labels["name"] == evil


def test_no_name_breaks_a_line_or_commands_the_terminal(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = CLIENT._replace(name='"} 1\ncaptured_up 0\x1b[2J')
    main(["metrics", "-S", start(clients=[(1, evil)]).path])
    text = capsys.readouterr().out
    assert values(parse(text)["captured_up"]) == {(): 1}
    assert "\x1b" not in text


def test_a_daemon_without_outputs_is_up_all_the_same(scrape: Scrape) -> None:
    assert values(scrape(streams=[], engines=[], clients=[])["captured_up"]) == {(): 1}


# -- where they go ----------------------------------------------------------------------------


def test_a_file_has_what_would_be_printed(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon, file = start(), tmp_path / "captured.prom"
    statuses = (
        main(["metrics", "-S", daemon.path]),
        main(["metrics", "-S", daemon.path, "--file", str(file)]),
    )
    assert (statuses, file.read_text()) == ((0, 0), capsys.readouterr().out)


def test_a_file_of_a_daemon_that_is_not_there_says_so_and_exits_3(tmp_path: Path) -> None:
    file = tmp_path / "captured.prom"
    file.write_text("captured_up 1\n")
    status = main(["metrics", "-S", str(tmp_path / "nothing"), "--file", str(file)])
    assert (status, values(parse(file.read_text())["captured_up"])) == (3, {(): 0})


def test_a_file_that_cannot_be_written_exits_1(start: Start, tmp_path: Path) -> None:
    words = ["metrics", "-S", start().path, "--file", str(tmp_path / "nowhere" / "x.prom")]
    assert main(words) == 1


def test_json_has_the_same_metrics(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = start()
    main(["metrics", "-S", daemon.path])
    text = parse(capsys.readouterr().out)
    status = main(["metrics", "--json", "-S", daemon.path])
    found = json.loads(capsys.readouterr().out)
    assert (status, found["schema"]) == (0, "captured/1/metrics")
    assert {
        metric["name"].removesuffix("_total"): [sample["value"] for sample in metric["samples"]]
        for metric in found["metrics"]
    } == {name: [sample.value for sample in metric.samples] for name, metric in text.items()}


def test_without_a_file_no_daemon_prints_nothing_and_exits_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["metrics", "-S", str(tmp_path / "nothing")])
    assert (status, capsys.readouterr().out) == (3, "")


def test_a_daemon_that_is_too_old_for_questions_exits_4(start: Start) -> None:
    assert main(["metrics", "-S", start(capabilities=0).path]) == 4
