# SPDX-License-Identifier: MIT
"""How long streams pause when the service is restarted or killed: 30 frames at most, it should be.

    tests/vm/run -s -- python -m tests.bench.restart [--repeat N]

The shipped unit, installed, under systemd in the guest, with eight clients that stream. Prints the
longest gap of any of them, in frames of 60 Hz, and what an interpreter alone takes to start there
at that time: most of a gap is that.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.support import service
from tests.support.processes import SceneProcess
from tests.support.service import systemctl
from tests.support.units import FRAME_NS, Crowd, Service, longest_gap

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS = 8


def kill(units: Service) -> None:
    """End the daemon as a crash does."""
    os.kill(units.pid, signal.SIGKILL)


def restart(units: Service) -> None:
    """End it as an upgrade does."""
    systemctl("restart", "captured.service")


def gap(units: Service, end: Callable[[Service], None]) -> float:
    """Return the longest gap that a client saw, in frames."""
    with Crowd(CLIENTS) as crowd:
        crowd.begun()
        end(units)
        crowd.saw_gap()
        return max(longest_gap(frames) for frames in crowd.finish())


def interpreter_frames() -> float:
    """Return how long an interpreter takes that does nothing, in frames."""
    begin = time.monotonic_ns()
    subprocess.run(["/usr/bin/python3", "-IS", "-c", "pass"], check=True)
    return (time.monotonic_ns() - begin) / FRAME_NS


def show(what: str, values: list[float]) -> None:
    """Print a median and its spread."""
    median = statistics.median(values)
    sys.stdout.write(f"{what:16} {median:5.1f} frames ({min(values):.1f}-{max(values):.1f})\n")
    sys.stdout.flush()


def main() -> None:
    """Measure both ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    service.install()
    units = Service()
    units.install("--linger", "60")
    with SceneProcess() as scene:
        scene.tell("hold")
        for end in (restart, kill):
            show(end.__name__, [gap(units, end) for _ in range(repeat)])
        show("interpreter", [interpreter_frames() for _ in range(repeat)])
        units.remove()
    service.uninstall()


if __name__ == "__main__":
    main()
