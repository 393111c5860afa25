# SPDX-License-Identifier: MIT
"""Fan-out, the daemon against a C program that does the same work, in the same run.

Between the two stands the floor: the same in plain Python, without an engine.

    python -m tests.bench.fanout [--repeat N] [--seconds S] [--json FILE]

Prints a table and, with --json, writes all figures. Medians over the repeats, with the spread.
Nothing here passes or fails: numbers are for reading.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from capturectl.version import VERSION
from tests.support.processes import program

HERE = Path(__file__).parent
CASES = ((1, 60), (8, 60), (64, 60), (8, 240))
SIZE = "1920x1080"


class Run(NamedTuple):
    """One server under one load."""

    cpu_us_per_frame: float
    p50_us: float
    p99_us: float
    least: int
    most: int
    rss_kib: int


def build(directory: Path, *names: str) -> None:
    """Compile programs that stand here; libdrm's headers are the kernel's."""
    for name in names:
        subprocess.run(
            [
                "cc",
                "-O2",
                "-Wall",
                "-Wextra",
                "-I/usr/include/libdrm",
                "-o",
                directory / name,
                HERE / f"{name}.c",
            ],
            check=True,
        )


def cpu_ns(pid: int) -> int:
    """Return the CPU time that a single-threaded process has used.

    Kernel: /proc/PID/schedstat, the first number (Documentation/scheduler/sched-stats.rst).
    """
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def private_kib(pid: int) -> int:
    """Return the memory that is the process's own: the pool is shared, and not in it."""
    words = Path(f"/proc/{pid}/status").read_text().split()
    return int(words[words.index("RssAnon:") + 1]) + int(words[words.index("RssFile:") + 1])


def measure(server: list[str], ready: str, load: Path, socket: Path, case: tuple[int, int],
            seconds: float) -> Run:  # fmt: skip
    """Run a server under the load and return its figures."""
    clients, _ = case
    with subprocess.Popen(
        server, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            while ready not in (line := process.stdout.readline()):
                if not line:
                    raise SystemExit(f"{server[0]} did not start")
            with subprocess.Popen(
                [load, socket, str(clients), str(seconds)], stdout=subprocess.PIPE, text=True
            ) as loader:
                assert loader.stdout is not None
                loader.stdout.readline()
                before = cpu_ns(process.pid)
                figures = json.loads(loader.stdout.readline())
                used = cpu_ns(process.pid) - before
                rss = private_kib(process.pid)
        finally:
            process.terminate()
    frames = max(1, figures["most"])
    return Run(
        used / 1000 / frames, figures["p50_us"], figures["p99_us"], figures["least"],
        figures["most"], rss,
    )  # fmt: skip


def compare(directory: Path, case: tuple[int, int], repeat: int, seconds: float) -> dict[str, Any]:
    """Measure the control, the floor and the daemon in turn."""
    clients, rate = case
    runs: dict[str, list[dict[str, Any]]] = {"control": [], "floor": [], "captured": []}
    for number in range(repeat):
        for name, found in runs.items():
            socket = directory / f"{name}-{clients}-{rate}-{number}.sock"
            server, ready = _server(name, directory, socket, rate)
            run = measure(server, ready, directory / "load", socket, case, seconds)
            found.append(run._asdict())
    return runs


def _server(name: str, directory: Path, socket: Path, rate: int) -> tuple[list[str], str]:
    """Return the command of a server, and what it says when it is ready."""
    if name == "control":
        return [str(directory / "control"), str(socket), SIZE, str(rate)], "ready"
    if name == "floor":
        return [sys.executable, "-m", "tests.bench.floor", str(socket), SIZE, str(rate)], "ready"
    pattern = f"{SIZE}@{rate}"
    return [program("captured"), "--pattern", pattern, "--socket", str(socket)], "ready on"


def median(found: dict[str, Any], name: str, field: str) -> float:
    """Return the median of a figure over the repeats."""
    return float(statistics.median(run[field] for run in found[name]))


def spread(found: dict[str, Any], name: str, field: str) -> str:
    """Return the least and the most of a figure."""
    values = [run[field] for run in found[name]]
    return f"{min(values):.0f}-{max(values):.0f}"


def print_row(case: tuple[int, int], found: dict[str, Any]) -> None:
    """Print one case."""
    cells = [f"{case[0]:>4} x {case[1]:>3} Hz"]
    for field in ("cpu_us_per_frame", "p50_us", "p99_us"):
        ours, theirs = median(found, "captured", field), median(found, "control", field)
        floor = median(found, "floor", field) / theirs
        cells.append(f"{ours:6.0f} ({spread(found, 'captured', field):>9}) / {theirs:5.0f} = "
                     f"{ours / theirs:4.2f}x, {floor:4.2f}x")  # fmt: skip
    least, most = median(found, "captured", "least"), median(found, "captured", "most")
    cells.append(f"{least:.0f}/{most:.0f}")
    cells.append(f"{median(found, 'captured', 'rss_kib') / 1024:.1f} MiB")
    sys.stdout.write("  ".join(cells) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.stdout.write(
        f"captured {VERSION}, Python {platform.python_version()}, Linux {platform.release()}, "
        f"{os.cpu_count()} CPUs; median of {options.repeat} (least-most) / C control = ratio, "
        "and that of plain Python without an engine\n"
        "clients        CPU us a frame                         fence to client p50 us"
        "                 p99 us                                 frames  memory\n"
    )
    results = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        build(directory, "control", "load")
        for case in CASES:
            found = compare(directory, case, options.repeat, options.seconds)
            print_row(case, found)
            results.append({"clients": case[0], "rate_hz": case[1], **found})
    if options.json:
        machine = {"python": platform.python_version(), "kernel": platform.release()}
        report = {"schema": "captured/1/bench", "machine": machine, "cases": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
