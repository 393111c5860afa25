# SPDX-License-Identifier: MIT
"""capturectl snapshot: one picture into one file, of the kind that was meant."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from capturectl import protocol
from capturectl.cli import main
from capturectl.protocol import ErrorCode, Source
from tests.support.fake_daemon import STREAM, FakeDaemon, Script, greeting
from tests.support.fds import memfd
from tests.support.frames import XR24

BUFFER = protocol.BUFFER.pack(
    protocol.Buffer(0, 8, 0, 1, XR24, 2, 1, 1, (0, 0, 0, 0), (8, 0, 0, 0)), stream=1
)


def frame_message(sequence: int) -> bytes:
    frame = protocol.Frame(sequence, 1000, 3, 5001, 5002, 5003, 0, 1, Source.WRITEBACK, 0)
    return protocol.FRAME.pack(frame, stream=1)


FRAME = frame_message(41)
ENDED = protocol.ENDED.pack(protocol.Ended(), stream=1)
ERROR = protocol.ERROR.pack(
    protocol.Error(ErrorCode.OUTPUT_OFF, 0, 0, "output-off", "it is off", "switch it on"), stream=1
)

BEGINNINGS = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpeg": b"\xff\xd8\xff",
    "ppm": b"P6\n",
    "npy": b"\x93NUMPY",
    "raw": bytes.fromhex("0000ff11 00ff0022"),
}


Snapshot = Callable[..., int]
"""Runs `capturectl snapshot` with these words in an empty directory."""


@contextmanager
def snapshots_of(folder: Path, *after_greeting: Script) -> Iterator[Snapshot]:
    here = folder / "here"
    here.mkdir()
    greeted: list[Script] = [(message, ()) for message in greeting(STREAM)]
    daemon = FakeDaemon(folder / "sock", [*greeted, *after_greeting])
    with contextlib.chdir(here):
        yield lambda *words: main(["snapshot", "-S", daemon.path, *words])
    daemon.close()


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[Snapshot]:
    """The daemon sends two pixels, red and green."""
    with (
        memfd(BEGINNINGS["raw"]) as pixels,
        snapshots_of(tmp_path, (BUFFER, (pixels,)), (FRAME, ()), (ENDED, ())) as run,
    ):
        yield run


@pytest.fixture
def snapshot_of_three(tmp_path: Path) -> Iterator[Snapshot]:
    """The daemon sends those two pixels three times."""
    messages = [frame_message(sequence) for sequence in (41, 42, 43)]
    script: list[Script] = [(m, ()) for frame in messages for m in (frame, ENDED)]
    with (
        memfd(BEGINNINGS["raw"]) as pixels,
        snapshots_of(tmp_path, (BUFFER, (pixels,)), *script) as run,
    ):
        yield run


@pytest.fixture
def snapshot_of_soon_on(tmp_path: Path) -> Iterator[Snapshot]:
    """The daemon says that the output is off, and then sends a picture."""
    with (
        memfd(BEGINNINGS["raw"]) as pixels,
        snapshots_of(tmp_path, (ERROR, ()), (BUFFER, (pixels,)), (FRAME, ()), (ENDED, ())) as run,
    ):
        yield run


@pytest.fixture
def snapshot_of_off(tmp_path: Path) -> Iterator[Snapshot]:
    """The daemon says that the output is off."""
    with snapshots_of(tmp_path, (ERROR, ())) as run:
        yield run


@pytest.fixture
def snapshot_of_nothing(tmp_path: Path) -> Iterator[Snapshot]:
    """The daemon sends no frame."""
    with snapshots_of(tmp_path) as run:
        yield run


def kind_of(path: Path) -> str:
    data = path.read_bytes()
    return next(kind for kind, beginning in BEGINNINGS.items() if data.startswith(beginning))


def files_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


# --- the file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["a.png"], "png"),
        (["a.jpg"], "jpeg"),
        (["a.JPEG"], "jpeg"),
        (["a.ppm"], "ppm"),
        (["a.npy"], "npy"),
        (["a.raw"], "raw"),
        (["a"], "png"),
        ([".hidden"], "png"),
        (["-t", "ppm", "a"], "ppm"),
        (["-t", "raw", "a.png"], "raw"),
        (["-t", "ppm", "a.data"], "ppm"),
    ],
)
def test_the_kind_is_the_options_or_the_extensions_or_png(
    snapshot: Snapshot, words: list[str], kind: str
) -> None:
    assert snapshot(*words) == 0
    assert kind_of(Path(words[-1])) == kind


@pytest.mark.parametrize("directory", ["..", "pictures.d", "./pictures.d"])
def test_a_dot_in_the_directory_is_no_extension(snapshot: Snapshot, directory: str) -> None:
    Path("pictures.d").mkdir()
    assert snapshot(f"{directory}/shot") == 0
    assert kind_of(Path(directory) / "shot") == "png"


def test_an_unknown_extension_is_a_usage_error(snapshot: Snapshot) -> None:
    assert (snapshot("a.gif"), files_here()) == (2, [])


def test_the_file_has_the_picture(snapshot: Snapshot) -> None:
    snapshot("a.png")
    with Image.open("a.png") as image:
        assert image.tobytes() == bytes.fromhex("ff0000 00ff00")


def test_the_file_says_the_driver(snapshot: Snapshot) -> None:
    snapshot("a.png")
    with Image.open("a.png") as image:
        assert image.info["driver"] == "vkms"


@pytest.mark.parametrize(("words", "extension"), [([], "png"), (["-t", "jpeg"], "jpg")])
def test_without_a_name_the_file_is_called_after_output_and_time(
    snapshot: Snapshot, words: list[str], extension: str
) -> None:
    snapshot(*words)
    (name,) = files_here()
    assert re.fullmatch(rf"HDMI-A-1-\d{{8}}-\d{{6}}\.{extension}", name)


# --- what is printed -------------------------------------------------------------------------


def test_the_path_is_printed(snapshot: Snapshot, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot("a.png")
    assert capsys.readouterr() == ("a.png\n", "")


def test_a_dash_writes_the_file_to_standard_output_and_nothing_else(
    snapshot: Snapshot, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    status = snapshot("-t", "raw", "-")
    assert (status, capfdbinary.readouterr(), files_here()) == (0, (BEGINNINGS["raw"], b""), [])


def test_standard_output_gets_png_unless_told(
    snapshot: Snapshot, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    snapshot("-")
    assert capfdbinary.readouterr().out.startswith(BEGINNINGS["png"])


def test_json_describes_the_frame(snapshot: Snapshot, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot("a.png", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "schema": "captured/1/snapshot",
        "file": "a.png",
        "type": "png",
        "output": "HDMI-A-1",
        "source": "writeback",
        "driver": "vkms",
        "format": "XR24",
        "width": 2,
        "height": 1,
        "missed": 3,
        "sequence": 41,
        "vblank": 1000,
        "time_commit_ns": 5001,
        "time_vblank_ns": 5002,
        "time_done_ns": 5003,
    }


def test_json_and_a_dash_cannot_both_have_standard_output(
    snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    status = snapshot("--json", "-")
    assert (status, json.loads(capsys.readouterr().out)["error"]["code"]) == (2, "usage")


# --- a part, a size --------------------------------------------------------------------------


def test_a_region_is_all_that_the_file_has(snapshot: Snapshot) -> None:
    assert snapshot("-g", "1,0 1x1", "a.png") == 0
    with Image.open("a.png") as image:
        assert (image.size, image.tobytes()) == ((1, 1), bytes.fromhex("00ff00"))


def test_a_region_outside_the_picture_is_a_usage_error(
    snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (snapshot("-g", "1,0 2x1", "a.png"), files_here()) == (2, [])
    assert "region 1,0 2x1 is not inside 2x1" in capsys.readouterr().err


def test_a_scaled_picture_says_its_new_size(
    snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    assert snapshot("--scale", "2", "--json", "a.png") == 0
    said = json.loads(capsys.readouterr().out)
    with Image.open("a.png") as image:
        assert (image.size, (said["width"], said["height"])) == ((4, 2), (4, 2))


def test_raw_pixels_are_not_scaled(snapshot: Snapshot) -> None:
    assert (snapshot("--scale", "2", "a.raw"), files_here()) == (2, [])


def test_a_scale_that_is_too_large_leaves_no_file(snapshot: Snapshot) -> None:
    assert (snapshot("--scale", "1e9", "a.png"), files_here()) == (2, [])


# --- several ---------------------------------------------------------------------------------


def test_a_count_makes_numbered_files(
    snapshot_of_three: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    assert snapshot_of_three("--count", "3", "a-%02d.ppm") == 0
    assert files_here() == ["a-01.ppm", "a-02.ppm", "a-03.ppm"]
    assert capsys.readouterr().out == "a-01.ppm\na-02.ppm\na-03.ppm\n"


def test_each_of_several_is_a_capture_of_its_own(
    snapshot_of_three: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    assert snapshot_of_three("--count", "3", "--json", "a-%d.raw") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["file"], line["sequence"]) for line in lines] == [
        ("a-1.raw", 41), ("a-2.raw", 42), ("a-3.raw", 43),
    ]  # fmt: skip


def test_an_interval_keeps_them_apart(
    snapshot_of_three: Snapshot, capsys: pytest.CaptureFixture[str]
) -> None:
    before = time.monotonic()
    assert snapshot_of_three("--count", "3", "--interval", "0.05", "%d.raw") == 0
    assert time.monotonic() - before >= 0.1


def test_several_go_to_standard_output_one_behind_the_other(
    snapshot_of_three: Snapshot, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert snapshot_of_three("--count", "3", "-t", "raw", "-") == 0
    assert capfdbinary.readouterr().out == BEGINNINGS["raw"] * 3


def test_several_without_a_name_are_numbered(snapshot_of_three: Snapshot) -> None:
    assert snapshot_of_three("--count", "3") == 0
    names = files_here()
    assert len(names) == 3
    assert all(re.fullmatch(r"HDMI-A-1-\d{8}-\d{6}-00[123]\.png", name) for name in names)


def test_what_was_written_stays_when_a_later_one_fails(tmp_path: Path) -> None:
    with (
        memfd(BEGINNINGS["raw"]) as pixels,
        snapshots_of(
            tmp_path, (BUFFER, (pixels,)), (FRAME, ()), (ENDED, ()), (ERROR, ())
        ) as snapshot,
    ):
        assert snapshot("--count", "2", "%d.raw") == 5
        assert files_here() == ["1.raw"]


@pytest.mark.parametrize(
    "words",
    [
        ["--count", "2", "a.png"],
        ["--count", "2", "%F.png"],
        ["--count", "2", "a-%%d.png"],
        ["--interval", "1", "a.png"],
        ["--count", "2", "--interval", "inf", "%d.png"],
        ["--count", "2", "--json", "-"],
    ],
    ids=" ".join,
)
def test_a_series_that_cannot_be_written_is_a_usage_error(
    snapshot: Snapshot, words: list[str]
) -> None:
    assert (snapshot(*words), files_here()) == (2, [])


def test_a_percent_sign_means_nothing_without_a_count(snapshot: Snapshot) -> None:
    assert snapshot("100%d.png") == 0
    assert files_here() == ["100%d.png"]


# --- waiting ---------------------------------------------------------------------------------


def test_an_output_that_is_off_is_waited_for(snapshot_of_soon_on: Snapshot) -> None:
    assert snapshot_of_soon_on("--wait-active", "5", "a.png") == 0


def test_without_being_told_nothing_is_waited_for(snapshot_of_soon_on: Snapshot) -> None:
    assert (snapshot_of_soon_on("a.png"), files_here()) == (5, [])


@pytest.mark.slow
def test_a_daemon_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    began = time.monotonic()
    words = ["-S", str(tmp_path / "none"), "--wait-active", "0.4", str(tmp_path / "a.png")]
    assert main(["snapshot", *words]) == 3
    assert time.monotonic() - began > 0.2


# --- sources ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sources"),
    [
        ([], Source.WRITEBACK | Source.PATTERN),
        (["--source", "writeback"], Source.WRITEBACK | Source.PATTERN),
        (["--source", "any"], Source.WRITEBACK | Source.PATTERN | Source.SCANOUT),
    ],
)
def test_scanned_out_framebuffers_are_asked_for_only_when_any_source_will_do(
    tmp_path: Path, words: list[str], sources: Source
) -> None:
    script: list[Script] = [(message, ()) for message in (*greeting(STREAM), ERROR)]
    daemon = FakeDaemon(tmp_path / "sock", script)
    main(["snapshot", "-S", daemon.path, *words, str(tmp_path / "a.png")])
    asked = protocol.SUBSCRIBE.unpack(daemon.receive())
    daemon.close()
    assert asked.sources == sources


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["a.png"], ["-"], ["a.png", "--json"]], ids=" ".join)
def test_a_failed_snapshot_leaves_no_file_and_its_exit_status(
    snapshot_of_off: Snapshot, words: list[str]
) -> None:
    assert (snapshot_of_off(*words), files_here()) == (5, [])


def test_a_failed_snapshot_leaves_the_older_file(snapshot_of_off: Snapshot) -> None:
    Path("a.png").write_bytes(b"older")
    snapshot_of_off("a.png")
    assert Path("a.png").read_bytes() == b"older"


def test_an_unknown_output_exits_4(snapshot: Snapshot) -> None:
    assert (snapshot("-o", "VGA-1", "a.png"), files_here()) == (4, [])


def test_a_file_that_cannot_be_written_exits_1(snapshot: Snapshot) -> None:
    assert snapshot("missing/a.png") == 1


def test_a_timeout_exits_6(snapshot_of_nothing: Snapshot) -> None:
    assert (snapshot_of_nothing("--timeout", "0.01", "a.png"), files_here()) == (6, [])


@pytest.mark.parametrize("seconds", ["inf", "1e30"])
def test_a_very_long_timeout_is_no_traceback(snapshot: Snapshot, seconds: str) -> None:
    assert snapshot("--timeout", seconds, "a.png") == 0
