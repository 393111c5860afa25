# SPDX-License-Identifier: MIT
"""The capturing commands: PNG against Pillow at 4K, and y4m at 1080p60 into a pipe.

    python -m tests.bench.capture [--repeat N] [--seconds S] [--json FILE]

Natively, with the pattern source. Medians with the spread; nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import capturectl as library
from capturectl.encode import encode
from capturectl.version import VERSION
from tests.support.processes import DaemonProcess, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def say(text: str) -> None:
    """Print a line now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def milliseconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def median(values: list[float]) -> str:
    """Return the median with the least and the most."""
    return f"{statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


@contextlib.contextmanager
def pattern(directory: Path, size: str) -> Iterator[DaemonProcess]:
    """Run a daemon with the test picture."""
    with DaemonProcess(directory / f"{size}.sock", "--pattern", size) as daemon:
        yield daemon


# -- PNG ----------------------------------------------------------------------------------------


def png_at_4k(directory: Path, repeat: int) -> dict[str, list[float]]:
    """Encode one held frame and save the same array with Pillow, in turn."""
    found: dict[str, list[float]] = {"capturectl": [], "pillow": []}
    with (
        pattern(directory, "3840x2160@60") as daemon,
        library.connect(str(daemon.socket)) as client,
        client.snapshot() as frame,
    ):
        image = Image.fromarray(np.ascontiguousarray(frame.array[:, :, 2::-1]))
        encode(frame, "png")  # both have their modules by then
        image.save(io.BytesIO(), "PNG")
        for _ in range(repeat):
            found["capturectl"].append(milliseconds(lambda: encode(frame, "png")))
            found["pillow"].append(milliseconds(lambda: image.save(io.BytesIO(), "PNG")))
    return found


# -- y4m ----------------------------------------------------------------------------------------


def film_at_1080p60(directory: Path, seconds: float, chroma: str) -> dict[str, Any]:
    """Stream into a pipe that is read; return what capturectl says of it."""
    pipe = directory / f"pipe-{chroma}"
    os.mkfifo(pipe)
    with pattern(directory, "1920x1080@60") as daemon, subprocess.Popen(
        ["cat", pipe], stdout=subprocess.DEVNULL
    ) as reader:  # fmt: skip
        frames = str(round(seconds * 60))
        line = ["stream", "-S", str(daemon.socket), "-n", frames, "--chroma", chroma]
        done = subprocess.run(
            [program("capturectl"), *line, "--json", "--format", "y4m", pipe],
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        reader.wait()
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    say(
        f"captured {VERSION}, Python {platform.python_version()}, Linux {platform.release()}, "
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        png = png_at_4k(directory, options.repeat)
        ours, theirs = (statistics.median(png[who]) for who in ("capturectl", "pillow"))
        say(
            f"4K XR24 to PNG, ms: capturectl {median(png['capturectl'])} / Pillow "
            f"{median(png['pillow'])} = {ours / theirs:.2f}x"
        )
        films = {}
        for chroma in ("420", "444"):
            films[chroma] = film = film_at_1080p60(directory, options.seconds, chroma)
            say(
                f"1080p60 to y4m {chroma}, a pipe, {options.seconds:g} s: {film['frames']} "
                f"pictures, {film['dropped']} dropped, {film['late']} of them by the pipe"
            )
    if options.json:
        report = {"schema": "captured/1/capture-bench", "png": png, "y4m": films}
        options.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
