# SPDX-License-Identifier: MIT
"""What the daemon takes: memory without the pool, memory a client, CPU by resolution.

    python -m tests.bench.memory [--seconds S] [--json FILE]

The daemon runs without the site hooks of a developer's environment, which cost 3 MB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import capturectl
from tests.bench.fanout import cpu_ns, private_kib
from tests.support.processes import BareDaemon

if TYPE_CHECKING:
    from capturectl.client import Client

SIZES = ("640x480", "1920x1080", "3840x2160", "7680x4320")
CROWD = 400
HELLO_TIMERS_S = 6.0
"""By then the daemon has forgotten that it would have cut off who does not say HELLO."""


def frames_of(client: Client, seconds: float) -> int:
    """Take frames for a while; return how many came."""
    until, count = time.monotonic() + seconds, 0
    with client.stream() as stream:
        for _ in stream:
            count += 1
            if time.monotonic() > until:
                break
    return count


def cpu_us_a_frame(directory: Path, size: str, seconds: float) -> float:
    """Return the daemon's CPU time for a frame of one client."""
    with (
        BareDaemon(directory / "size.sock", "--pattern", f"{size}@60") as daemon,
        capturectl.connect(str(daemon.socket)) as client,
    ):
        frames_of(client, 0.5)
        before = cpu_ns(daemon.pid)
        frames = frames_of(client, seconds)
        return (cpu_ns(daemon.pid) - before) / 1000 / frames


def bytes_a_client(directory: Path, *, subscribed: bool) -> float:
    """Return what the daemon keeps for each of a crowd."""
    with BareDaemon(directory / "crowd.sock", "--pattern", "640x480@60") as daemon:
        crowd: list[Client] = []

        def gather(count: int) -> int:
            for _ in range(count):
                client = capturectl.connect(str(daemon.socket))
                crowd.append(client)
                if subscribed:
                    client.stream(max_fps=1, credits=1)
            time.sleep(HELLO_TIMERS_S)
            return private_kib(daemon.pid)

        first = gather(CROWD // 4)
        more = gather(CROWD)
        for client in crowd:
            client.close()
        return (more - first) * 1024 / CROWD


def idle_kib(directory: Path) -> int:
    """Return the resident memory of a daemon that nobody has asked for anything."""
    with BareDaemon(directory / "idle.sock", "--pattern", "1920x1080@60") as daemon:
        return private_kib(daemon.pid)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        found = {
            "idle_kib": idle_kib(directory),
            "bytes_a_connection": bytes_a_client(directory, subscribed=False),
            "bytes_a_subscription": bytes_a_client(directory, subscribed=True),
            "cpu_us_a_frame": {
                size: statistics.median(
                    cpu_us_a_frame(directory, size, options.seconds) for _ in range(3)
                )
                for size in SIZES
            },
        }
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if options.json:
        options.json.write_text(json.dumps({"schema": "captured/1/memory-bench", **found}))


if __name__ == "__main__":
    main()
