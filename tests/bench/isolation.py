# SPDX-License-Identifier: MIT
"""What bad clients cost good ones: nothing, it should be.

    python -m tests.bench.isolation [--seconds S] [--repeat N] [--json FILE]

Twelve good clients alone; beside four more good ones; beside two that never read and two that
never release; beside 64 bad ones with a daemon that may open 1024 files; beside four that hoard,
are cut off, and come back at once; and beside four that keep all they can get for most of a
lease, as they may. Runs take turns. Prints the good clients' latency from the fence, the frames
that they went without, what the source missed, and the vblanks that went by without a capture.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.fanout import SIZE, build
from tests.support.processes import program

GOOD = 12
CASES: dict[str, dict[str, int]] = {
    "alone": {},
    "4 more good ones": {"load": 4},
    "2 deaf, 2 hoarding": {"deaf": 2, "hold": 2},
    "32 deaf, 32 hoarding": {"deaf": 32, "hold": 32},
    "4 hoarding, coming back": {"again": 4},
    "4 keeping 4 for 200 ms": {"keep": 4},
}
FILES = 1024


@contextlib.contextmanager
def daemon(socket: Path) -> Any:
    """Run the daemon with a small number of files."""
    with subprocess.Popen(
        [
            program("captured"),
            "--pattern",
            f"{SIZE}@60",
            "--socket",
            str(socket),
            "--log",
            "error",
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),  # noqa: PLW1509 - no threads here
    ) as process:
        while not socket.exists():
            pass
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def others(directory: Path, socket: Path, count: int, how: str, seconds: float) -> Any:
    """Run other clients until the good ones have ended."""
    words = [str(directory / "bad"), str(socket), str(count), how]
    if how == "load":
        words = [str(directory / "load"), str(socket), str(count), str(seconds + 60)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def run(directory: Path, case: dict[str, int], seconds: float) -> dict[str, Any]:
    """Measure the good clients once."""
    socket = directory / "isolation.sock"
    with contextlib.ExitStack() as stack:
        stack.enter_context(daemon(socket))
        for how, count in case.items():
            stack.enter_context(others(directory, socket, count, how, seconds))
        words = [str(directory / "load"), str(socket), str(GOOD), str(seconds)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[1])
    return figures


def median(runs: list[dict[str, Any]], field: str) -> float:
    """Return the median of a figure over the repeats."""
    return float(statistics.median(figures[field] for figures in runs))


def print_row(name: str, runs: list[dict[str, Any]], alone: list[dict[str, Any]]) -> None:
    """Print one case."""
    p50, p99 = median(runs, "p50_us"), median(runs, "p99_us")
    spread = [figures["p99_us"] for figures in runs]
    gaps, missed, passed = (
        sum(figures[field] for figures in runs) for field in ("gaps", "missed", "passed")
    )
    frames = sum(figures["most"] for figures in runs)
    sys.stdout.write(
        f"{name:24} p50 {p50:6.0f} us ({p50 / median(alone, 'p50_us'):4.2f}x)  "
        f"p99 {p99:6.0f} us ({p99 / median(alone, 'p99_us'):4.2f}x, {min(spread):.0f}-"
        f"{max(spread):.0f})  gaps {gaps}  missed {missed}  of {frames} frames, "
        f"{passed} vblanks without\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Run all cases in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        build(directory, "load", "bad")
        for number in range(options.repeat):
            for case, found in runs.items():
                sys.stderr.write(f"run {number + 1}/{options.repeat}: {case}\n")
                found.append(run(directory, CASES[case], options.seconds))
    sys.stdout.write(f"{GOOD} good clients, {SIZE}@60, {os.cpu_count()} CPUs, medians\n")
    for case, found in runs.items():
        print_row(case, found, runs["alone"])
    if options.json:
        options.json.write_text(json.dumps({"schema": "captured/1/isolation", "runs": runs}))


if __name__ == "__main__":
    main()
