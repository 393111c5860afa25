# SPDX-License-Identifier: MIT
"""A snapshot as a whole command, beside ffmpeg's kmsgrab and grim, in the guest.

    tests/vm/run -- python -m tests.bench.peers [--repeat N] [--json FILE]

ours, as `make install` leaves it, and kmsgrab capture the scene at 640x480; grim captures sway, in
the same guest, in its own turn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.capture import median, say
from tests.demo import kmsgrab
from tests.support.processes import PROJECT, DaemonProcess, SceneProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NOBODY = 65534


def run(words: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a command that has to succeed; what it says to standard output is dropped."""
    subprocess.run(
        words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
    )


def timed(work: Mapping[str, Callable[[], None]], repeat: int) -> dict[str, list[float]]:
    """Do each again and again; milliseconds, without the first of each.

    One behind the other, not in turn: grim cannot but run by itself, and ffmpeg's libraries would
    throw everybody else's pages out of the caches.
    """
    found: dict[str, list[float]] = {name: [] for name in work}
    for name, step in work.items():
        for turn in range(repeat + 1):
            began = time.perf_counter()
            step()
            if turn:
                found[name].append((time.perf_counter() - began) * 1000)
    return found


def install(prefix: Path) -> Path:
    """Install the project; return the command."""
    run(["make", "-C", str(PROJECT), "install", f"PREFIX={prefix}", "VENDOR=no"])
    return prefix / "bin/capturectl"


def on_the_scene(directory: Path, repeat: int) -> dict[str, list[float]]:
    """Measure ours and kmsgrab on one lit display."""
    with SceneProcess() as scene, DaemonProcess(directory / "captured.sock") as daemon:
        scene.tell("hold")
        line = ("-S", str(daemon.socket), "snapshot", str(directory / "ours.png"))
        ours = [str(install(directory / "opt")), *line]
        return timed(
            {
                "python3 -c pass": lambda: run(["/usr/bin/python3", "-c", "pass"]),
                "capturectl": lambda: run(ours),
                "kmsgrab": lambda: kmsgrab(directory / "kmsgrab.png"),
            },
            repeat,
        )


@contextlib.contextmanager
def sway(directory: Path) -> Iterator[dict[str, str]]:
    """Run sway with its software renderer; yields the environment of its clients."""
    directory.chmod(0o777)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(directory)}
    config = directory / "config"
    config.write_text("output * mode --custom 640x480@60Hz bg #336699 solid_color\n")
    run(["/lib/systemd/systemd-udevd", "--daemon"])
    run(["udevadm", "trigger"])
    run(["udevadm", "settle"])
    with subprocess.Popen(
        ["seatd", "-g", "nogroup"], env=environment | {"SEATD_VTBOUND": "0"},
        stderr=subprocess.DEVNULL,
    ) as seat:  # fmt: skip
        wait_until(Path("/run/seatd.sock").exists, "seatd listens")
        own = {
            "LIBSEAT_BACKEND": "seatd", "WLR_RENDERER": "pixman", "WLR_LIBINPUT_NO_DEVICES": "1",
            "HOME": str(directory),
        }  # fmt: skip
        with subprocess.Popen(
            ["sway", "-c", str(config)], env=environment | own, user=NOBODY, group=NOBODY,
            extra_groups=[], stderr=subprocess.DEVNULL,
        ) as compositor:  # fmt: skip
            try:
                display = directory / "wayland-1"
                wait_until(display.exists, "sway listens")
                yield environment | {"WAYLAND_DISPLAY": display.name}
            finally:
                compositor.terminate()
                compositor.wait()
                seat.terminate()


def beside_sway(directory: Path, repeat: int) -> dict[str, list[float]]:
    """Measure grim on sway's display of the same size."""
    file = str(directory / "grim.png")
    with sway(directory) as environment:
        return timed({"grim": lambda: run(["grim", file], environment)}, repeat)


def main() -> None:
    """Measure all, and print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = on_the_scene(Path(name), options.repeat)
    with tempfile.TemporaryDirectory() as name:
        found |= beside_sway(Path(name), options.repeat)
    ours = statistics.median(found["capturectl"])
    say("one 640x480 PNG as a whole command in the guest, ms")
    for who, times in found.items():
        ratio = ours / statistics.median(times)
        say(f"{who:>16}: {median(times)}" + ("" if who == "capturectl" else f"  = {ratio:.2f}x"))
    if options.json:
        options.json.write_text(json.dumps({"schema": "captured/1/peers-bench", "ms": found}))


if __name__ == "__main__":
    main()
