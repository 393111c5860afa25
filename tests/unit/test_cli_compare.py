# SPDX-License-Identifier: MIT
"""capturectl compare: status 0 for the picture, 1 and a line for another."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from capturectl.cli import main
from tests.support.scripted import ENDED, OFF, RED_GREEN, buffer, frame, scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "here").mkdir()
    with contextlib.chdir(tmp_path / "here"):
        yield


def picture(name: str, *pixels: tuple[int, int, int]) -> str:
    """Write a picture of one row."""
    image = Image.new("RGB", (len(pixels), 1))
    image.putdata(pixels)
    image.save(name)
    return name


def compare(
    *words: str,
    messages: tuple[bytes, ...] = (buffer(), frame(1)),
    pixels: tuple[bytes, ...] = (RED_GREEN,),
) -> int:
    """Compare with an output that shows red and green, unless other things are said."""
    with scripted(Path("../sock"), *messages, pixels=pixels) as daemon:
        return main(["compare", "-S", daemon.path, "--timeout", "0", *words])


# --- it shows it -----------------------------------------------------------------------------


def test_the_same_picture_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(picture("a.png", RED, GREEN)) == 0
    assert capsys.readouterr() == ("HDMI-A-1 shows a.png\n", "")


@pytest.mark.parametrize("name", ["a.ppm", "a.bmp"])
def test_other_files_are_read_too(name: str) -> None:
    assert compare(picture(name, RED, GREEN)) == 0


def test_what_is_within_the_tolerance_is_the_same() -> None:
    file = picture("a.png", (252, 3, 0), GREEN)
    assert compare("--tolerance", "2", file) == 1
    assert compare("--tolerance", "3", file) == 0


@pytest.mark.parametrize(("most", "status"), [("0", 1), ("1", 0), ("49%", 1), ("50%", 0)])
def test_so_many_pixels_may_differ(most: str, status: int) -> None:
    assert compare("--max-different", most, picture("a.png", RED, BLUE)) == status


def test_a_region_is_compared_with_a_picture_of_its_size() -> None:
    assert compare("-g", "1,0 1x1", picture("a.png", GREEN)) == 0


def test_a_region_is_compared_with_that_part_of_a_picture_of_all() -> None:
    assert compare("-g", "1,0 1x1", picture("a.png", BLUE, GREEN)) == 0
    assert compare("-g", "0,0 1x1", picture("a.png", BLUE, GREEN)) == 1


def test_what_the_mask_leaves_out_does_not_count() -> None:
    mask = picture("mask.png", (0, 0, 0), (255, 255, 255))
    assert compare("--mask", mask, picture("a.png", BLUE, GREEN)) == 0
    assert compare("--mask", mask, picture("a.png", RED, BLUE)) == 1


def test_it_waits_for_the_picture(capsys: pytest.CaptureFixture[str]) -> None:
    messages = (buffer(number=0), frame(1, number=0), buffer(number=1), frame(2, number=1))
    words = ["--json", "--timeout", "5", picture("a.png", RED, GREEN)]
    assert compare(*words, messages=messages, pixels=(bytes(8), RED_GREEN)) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["sequence"], said["frames"]) == (2, 2)


def test_the_first_match_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    messages = (buffer(), frame(7), frame(8))
    compare("--json", "--timeout", "5", picture("a.png", RED, GREEN), messages=messages)
    said = json.loads(capsys.readouterr().out)
    assert (said["sequence"], said["frames"]) == (7, 1)


# --- it does not -----------------------------------------------------------------------------


def test_another_picture_exits_1_with_how_much_and_where(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert compare(picture("a.png", RED, (0, 155, 0))) == 1
    assert capsys.readouterr() == (
        "",
        "capturectl: HDMI-A-1 does not show a.png: 1 pixel differs, by up to 100 of 255, within "
        "1,0 1x1: --diff FILE draws it\n",
    )


def test_where_is_said_in_the_outputs_own_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    compare("-g", "1,0 1x1", picture("a.png", BLUE))
    assert "within 1,0 1x1" in capsys.readouterr().err


def test_json_says_it_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--json", "--tolerance", "3", picture("a.png", BLUE, GREEN)) == 1
    assert json.loads(capsys.readouterr().out) == {
        "schema": "captured/1/compare",
        "file": "a.png",
        "output": "HDMI-A-1",
        "sequence": 1,
        "matches": False,
        "different_pixels": 1,
        "max_difference": 255,
        "box": {"x": 0, "y": 0, "width": 1, "height": 1},
        "tolerance": 3,
        "frames": 1,
        "diff": None,
    }


def test_the_difference_is_drawn_when_asked_for() -> None:
    compare("--diff", "wrong.png", picture("a.png", RED, BLUE))
    with Image.open("wrong.png") as sheet:
        assert sheet.getpixel((0, 24)) == RED, "expected"
        assert sheet.getpixel((1, 24)) == BLUE, "expected"
        assert sheet.getpixel((2 + 16 + 1, 24)) == GREEN, "shown"


def test_what_differs_is_said_though_it_cannot_be_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert compare("--diff", "missing/wrong.png", picture("a.png", RED, BLUE)) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "1 pixel differs" in first
    assert "see missing/wrong.png" not in first
    assert "cannot write missing/wrong.png" in second


def test_json_names_no_drawing_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--json", "--diff", "/dev/full", picture("a.png", RED, BLUE)) == 1
    found, failure = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["matches"], found["diff"]) == (False, None)
    assert failure["error"]["code"] == "not-written"


def test_a_drawing_that_was_written_is_pointed_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--diff", "wrong.png", picture("a.png", RED, BLUE)) == 1
    assert capsys.readouterr().err.endswith(": see wrong.png\n")


def test_no_difference_is_drawn_where_there_is_none() -> None:
    compare("--diff", "wrong.png", picture("a.png", RED, GREEN))
    assert not Path("wrong.png").exists()


@pytest.mark.parametrize("words", [[], ["-g", "0,0 1x1"]])
def test_another_size_is_told_at_once(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("--timeout", "50", *words, picture("a.png", RED, RED, RED)) == 1
    assert "a.png is 3x1, " in capsys.readouterr().err


# --- failures --------------------------------------------------------------------------------


def test_a_region_outside_the_picture_is_a_usage_error() -> None:
    assert compare("-g", "1,0 2x1", picture("a.png", RED, GREEN)) == 2


def test_a_mask_of_another_size_is_a_usage_error() -> None:
    assert compare("--mask", picture("m.png", RED), picture("a.png", RED, GREEN)) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--tolerance", "-1"],
        ["--tolerance", "256"],
        ["--tolerance", "nan"],
        ["--max-different", "-1"],
        ["--max-different", "many"],
        ["--max-different", "nan%"],
        ["-g", "all"],
    ],
    ids=" ".join,
)
def test_an_option_that_cannot_be_read_is_a_usage_error(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", *words, "a.png"])
    assert caught.value.code == 2


def test_a_missing_picture_exits_1_and_nobody_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "-S", "none", "a.png"]) == 1
    assert capsys.readouterr().err == "capturectl: there is no file a.png\n"


def test_an_output_that_is_off_exits_5() -> None:
    assert compare(picture("a.png", RED, GREEN), messages=(OFF,)) == 5


def test_an_output_that_is_off_is_waited_for() -> None:
    messages = (OFF, buffer(), frame(1))
    file = picture("a.png", RED, GREEN)
    assert compare("--wait-active", "5", file, messages=messages) == 0


def test_a_stream_that_ends_exits_1() -> None:
    assert compare(picture("a.png", RED, GREEN), messages=(ENDED,)) == 1


def test_no_frame_at_all_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capturectl.cli.compare.DEFAULT_TIMEOUT", 0.0)
    assert compare(picture("a.png", RED, GREEN), messages=()) == 6
