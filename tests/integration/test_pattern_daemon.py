# SPDX-License-Identifier: MIT
"""A daemon that serves the test picture, and clients of it: no card is needed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import capturectl as library
from capturectl import protocol
from tests.support import scripted
from tests.support.processes import (
    PROJECT,
    DaemonProcess,
    bare_command,
    capturectl,
    captured,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH, HEIGHT = 640, 360
GREEN_BAR = (0, 192, 0)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "captured.sock", "--pattern", f"{WIDTH}x{HEIGHT}@60") as process:
        yield process


@pytest.fixture(scope="module")
def c_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("c") / "client"
    source = PROJECT / "docs/examples/client.c"
    subprocess.run(
        ["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True
    )
    return program


def number_of(frame: library.Frame) -> int:
    bits = frame.array[4, 4 : 32 * 8 : 8, 0] > 127
    return int("".join(str(int(bit)) for bit in bits), 2)


@pytest.mark.slow
def test_list_shows_the_pattern(daemon: DaemonProcess) -> None:
    listed = json.loads(capturectl("list", "--json", socket=daemon.socket).stdout)
    (output,) = listed["outputs"]
    assert (output["name"], output["state"], output["source"]) == ("Pattern-1", "ready", "pattern")
    assert (output["width"], output["height"], output["refresh_hz"]) == (WIDTH, HEIGHT, 60.0)


@pytest.mark.slow
def test_a_snapshot_says_that_it_is_a_pattern(daemon: DaemonProcess, tmp_path: Path) -> None:
    file = tmp_path / "pattern.png"
    assert capturectl("snapshot", str(file), socket=daemon.socket).returncode == 0
    with Image.open(file) as image:
        assert image.size == (WIDTH, HEIGHT)
        assert image.info["source"] == "pattern"
        assert image.convert("RGB").getpixel((WIDTH // 2, HEIGHT - 10)) == GREEN_BAR


@pytest.mark.slow
def test_every_frame_carries_its_own_number(daemon: DaemonProcess) -> None:
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=10) as stream:
        for frame, _ in zip(stream, range(30), strict=False):
            assert number_of(frame) == frame.sequence


@pytest.mark.slow
def test_a_client_that_wants_the_glass_is_refused_the_pattern(daemon: DaemonProcess) -> None:
    with (
        library.connect(str(daemon.socket)) as client,
        pytest.raises(library.CaptureUnsupportedError) as caught,
    ):
        client.snapshot(sources=library.Source.WRITEBACK)
    assert caught.value.code == "source"


@pytest.mark.slow
def test_a_killed_client_costs_the_others_nothing(daemon: DaemonProcess) -> None:
    words = ["import sys, time, capturectl", "c = capturectl.connect(sys.argv[1])"]
    words += ["f = c.snapshot()", "print(f.sequence, flush=True)", "time.sleep(60)"]
    python = str(Path(sys.executable))
    with subprocess.Popen(
        [python, "-c", "\n".join(words), str(daemon.socket)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        before = daemon.fd_count()
        holder.send_signal(signal.SIGKILL)
    wait_until(lambda: daemon.fd_count() == before - 1, "the client's socket is closed")
    with library.connect(str(daemon.socket)) as client:
        client.snapshot().release()


@pytest.mark.slow
def test_many_clients_get_frames_in_order_without_new_descriptors(daemon: DaemonProcess) -> None:
    def watch(_: int) -> list[int]:
        with library.connect(str(daemon.socket)) as client, client.stream(timeout=10) as stream:
            return [frame.sequence for frame, _ in zip(stream, range(40), strict=False)]

    watch(0)
    before = daemon.fd_count()
    with ThreadPoolExecutor(8) as pool:
        for sequences in pool.map(watch, range(8)):
            assert sequences == sorted(set(sequences))
            assert len(sequences) == 40
    wait_until(lambda: daemon.fd_count() <= before, "every connection is closed")


@pytest.mark.slow
def test_the_c_client_of_the_documentation_gets_the_same_picture(
    daemon: DaemonProcess, c_client: Path
) -> None:
    done = subprocess.run([c_client, daemon.socket], capture_output=True, check=True)
    assert done.stderr == f"{WIDTH}x{HEIGHT} XR24\n".encode()
    rows = np.frombuffer(done.stdout, np.uint8).reshape(HEIGHT, WIDTH, 4)
    assert tuple(rows[HEIGHT - 10, WIDTH // 2, 2::-1]) == GREEN_BAR


@pytest.mark.slow
def test_the_c_client_fails_when_its_rows_are_not_taken(
    daemon: DaemonProcess, c_client: Path
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [c_client, daemon.socket], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, b"No space left on device" in done.stderr) == (1, True)


@pytest.mark.slow
def test_the_c_client_says_that_a_path_is_too_long_and_connects_to_no_other(
    c_client: Path,
) -> None:
    done = subprocess.run([c_client, "/" + "x" * 108], capture_output=True, check=False)
    assert (done.returncode, b"too long" in done.stderr) == (1, True)


def one_picture(fourcc: str, pitch: int, modifier: int = 0) -> tuple[bytes, bytes]:
    """Return BUFFER and FRAME of 2x2 pixels in 16 bytes."""
    code = int.from_bytes(fourcc.encode(), "little")
    described = protocol.Buffer(modifier, 16, 0, 1, code, 2, 2, 1, (0, 0, 0, 0), (pitch, 0, 0, 0))
    return protocol.BUFFER.pack(described, stream=1), scripted.frame(1)


@pytest.mark.parametrize(
    ("fourcc", "pitch", "rows"),
    [
        ("XR24", 8, bytes(range(16))),
        ("RG16", 8, bytes([0, 1, 2, 3, 8, 9, 10, 11])),
        ("RG16", 12, bytes([0, 1, 2, 3, 12, 13, 14, 15])),
        ("RG24", 6, bytes(range(12))),
    ],
)
def test_the_c_client_writes_the_rows_of_a_pixel_format(
    c_client: Path, tmp_path: Path, fourcc: str, pitch: int, rows: bytes
) -> None:
    pixels = (bytes(range(16)),)
    with scripted.scripted(tmp_path / "s", *one_picture(fourcc, pitch), pixels=pixels) as fake:
        done = subprocess.run([c_client, fake.path], capture_output=True, check=True)
    assert done.stdout == rows


@pytest.mark.parametrize(
    "picture",
    [one_picture("NV12", 4), one_picture("XR24", 12), one_picture("XR24", 8, modifier=1)],
    ids=["format", "size", "modifier"],
)
def test_the_c_client_refuses_what_it_does_not_know(
    c_client: Path, tmp_path: Path, picture: tuple[bytes, bytes]
) -> None:
    with scripted.scripted(tmp_path / "s", *picture, pixels=(bytes(16),)) as fake:
        done = subprocess.run([c_client, fake.path], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.slow
def test_a_sigterm_that_is_blocked_during_the_start_is_heard_when_all_is_ready(
    tmp_path: Path,
) -> None:
    words = ["env", "--block-signal=TERM", "bash", "-c", 'kill -TERM $$; exec "$@"', "bash"]
    words += [*bare_command(), "--pattern", "640x480", "--socket", str(tmp_path / "s")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "ready on" in done.stderr) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["--show-config", "--check-config", "--examine", "--give-back"])
def test_what_serves_nobody_is_ended_by_a_sigterm_at_once(task: str) -> None:
    words = ["env", "--block-signal=TERM", "bash", "-c", 'kill -TERM $$; exec "$@"', "bash"]
    done = subprocess.run([*words, *bare_command(), task], timeout=30, check=False)
    assert done.returncode == -signal.SIGTERM


@pytest.mark.slow
def test_there_is_nothing_to_give_back_of_a_test_picture() -> None:
    done = captured("--give-back", "--pattern", "640x480")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_what_is_no_geometry_is_a_usage_error(tmp_path: Path) -> None:
    done = captured("--pattern", "big", "--socket", str(tmp_path / "s"))
    assert done.returncode == 2
    assert done.stderr == "captured: command line: pattern 'big' is not WxH or WxH@HZ\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("--pattern", "1x1@1"), ("--pattern", "640x480@0"), ("--group", "nosuchgroup")],
    ids=" ".join,
)
def test_what_cannot_start_is_refused_by_the_check_in_the_same_words(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    place = ("--socket", str(tmp_path / "captured.sock"))
    started = captured("--pattern", "640x480", *place, *words)
    checked = captured("--check-config", "--pattern", "640x480", *place, *words)
    assert (checked.returncode, checked.stderr) == (started.returncode, started.stderr)
    assert checked.returncode == 2
    assert words[1] in checked.stderr
