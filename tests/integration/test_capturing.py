# SPDX-License-Identifier: MIT
"""The capturing commands as processes, on a daemon with the test picture, read by ffmpeg."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.support.processes import DaemonProcess, capturectl, program, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from numpy.typing import NDArray

WIDTH, HEIGHT = 641, 363
"""Odd, so that halves of it are rounded."""
BARS = (0xC0C0C0, 0xC0C000, 0x00C0C0, 0x00C000, 0xC000C0, 0xC00000, 0x0000C0)
"""The pattern's colours, from left to right, over the whole width."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    socket = tmp_path_factory.mktemp("daemon") / "captured.sock"
    with DaemonProcess(socket, "--pattern", f"{WIDTH}x{HEIGHT}@60") as process:
        yield process


def words(daemon: DaemonProcess, *arguments: object) -> list[str]:
    return [program("capturectl"), "-S", str(daemon.socket), *map(str, arguments)]


def bar_middles() -> list[int]:
    """Columns in the middle of each bar."""
    return [WIDTH * (2 * place + 1) // (2 * len(BARS)) for place in range(len(BARS))]


def rgb_of(colour: int) -> tuple[int, int, int]:
    return colour >> 16, colour >> 8 & 255, colour & 255


def number_in(picture: NDArray[np.uint8]) -> int:
    """Read the capture's number: 32 squares of 8 pixels in the top rows."""
    bits = picture[4, 4 : 32 * 8 : 8, 0] > 127
    return int("".join(str(int(bit)) for bit in bits), 2)


def decoded(film: subprocess.CompletedProcess[bytes]) -> NDArray[np.uint8]:
    assert film.returncode == 0, film.stderr.decode()
    return np.frombuffer(film.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)


def through_ffmpeg(source: list[str], *options: str) -> NDArray[np.uint8]:
    """Pipe a command into ffmpeg; return R G B of each frame."""
    with subprocess.Popen(source, stdout=subprocess.PIPE) as writer:
        done = subprocess.run(
            ["ffmpeg", "-loglevel", "error", *options, "-i", "-", "-f", "rawvideo",
             "-pix_fmt", "rgb24", "-"],
            stdin=writer.stdout, capture_output=True, check=False,
        )  # fmt: skip
        assert writer.wait(30) == 0
    return decoded(done)


# --- streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chroma", ["420", "444"])
def test_ffmpeg_reads_the_film_from_a_pipe_with_the_right_colours(
    daemon: DaemonProcess, chroma: str
) -> None:
    film = through_ffmpeg(words(daemon, "stream", "-n", 5, "--chroma", chroma))
    assert len(film) == 5
    for column, colour in zip(bar_middles(), BARS, strict=True):
        shown = film[:, HEIGHT - 20, column].astype(int)
        assert np.abs(shown - rgb_of(colour)).max() <= 2, f"#{colour:06x} is {shown[0]}"


def test_ffmpeg_is_told_size_rate_range_and_chroma(daemon: DaemonProcess, tmp_path: Path) -> None:
    film = tmp_path / "a.y4m"
    assert subprocess.run(words(daemon, "stream", "-n", 2, film), check=False).returncode == 0
    entries = "width,height,pix_fmt,color_range,r_frame_rate,chroma_location"
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", f"stream={entries}", "-of", "json", film],
        capture_output=True, check=True,
    )  # fmt: skip
    (told,) = json.loads(done.stdout)["streams"]
    assert told == {
        "width": WIDTH,
        "height": HEIGHT,
        "pix_fmt": "yuv420p",
        "color_range": "pc",
        "r_frame_rate": "60/1",
        "chroma_location": "center",
    }


def test_the_films_pictures_are_in_order(daemon: DaemonProcess) -> None:
    film = through_ffmpeg(words(daemon, "stream", "-n", 60))
    numbers = [number_in(picture) for picture in film]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 1


def test_ffmpeg_reads_raw_pixels_by_their_caps(daemon: DaemonProcess, tmp_path: Path) -> None:
    file = tmp_path / "a.raw"
    done = subprocess.run(
        words(daemon, "stream", "-n", 3, "--print-caps", file), capture_output=True, check=True
    )
    caps = json.loads(done.stderr)
    assert file.stat().st_size == 3 * caps["frame_size"]
    read = subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-f", "rawvideo",
         "-pixel_format", caps["ffmpeg_pixel_format"],
         "-video_size", f"{caps['width']}x{caps['height']}", "-i", file,
         "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True, check=False,
    )  # fmt: skip
    film = decoded(read)
    shown = [tuple(film[0, HEIGHT - 20, column].tolist()) for column in bar_middles()]
    assert shown == [rgb_of(colour) for colour in BARS]


def test_a_reader_that_has_enough_is_no_failure(daemon: DaemonProcess) -> None:
    with subprocess.Popen(
        words(daemon, "stream"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.read(9) == b"YUV4MPEG2"
        writer.stdout.close()
        assert (writer.wait(20), writer.stderr.read()) == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_whole_film(
    daemon: DaemonProcess, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "a.y4m"
    with subprocess.Popen(words(daemon, "stream", path), stderr=subprocess.PIPE) as process:
        wait_until(lambda: path.exists() and path.stat().st_size > 2 << 20, "pictures are written")
        process.send_signal(number)
        assert process.stderr is not None
        assert (process.wait(20), process.stderr.read()) == (0, b"")
    data = path.read_bytes()
    head = data.index(b"\n") + 1
    halves = ((WIDTH + 1) // 2) * ((HEIGHT + 1) // 2)
    assert (len(data) - head) % (len(b"FRAME\n") + WIDTH * HEIGHT + 2 * halves) == 0


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_ends_it_at_once(daemon: DaemonProcess, second: signal.Signals) -> None:
    """Two directly after each other, while the reader stands still."""
    first = signal.SIGTERM if second == signal.SIGINT else signal.SIGINT
    for _ in range(5):
        with subprocess.Popen(
            words(daemon, "stream"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as writer:
            wait_until(lambda: is_filling(writer.stdout), "the pipe fills")
            writer.send_signal(first)
            writer.send_signal(second)
            assert writer.wait(20) in {-first, -second}  # the kernel may turn them round
            assert writer.stderr is not None
            assert writer.stderr.read() == b""


def test_a_reader_that_stands_still_does_not_get_the_client_cut_off(daemon: DaemonProcess) -> None:
    with subprocess.Popen(words(daemon, "stream"), stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.read(9)
        wait_until(lambda: is_filling(writer.stdout), "the pipe fills")
        for _ in range(3):  # each a connection and a frame; together longer than three leases
            capturectl("snapshot", "--count", "3", "--interval", "0.3", "-t", "raw", "-",
                       socket=daemon.socket, text=False)  # fmt: skip
        assert writer.poll() is None
        data = writer.stdout.read(30 << 20)
        assert len(data) == 30 << 20
        writer.stdout.close()
        assert writer.wait(20) == 0
    assert "held frame" not in daemon.log()


def is_filling(pipe: IO[bytes] | None) -> bool:
    """Whether half of a pipe is full, so that its writer has to wait soon."""
    assert pipe is not None
    waiting = int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), "little")
    return waiting >= fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) // 2


# --- snapshots -------------------------------------------------------------------------------


def test_a_snapshot_of_a_region_is_that_part(daemon: DaemonProcess, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    left = bar_middles()[3]
    done = capturectl("snapshot", "-g", f"{left},300 20x10", str(file), socket=daemon.socket)
    assert done.returncode == 0, done.stderr
    with Image.open(file) as image:
        assert (image.size, image.getcolors()) == ((20, 10), [(200, rgb_of(BARS[3]))])


def test_a_series_is_a_file_each_interval(daemon: DaemonProcess, tmp_path: Path) -> None:
    done = capturectl(
        "snapshot", "--json", "--count", "4", "--interval", "0.2", str(tmp_path / "%02d.ppm"),
        socket=daemon.socket,
    )  # fmt: skip
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["file"]).name for line in said] == ["01.ppm", "02.ppm", "03.ppm", "04.ppm"]
    times = [line["time_done_ns"] / 1e9 for line in said]
    assert times[-1] - times[0] >= 0.55


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["names", "json"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_each_line_of_a_series_is_there_when_its_picture_is(
    daemon: DaemonProcess, tmp_path: Path, options: list[str], unbuffered: str
) -> None:
    line = [
        program("capturectl"), "-S", str(daemon.socket), "snapshot", *options,
        "--count", "1000", "--interval", "0.05", str(tmp_path / "%d.ppm"),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert "1.ppm" in process.stdout.readline()
        assert not (tmp_path / "20.ppm").exists()
        process.terminate()


def test_a_daemon_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    socket = tmp_path / "captured.sock"
    line = [program("capturectl"), "-S", str(socket), "snapshot", "--wait-active", "20"]
    with (
        subprocess.Popen([*line, str(tmp_path / "a.png")], stdout=subprocess.PIPE) as waiting,
        DaemonProcess(socket, "--pattern", "320x200@60"),
    ):
        assert waiting.wait(30) == 0
    assert (tmp_path / "a.png").exists()


# --- comparing -------------------------------------------------------------------------------


def test_a_picture_of_the_bars_is_recognised(daemon: DaemonProcess, tmp_path: Path) -> None:
    bars = np.empty((40, WIDTH, 3), np.uint8)
    edges = [WIDTH * place // len(BARS) for place in range(len(BARS) + 1)]
    for left, right, colour in zip(edges, edges[1:], BARS, strict=False):
        bars[:, left:right] = rgb_of(colour)
    file, wrong = tmp_path / "bars.png", tmp_path / "wrong.png"
    Image.fromarray(bars).save(file)
    line = ("compare", "-g", f"0,300 {WIDTH}x40", "--timeout", "0", "--diff", str(wrong))
    done = capturectl(*line, str(file), socket=daemon.socket)
    assert (done.returncode, wrong.exists()) == (0, False), done.stderr
    bars[7, 100, 1] += 1
    Image.fromarray(bars).save(file)
    done = capturectl(*line, str(file), socket=daemon.socket)
    assert (done.returncode, wrong.exists()) == (1, True)
    assert "1 pixel differs, by up to 1 of 255, within 100,307 1x1" in done.stderr


def test_comparing_waits_for_what_will_be_shown(daemon: DaemonProcess, tmp_path: Path) -> None:
    # Bit 5 of the number changes each half second; its square is white or black in turn.
    file = tmp_path / "white.png"
    Image.new("RGB", (8, 8), "white").save(file)
    where = f"{8 * (31 - 5)},0 8x8"
    done = capturectl("compare", "-g", where, "--timeout", "20", str(file), socket=daemon.socket)
    assert done.returncode == 0, done.stderr


def test_without_a_locale_or_a_home_everything_works(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    bare = {"LANG": "C", "PATH": os.environ["PATH"]}
    for line in (
        ["snapshot", "--count", "1", tmp_path / "ä-%d.png"],
        ["stream", "-n", 1, tmp_path / "ö.y4m"],
    ):
        done = subprocess.run(words(daemon, *line), env=bare, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ä-1.png", "ö.y4m"]
