# SPDX-License-Identifier: MIT
"""The daemon against a C program that does the same work, on the real writeback connector.

    tests/vm/run -- python -m tests.bench.guest [--seconds S] [--repeat N] [--json FILE]

Both capture the same scene in the same guest, in turn, with one client and with eight. Prints
frames, their ratio, what clients went without, and the time from the fence to the client.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from capturectl.fourcc import fourcc_code
from captured.capture.pacing import policy_of
from tests.bench.fanout import build
from tests.support import kernel
from tests.support.processes import DaemonProcess, SceneProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = (1, 8)


class Motion(NamedTuple):
    """What the clients of one server got."""

    least: int
    """Frames of the client that got the fewest."""
    most: int
    p50_us: float
    p99_us: float
    gaps: int
    """Captures that clients went without, between two frames."""
    missed: int
    """Captures that failed."""
    passed: int
    """Vblanks that went by without a capture; the control does not count them."""


def control_words(program: Path, socket: Path) -> list[str]:
    """Return the command of the C control, with the numbers of the card's objects."""
    found = kernel.resources()
    crtc, (connector,) = found.crtcs[0], found.writeback_connectors()
    names = ("CRTC_ID", "WRITEBACK_FB_ID", "WRITEBACK_OUT_FENCE_PTR")
    mode = crtc.mode
    assert mode is not None, "the scene is lit"
    settle_us = round(policy_of("vkms").settle_s * 1e6)
    numbers = [fourcc_code("XR24"), settle_us, crtc.crtc_id, connector.connector_id]
    numbers += [connector.properties.prop_id(name) for name in names]
    size = f"{mode.width}x{mode.height}"
    return [str(program), str(socket), kernel.CARD, size, *map(str, numbers)]


@contextlib.contextmanager
def control(directory: Path) -> Iterator[Path]:
    """Run the C control; yields its socket."""
    socket = directory / "control.sock"
    words = control_words(directory / "kms_control", socket)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield socket
        finally:
            process.terminate()
    socket.unlink()
    kernel_is_free()


@contextlib.contextmanager
def daemon(directory: Path) -> Iterator[Path]:
    """Run the daemon; yields its socket."""
    with DaemonProcess(directory / "captured.sock") as process:
        yield process.socket
        process.end()
    kernel_is_free()


def kernel_is_free() -> None:
    """Take off what the control left attached: it does not clean up."""
    kernel.take_off_writeback()
    wait_until(lambda: not kernel.is_attached(), "the connector is free")


SERVERS = {"control": control, "captured": daemon}


def measure(directory: Path, name: str, clients: int, seconds: float) -> Motion:
    """Let clients watch one server for a while."""
    with SERVERS[name](directory) as socket:
        words = [str(directory / "load"), str(socket), str(clients), str(seconds)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return Motion(**json.loads(done.stdout.splitlines()[1]))


def compare(directory: Path, clients: int, seconds: float, repeat: int) -> dict[str, list[Motion]]:
    """Measure both in turn, on a scene that is lit."""
    found: dict[str, list[Motion]] = {name: [] for name in SERVERS}
    for _ in range(repeat):
        for name, runs in found.items():
            runs.append(measure(directory, name, clients, seconds))
    return found


def median(runs: list[Motion], field: str) -> float:
    """Return the median of a figure."""
    return float(statistics.median(getattr(run, field) for run in runs))


def print_row(clients: int, found: dict[str, list[Motion]]) -> None:
    """Print one number of clients."""
    ours, theirs = found["captured"], found["control"]
    ratio = median(ours, "least") / median(theirs, "least")
    sys.stdout.write(
        f"{clients} clients: frames of the slowest {median(ours, 'least'):.0f} / "
        f"{median(theirs, 'least'):.0f} = {100 * ratio:.1f} %   "
        f"gaps {sum(r.gaps for r in ours)} / "
        f"{sum(r.gaps for r in theirs)}   missed {sum(r.missed for r in ours)}   vblanks without "
        f"{sum(r.passed for r in ours)}   p50 us "
        f"{median(ours, 'p50_us'):.0f} / {median(theirs, 'p50_us'):.0f}   p99 us "
        f"{median(ours, 'p99_us'):.0f} / {median(theirs, 'p99_us'):.0f}\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Run both, with one client and with eight."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[int, Any] = {}
    with tempfile.TemporaryDirectory() as name, SceneProcess() as scene:
        directory = Path(name)
        build(directory, "load", "kms_control")
        scene.tell("hold")
        for clients in CLIENTS:
            results[clients] = compare(directory, clients, options.seconds, options.repeat)
            print_row(clients, results[clients])
    if options.json:
        options.json.write_text(json.dumps({"schema": "captured/1/guest-bench", "runs": results}))


if __name__ == "__main__":
    main()
