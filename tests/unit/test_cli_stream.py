# SPDX-License-Identifier: MIT
"""capturectl stream: what is written, how it ends, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capturectl.cli import main
from tests.support.processes import wait_until
from tests.support.scripted import (
    BYE,
    ENDED,
    GONE_OFF,
    OFF,
    RED_GREEN,
    buffer,
    frame,
    scripted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEAD = b"YUV4MPEG2 W2 H1 F60:1 Ip A1:1 C420jpeg XCOLORRANGE=FULL\n"
# Y of red is 76, of green 150; the mean of both has Cb 64 and Cr 138.
PICTURE = b"FRAME\n" + bytes((76, 150, 64, 138))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "here").mkdir()
    with contextlib.chdir(tmp_path / "here"):
        yield


def stream(*words: str, messages: tuple[bytes, ...] = ()) -> int:
    """Stream from a daemon that sends these messages, or three frames."""
    messages = messages or (buffer(), frame(1), frame(2), frame(3))
    with scripted(Path("../sock"), *messages) as daemon:
        return main(["stream", "-S", daemon.path, *words])


def pictures(data: bytes) -> int:
    """Count the pictures of a film."""
    assert data.startswith(HEAD)
    count, rest = divmod(len(data) - len(HEAD), len(PICTURE))
    assert rest == 0
    return count


def files_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


# --- what is written -------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["a.y4m"], ["--format", "y4m", "a.raw"], ["a"]])
def test_a_film_has_a_head_and_pictures(words: list[str]) -> None:
    assert stream("-n", "3", *words) == 0
    data = Path(words[-1]).read_bytes()
    assert pictures(data) == 3
    found, expected = data[len(HEAD) : len(HEAD) + 10], PICTURE
    assert all(abs(a - b) <= 1 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["a.raw", "a.RGB"])
def test_raw_is_the_pixels_of_each_frame(name: str) -> None:
    assert stream("-n", "3", name) == 0
    assert Path(name).read_bytes() == RED_GREEN * 3


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson"])
def test_jsonl_is_a_line_of_each_frame(name: str) -> None:
    assert stream("-n", "2", name) == 0
    first, second = (json.loads(line) for line in Path(name).read_text().splitlines())
    assert (first["schema"], first["sequence"], second["sequence"]) == ("captured/1/frame", 1, 2)
    assert (first["width"], first["height"], first["format"]) == (2, 1, "XR24")
    assert first["source"] == "writeback"


def test_standard_output_gets_a_film_and_nothing_else(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    assert stream("-n", "3") == 0
    out, err = capfdbinary.readouterr()
    assert (pictures(out), err, files_here()) == (3, b"", [])


def test_a_path_that_leads_nowhere_says_that_it_cannot_be_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("loop.raw").symlink_to("loop.raw")
    assert main(["stream", "-S", "none", "loop.raw"]) == 1
    assert "cannot write loop.raw" in capsys.readouterr().err


def test_a_region_is_all_that_is_written() -> None:
    assert stream("-n", "2", "-g", "1,0 1x1", "a.raw") == 0
    assert Path("a.raw").read_bytes() == RED_GREEN[4:] * 2


def test_the_chroma_may_be_whole() -> None:
    stream("-n", "1", "--chroma", "444", "a.y4m")
    head, data = Path("a.y4m").read_bytes().split(b"\n", 1)
    assert (b" C444 " in head, len(data)) == (True, len(b"FRAME\n") + 3 * 2)


def test_a_limit_is_the_films_rate() -> None:
    stream("-n", "1", "--max-fps", "12.5", "a.y4m")
    assert b" F25:2 " in Path("a.y4m").read_bytes()


@pytest.mark.parametrize(("limit", "rate"), [("0.0001", b"1:1000"), ("5e6", b"60:1")])
def test_a_limit_may_be_as_low_and_as_high_as_it_likes(limit: str, rate: bytes) -> None:
    assert stream("-n", "1", "--max-fps", limit, "a.y4m") == 0
    assert b" F%b " % rate in Path("a.y4m").read_bytes()


def test_a_gap_is_filled_with_the_frame_before_it() -> None:
    messages = (buffer(), frame(1), frame(2), frame(7))
    assert stream("-n", "7", "a.y4m", messages=messages) == 0
    assert pictures(Path("a.y4m").read_bytes()) == 7


def test_raw_pixels_have_no_clock_and_no_repeats() -> None:
    messages = (buffer(), frame(1), frame(7), ENDED)
    stream("a.raw", messages=messages)
    assert Path("a.raw").read_bytes() == RED_GREEN * 2


def test_a_film_never_has_more_pictures_than_asked_for() -> None:
    messages = (buffer(), frame(1), frame(100))
    assert stream("-n", "5", "a.y4m", messages=messages) == 0
    assert pictures(Path("a.y4m").read_bytes()) == 5


# --- what is said ----------------------------------------------------------------------------


def test_caps_are_what_a_reader_of_raw_has_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    stream("-n", "1", "--print-caps", "-g", "1,0 1x1", "a.raw")
    assert json.loads(capsys.readouterr().err) == {
        "schema": "captured/1/caps",
        "format": "XR24",
        "ffmpeg_pixel_format": "bgr0",
        "width": 1,
        "height": 1,
        "pitch": 4,
        "frame_size": 4,
        "rate_hz": 60,
    }


def test_the_summary_counts_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    messages = (buffer(), frame(1), frame(2), frame(7))
    stream("-n", "7", "--json", "a.y4m", messages=messages)
    assert json.loads(capsys.readouterr().out) == {
        "schema": "captured/1/stream",
        "file": "a.y4m",
        "format": "y4m",
        "output": "HDMI-A-1",
        "width": 2,
        "height": 1,
        "frames": 7,
        "repeated": 4,
        "dropped": 4,
        "missed": 0,
        "late": 0,
        "bytes": len(HEAD) + 7 * len(PICTURE),
    }


def test_json_without_a_file_is_lines_of_frames_and_a_summary(
    capfd: pytest.CaptureFixture[str],
) -> None:
    stream("-n", "2", "--json")
    kinds = [json.loads(line)["schema"] for line in capfd.readouterr().out.splitlines()]
    assert kinds == ["captured/1/frame", "captured/1/frame", "captured/1/stream"]


# --- how it ends -----------------------------------------------------------------------------


def test_another_mode_ends_a_film_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    messages = (buffer(), frame(1), buffer(1, 2, number=1), frame(2, number=1))
    assert stream("a.y4m", messages=messages) == 1
    assert "HDMI-A-1 changed from 2x1 to 1x2" in capsys.readouterr().err
    assert pictures(Path("a.y4m").read_bytes()) == 1


def test_lines_go_on_in_another_mode() -> None:
    messages = (buffer(), frame(1), buffer(1, 2, number=1), frame(2, number=1))
    assert stream("-n", "2", "a.jsonl", messages=messages) == 0
    sizes = [
        (line["width"], line["height"])
        for line in map(json.loads, Path("a.jsonl").read_text().splitlines())
    ]
    assert sizes == [(2, 1), (1, 2)]


@pytest.mark.parametrize("end", [ENDED, BYE], ids=["ended", "bye"])
def test_a_daemon_that_goes_ends_a_whole_file_with_status_1(end: bytes) -> None:
    assert stream("a.y4m", messages=(buffer(), frame(1), frame(2), end)) == 1
    assert pictures(Path("a.y4m").read_bytes()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_after_a_whole_frame_with_status_0(number: signal.Signals) -> None:
    def interrupt() -> None:
        film, whole = Path("a.raw").absolute(), len(RED_GREEN) * 3
        wait_until(lambda: film.exists() and film.stat().st_size == whole, "all is written")
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    status = stream("a.raw")
    interrupter.join()
    assert (status, Path("a.raw").read_bytes()) == (0, RED_GREEN * 3)
    assert signal.getsignal(number) is before


@pytest.mark.slow
def test_a_hang_up_that_is_ignored_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGHUP))
    timer.start()
    status = stream("-n", "40", "a.y4m", messages=(buffer(), frame(1), GONE_OFF))
    timer.join()
    assert (status, pictures(Path("a.y4m").read_bytes())) == (0, 40)
    assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN


@pytest.mark.slow
def test_while_no_frame_comes_the_film_goes_on() -> None:
    messages = (buffer(), frame(1), GONE_OFF)
    assert stream("-n", "40", "a.y4m", messages=messages) == 0
    assert pictures(Path("a.y4m").read_bytes()) == 40


@pytest.fixture
def closed_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Stream into standard output, whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:

        def run(*words: str) -> int:
            monkeypatch.setattr(sys, "stdout", out)
            return stream(*words)

        yield run


def test_a_reader_that_has_enough_ends_it_with_status_0(
    closed_pipe: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert closed_pipe() == 0
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_before_the_frames_that_were_asked_for_is_a_failure(
    closed_pipe: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert closed_pipe("-n", "1000") == 1
    assert "its reader has gone" in capsys.readouterr().err


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["a.mp4"],
        ["--json", "--format", "y4m"],
        ["--json", "--format", "raw", "-"],
        ["-g", "0,0 1x1", "a.jsonl"],
        ["-g", "0,0 3x1", "a.y4m"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_a_usage_error_and_leaves_no_file(words: list[str]) -> None:
    assert (stream(*words), files_here()) == (2, [])


def test_an_encoded_film_has_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    stream("a.mp4")
    assert "capturectl stream | ffmpeg -i - FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "0"], ["--format", "gif"], ["--max-fps", "0"], ["--max-fps", "-1"],
        ["--max-fps", "nan"], ["--max-fps", "inf"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_option_that_cannot_be_read_is_a_usage_error(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["stream", *words])
    assert caught.value.code == 2


def test_an_output_that_is_off_exits_5_and_leaves_no_file() -> None:
    assert (stream("a.y4m", messages=(OFF,)), files_here()) == (5, [])


def test_an_output_that_is_off_is_waited_for() -> None:
    messages = (OFF, buffer(), frame(1))
    assert stream("-n", "1", "--wait-active", "5", "a.raw", messages=messages) == 0


def test_no_frame_at_all_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capturectl.cli.stream.DEFAULT_TIMEOUT", 0.0)
    assert (stream("a.y4m", messages=(GONE_OFF,)), files_here()) == (5, [])


def test_a_file_that_cannot_be_made_exits_1() -> None:
    assert stream("missing/a.y4m") == 1


def test_a_terminal_gets_no_film(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, theirs = pty.openpty()
    with os.fdopen(mine), os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        status = stream("-n", "1")
    assert status == 1
    assert "mpv" in capsys.readouterr().err
