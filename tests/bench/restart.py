# SPDX-License-Identifier: MIT
"""How long streams pause when the service is restarted or killed: 30 frames at most, it should be.

    tests/vm/run -s -- python -m tests.bench.restart [--repeat N]

The shipped unit, installed, under systemd in the guest, with eight clients that stream. Prints the
longest gap of any of them, in frames of 60 Hz; how much of it passed before the new daemon's first
line ran, which is systemd, the sandbox and the interpreter; and what an interpreter alone takes
there at that time.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import service
from tests.support.processes import SceneProcess
from tests.support.service import drop_in, systemctl, take_back
from tests.support.units import DAEMON, FRAME_NS, Crowd, Service, journal, longest_gap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLIENTS = 8
_STAMPED = Path("/run/stamped-captured")
_STAMP = "the first line ran at "


def kill(units: Service) -> None:
    """End the daemon as a crash does."""
    os.kill(units.pid, signal.SIGKILL)


def restart(units: Service) -> None:
    """End it as an upgrade does."""
    systemctl("restart", "captured.service")


def stamp_first_line() -> None:
    """Let the daemon log when its first line runs."""
    first, rest = Path(DAEMON).read_text().split("\n", 1)
    code = f'import sys, time; sys.stderr.write(f"{_STAMP}{{time.monotonic_ns()}}\\n")'
    _STAMPED.write_text(f"{first}\n{code}\n{rest}")
    _STAMPED.chmod(0o755)
    drop_in("zz-stamp", f"[Service]\nExecStart=\nExecStart={_STAMPED}\n")


def gap(units: Service, end: Callable[[Service], None]) -> tuple[float, float]:
    """Return the longest gap that a client saw, and its part before the first line; in frames."""
    with Crowd(CLIENTS) as crowd:
        crowd.begun()
        ended_ns = time.monotonic_ns()
        end(units)
        crowd.saw_gap()
        longest = max(longest_gap(frames) for frames in crowd.finish())
    first_line_ns = int(journal().rpartition(_STAMP)[2].split()[0])
    return longest, (first_line_ns - ended_ns) / FRAME_NS


def interpreter_frames() -> float:
    """Return how long an interpreter takes that does nothing, in frames."""
    begin = time.monotonic_ns()
    subprocess.run(["/usr/bin/python3", "-IS", "-c", "pass"], check=True)
    return (time.monotonic_ns() - begin) / FRAME_NS


def show(what: str, values: Sequence[float]) -> None:
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
    units.install()
    stamp_first_line()
    with SceneProcess() as scene:
        scene.tell("hold")
        for end in (restart, kill):
            gaps, before = zip(*(gap(units, end) for _ in range(repeat)), strict=True)
            show(end.__name__, gaps)
            show("  to first line", before)
        show("interpreter", [interpreter_frames() for _ in range(repeat)])
        units.remove()
    take_back("zz-stamp")
    service.uninstall()


if __name__ == "__main__":
    main()
