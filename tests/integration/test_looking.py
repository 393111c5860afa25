# SPDX-License-Identifier: MIT
"""The commands that look, at a real daemon: in terminals of any width, pipes and full disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import DaemonProcess, Process, capturectl, program
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

ONCE = (
    ("list",),
    ("status",),
    ("clients",),
    ("top", "-b", "-n", "1"),
    ("metrics",),
    ("list", "--json"),
    ("status", "--json"),
    ("clients", "--json"),
    ("top", "--json", "-n", "1"),
    ("metrics", "--json"),
)
"""Commands that look once, print, and end."""
once = pytest.mark.parametrize("words", ONCE, ids=" ".join)


NAME = "evil\x1b[2J\x1b]0;owned\x07Größe"
SHOWN = "evil?[2J?]0;owned?Größe"
CLIENT = """
import sys, capturectl
with capturectl.connect(sys.argv[1], name=sys.argv[2]) as client, client.stream() as stream:
    next(stream)
    print("it has a frame")
    for frame in stream:
        pass
"""


class Watched(NamedTuple):
    """A daemon with a client of a hostile name, which takes every frame."""

    socket: Path
    client_pid: int


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    path = tmp_path_factory.mktemp("watched") / "sock"
    with (
        DaemonProcess(path, "--pattern", "640x480@60"),
        Process([sys.executable, "-c", CLIENT, str(path), NAME]) as client,
    ):
        assert client.popen.stdout is not None
        assert client.popen.stdout.readline()
        yield Watched(path, client.pid)


def seen(watched: Watched, *words: str, **options: Any) -> str:
    """Return what a command leaves on a terminal."""
    with Terminal(program("capturectl"), *words, socket=watched.socket, **options) as terminal:
        assert terminal.end() == 0
        return terminal.text.replace("\r", "")


# -- what they say ----------------------------------------------------------------------------


def test_status_is_that_of_the_daemon(watched: Watched) -> None:
    done = capturectl("status", "--json", socket=watched.socket)
    (output,) = json.loads(done.stdout)["outputs"]
    engine = output["engine"]
    assert (output["name"], engine["state"], engine["attached"]) == ("Pattern-1", "capturing", 1)
    assert engine["pool"]["bytes"] == 6 * 640 * 480 * 4
    assert 0 < engine["fence_to_sent_us"]["p50"] <= engine["fence_to_sent_us"]["p99"]
    assert [(row["name"], row["pid"]) for row in output["subscribers"]] == [
        (SHOWN, watched.client_pid)
    ]


def test_metrics_of_a_real_daemon_are_read_by_the_real_parser(watched: Watched) -> None:
    text = capturectl("metrics", socket=watched.socket).stdout
    found = {metric.name: metric for metric in text_string_to_metric_families(text)}
    assert found["captured_captures"].samples[0].value > 0
    assert found["captured_client_frames_sent"].samples[0].labels["name"] == SHOWN


# -- where they say it ------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 200])
@pytest.mark.parametrize("command", ["status", "clients"])
def test_lines_fit_the_terminal(watched: Watched, command: str, width: int) -> None:
    lines = seen(watched, command, size=(width, 24)).splitlines()
    assert max(map(len, lines)) <= width
    is_table = any(line.startswith("ID  NAME") for line in lines)
    assert is_table is (command == "clients" and width == 200)


@pytest.mark.parametrize("words", [("status",), ("clients",), ("top", "-b", "-n", "1")])
def test_no_name_commands_the_terminal(watched: Watched, words: tuple[str, ...]) -> None:
    text = seen(watched, *words, size=(200, 50), environment={"NO_COLOR": "1"})
    assert (SHOWN in text, "\x1b" in text, "\x07" in text) == (True, False, False)


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
@once
def test_a_plain_locale_is_no_obstacle(
    watched: Watched, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    done = subprocess.run(
        [program("capturectl"), *words, "-S", str(watched.socket)],
        env=os.environ | variables, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


@once
def test_in_a_pipe_there_is_no_control_sequence(watched: Watched, words: tuple[str, ...]) -> None:
    done = capturectl(*words, socket=watched.socket)
    assert (done.returncode, done.stderr, "\x1b" in done.stdout) == (0, "", False)


@once
def test_with_json_there_is_one_object_with_its_schema(
    watched: Watched, words: tuple[str, ...]
) -> None:
    if "--json" not in words:
        words = (*words, "--json")
    done = capturectl(*words, socket=watched.socket)
    assert json.loads(done.stdout)["schema"] == f"captured/1/{words[0]}"


@once
def test_a_full_disk_is_one_line_and_exit_status_1(
    watched: Watched, words: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, as a file
        done = subprocess.run(
            [program("capturectl"), *words, "-S", str(watched.socket)],
            stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        b"capturectl: cannot write standard output: No space left on device: "
        b"make room or choose another place\n",
    )


@once
def test_a_closed_standard_input_does_not_matter(watched: Watched, words: tuple[str, ...]) -> None:
    shell = f"{program('capturectl')} {' '.join(words)} -S {watched.socket} <&-"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "words",
    [*ONCE, ("clients", "disconnect", "7"), ("monitor",), ("status", "HDMI-A-1")],
    ids=" ".join,
)
def test_no_daemon_is_one_line_and_exit_status_3(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = capturectl(*words, socket=tmp_path / "nothing")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith(f"capturectl: there is no socket {tmp_path}/nothing: ")
