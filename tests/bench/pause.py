# SPDX-License-Identifier: MIT
"""How many captures a driver that loses jobs makes before one is lost, with and without a pause.

    tests/vm/run -c vkms-lossy -- python -m tests.bench.pause [--captures N]

One stream with the pause that the table of drivers has for VKMS, then one without. A driver that
has lost a job stays out of step, so each has one try, and the one with the pause is the first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import capturectl as library
from tests.support.processes import DaemonProcess, SceneProcess


def until_lost(socket: Path, most: int, *arguments: str) -> int:
    """Return how many frames a client gets before the output is given up; `most` at most."""
    count = 0
    with (
        DaemonProcess(socket, *arguments) as daemon,
        library.connect(str(daemon.socket)) as client,
        client.stream(timeout=20) as stream,
    ):
        try:
            for count, frame in enumerate(stream, 1):
                frame.release()
                if count == most:
                    break
        except library.CaptureLostError as error:
            sys.stdout.write(f"  {error}\n")
    return count


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--captures", type=int, default=1800)
    most = parser.parse_args().captures
    with tempfile.TemporaryDirectory() as name, SceneProcess() as scene:
        scene.tell("hold")
        for what, arguments in (("with the pause", ()), ("without", ("--settle", "0"))):
            count = until_lost(Path(name) / "captured.sock", most, *arguments)
            sys.stdout.write(f"{what:16} {count} of {most} captures\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
