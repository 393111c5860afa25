# SPDX-License-Identifier: MIT
"""The demo: a picture of everything on a real CRTC, and what another tool sees of it.

    python -m tests.demo DIRECTORY

Needs a card with a writeback connector and nobody else on it; `make demo` brings one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.support import picture
from tests.support.processes import DaemonProcess, SceneProcess, capturectl

WIDTH, HEIGHT = 640, 480


def say(who: str, what: str) -> None:
    """Print one step."""
    sys.stdout.write(f"{who:>10}  {what}\n")
    sys.stdout.flush()


def read_rgb(path: Path) -> picture.Rgb:
    """Return a file's pixels."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def kmsgrab(path: Path) -> None:
    """Let ffmpeg read the framebuffer of one plane, as capture tools do."""
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-y", "-device", "/dev/dri/card0", "-f", "kmsgrab",
         "-i", "-", "-vf", "hwdownload,format=bgr0", "-frames:v", "1", str(path)],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def side_by_side(left: Path, right: Path, path: Path) -> None:
    """Put two pictures beside each other, each with its name."""
    caption = 24
    sheet = Image.new("RGB", (WIDTH * 2 + 16, HEIGHT + caption), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (file, name) in enumerate(
        (
            (left, "ffmpeg -f kmsgrab: one plane's framebuffer"),
            (right, "capturectl snapshot: the glass"),
        )
    ):
        x = place * (WIDTH + 16)
        draw.text((x + 4, 6), name, "black")
        with Image.open(file) as image:
            sheet.paste(image.convert("RGB"), (x, caption))
    sheet.save(path)


def differing(found: picture.Rgb, expected: picture.Rgb) -> int:
    """Count the pixels that are not as expected."""
    return int((found != expected).any(axis=2).sum())


def main() -> int:
    """Run the demo; return 0 when the picture is exact."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    directory.mkdir(exist_ok=True)
    ours, theirs = directory / "snapshot.png", directory / "kmsgrab.png"
    with (
        tempfile.TemporaryDirectory() as run,
        SceneProcess("640x480@60", "--run", "10") as scene,
        DaemonProcess(Path(run) / "captured.sock") as daemon,
    ):
        say(
            "scene", "a dashboard, another machine's window and a camera: three planes, 640x480@60"
        )
        say("captured", daemon.log().splitlines()[0].removeprefix("captured: "))
        sys.stdout.write(capturectl("list", socket=daemon.socket).stdout)
        frame = scene.tell("hold")["frame"]
        done = capturectl("snapshot", str(ours), socket=daemon.socket)
        if done.returncode:
            sys.stderr.write(done.stderr)
            return 1
        kmsgrab(theirs)
    side_by_side(theirs, ours, directory / "side-by-side.png")
    expected = picture.compose(WIDTH, HEIGHT, frame)
    wrong, lacking = differing(read_rgb(ours), expected), differing(read_rgb(theirs), expected)
    say("snapshot", f"frame {frame}: {WIDTH * HEIGHT - wrong} of {WIDTH * HEIGHT} pixels as drawn")
    say("kmsgrab", f"{theirs}: {lacking} pixels are not what is on the glass")
    say("compare", str(directory / "side-by-side.png"))
    sys.stdout.write(f"{ours}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
