# SPDX-License-Identifier: MIT
"""Plays the rest of the system: lights a display, shows planes, and draws behind its back.

    python -m tests.support.scene [--mode WxH@HZ] [--card PATH] [--keep-master] [--run FPS]

It sets a mode, puts up a primary plane and two overlays, drops master, and then goes on
drawing into the buffers that are being scanned out, as a hypervisor or another virtual
machine would. Each line on standard input is a command, each answer a line of JSON:

    step        draw the next frame                  run FPS     go on drawing
    hold        stop drawing; say which frame it is  frame N     draw that frame
    flip N      show that frame on all planes at one vblank, from new buffers (takes master)
    mode W H HZ set another mode (takes master)      off, on     ACTIVE alone (takes master)
    dark        disable the CRTC for good (takes master)
    master      become master and stay it           drop        stop being master
    quit
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from capturectl.fourcc import fourcc_code
from captured.drm.atomic import AtomicReq
from captured.drm.blob import Blob
from captured.drm.card import Card
from captured.drm.framebuffer import DumbFramebuffer
from captured.drm.mode import Mode
from captured.drm.resources import Plane, read_resources
from tests.support import picture

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

JUNK = 0x5A
"""In the X byte, which means nothing and must not show."""


def make_mode(width: int, height: int, hz: float) -> Mode:
    """Return a timing for any size and rate; VKMS takes every one."""
    htotal, vtotal = width + 160, height + 45
    clock_khz = round(htotal * vtotal * hz / 1000)
    return Mode(
        f"{width}x{height}", clock_khz,
        width, width + 16, width + 112, htotal, 0,
        height, height + 10, height + 12, vtotal, 0,
        round(hz), 0, 0,
    )  # fmt: skip


class Surface(NamedTuple):
    """A layer with its plane and the memory that is scanned out."""

    layer: picture.Layer
    plane: Plane
    framebuffer: DumbFramebuffer
    memory: mmap.mmap

    def draw(self, frame: int) -> None:
        """Paint a frame into the scanned-out memory."""
        rgb = picture.paint(self.layer, frame)
        shape = (self.layer.height, self.layer.width, 4)
        pixels = np.ndarray(shape, np.uint8, self.memory, 0, (self.framebuffer.pitch, 4, 1))
        pixels[:, :, :3] = rgb[:, :, ::-1]
        pixels[:, :, 3] = JUNK

    def close(self) -> None:
        """Give the memory back."""
        self.memory.close()
        self.framebuffer.close()


class Scene:
    """A lit display with three planes. Lit until `close()`, or until its file is closed."""

    def __init__(self, card: Card, mode: Mode, *, keeps_master: bool) -> None:
        self.card = card
        self.keeps_master = keeps_master
        self.frame = 0
        self.surfaces: list[Surface] = []
        self.as_master(lambda: self.show(mode))

    def as_master(self, step: Callable[[], None]) -> None:
        """Do something that only a master may."""
        self.card.take_master()
        step()
        if not self.keeps_master:
            self.card.drop_master()

    def show(self, mode: Mode) -> None:
        """Set a mode and put up new planes; needs master."""
        found = read_resources(self.card)
        crtc = found.crtcs[0]
        display = found.display_connectors()[0]
        old, self.surfaces = self.surfaces, []
        self.mode = mode
        planes = [p for p in found.planes if p.plane_type in {"Primary", "Overlay"}]
        layers = picture.layers_for(mode.width, mode.height)
        with Blob(self.card, mode.pack()) as blob:
            request = AtomicReq(self.card)
            request.add(display.connector_id, display.properties, "CRTC_ID", crtc.crtc_id)
            request.add(crtc.crtc_id, crtc.properties, "MODE_ID", blob.blob_id)
            request.add(crtc.crtc_id, crtc.properties, "ACTIVE", 1)
            for layer, plane in zip(layers, planes, strict=False):
                self._put_up(request, layer, plane, crtc.crtc_id)
            request.commit(allow_modeset=True)
        for surface in old:
            surface.close()

    def _put_up(
        self, request: AtomicReq, layer: picture.Layer, plane: Plane, crtc_id: int
    ) -> None:
        fb = DumbFramebuffer(self.card, layer.width, layer.height, fourcc_code("XR24"))
        surface = Surface(layer, plane, fb, fb.buffer.map())
        surface.draw(self.frame)
        self.surfaces.append(surface)
        for name, value in {
            "FB_ID": fb.fb_id, "CRTC_ID": crtc_id,
            "CRTC_X": layer.x, "CRTC_Y": layer.y, "CRTC_W": layer.width, "CRTC_H": layer.height,
            "SRC_X": 0, "SRC_Y": 0, "SRC_W": layer.width << 16, "SRC_H": layer.height << 16,
        }.items():  # fmt: skip
            request.add(plane.plane_id, plane.properties, name, value)

    def draw(self, frame: int) -> None:
        """Draw a frame on every plane."""
        self.frame = frame
        for surface in self.surfaces:
            surface.draw(frame)

    def set_active(self, active: bool) -> None:
        """Switch the CRTC off or on; needs master."""
        crtc = read_resources(self.card).crtcs[0]
        request = AtomicReq(self.card)
        request.add(crtc.crtc_id, crtc.properties, "ACTIVE", int(active))
        request.commit(allow_modeset=True)

    def put_out(self) -> None:
        """Disable the CRTC as a compositor does on leaving; needs master.

        Kernel: refused with EINVAL while a writeback connector is attached to it.
        """
        found = read_resources(self.card)
        crtc, display = found.crtcs[0], found.display_connectors()[0]
        request = AtomicReq(self.card)
        request.add(display.connector_id, display.properties, "CRTC_ID", 0)
        request.add(crtc.crtc_id, crtc.properties, "MODE_ID", 0)
        request.add(crtc.crtc_id, crtc.properties, "ACTIVE", 0)
        request.commit(allow_modeset=True)

    def describe(self) -> dict[str, object]:
        """Return what the test needs to know."""
        size = {"width": self.mode.width, "height": self.mode.height}
        return {"frame": self.frame, "fd": self.card.fileno(), **size}


def _obey(scene: Scene, words: list[str]) -> float | None:
    """Do one command; return the new drawing rate, 0 for none, None for unchanged."""
    match words:
        case ["step"]:
            scene.draw(scene.frame + 1)
        case ["frame", number]:
            scene.draw(int(number))
        case ["flip", number]:
            scene.frame = int(number)
            scene.as_master(lambda: scene.show(scene.mode))
        case ["run", fps]:
            return float(fps)
        case ["hold"]:
            return 0.0
        case ["master"]:
            scene.card.take_master()
        case ["drop"]:
            scene.card.drop_master()
        case ["dark"]:
            scene.as_master(scene.put_out)
        case ["off" | "on" as which]:
            scene.as_master(lambda: scene.set_active(which == "on"))
        case ["mode", width, height, hz]:
            mode = make_mode(int(width), int(height), float(hz))
            scene.as_master(lambda: scene.show(mode))
        case _:
            raise ValueError(f"unknown command {' '.join(words)}")
    return None


def _serve(scene: Scene, fps: float) -> None:
    due = time.monotonic()
    while True:
        wait = max(0.0, due - time.monotonic()) if fps else None
        if select.select([sys.stdin], [], [], wait)[0]:
            words = sys.stdin.readline().split()
            if not words or words == ["quit"]:
                return
            answer: dict[str, object]
            try:
                rate = _obey(scene, words)
                fps = fps if rate is None else rate
                due = time.monotonic()
                answer = scene.describe()
            except Exception as error:
                answer = {"error": str(error)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        else:
            scene.draw(scene.frame + 1)
            due = max(due + 1 / fps, time.monotonic())


def main() -> None:
    """Show the scene until "quit" or the end of the input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--card", default="/dev/dri/card0")
    parser.add_argument("--mode", default="640x480@60")
    parser.add_argument("--run", type=float, default=0.0, metavar="FPS")
    parser.add_argument("--keep-master", action="store_true")
    options = parser.parse_args()
    size, _, hz = options.mode.partition("@")
    width, height = map(int, size.split("x"))
    with Card.open(options.card) as card:
        card.enable_client_capabilities()
        mode = make_mode(width, height, float(hz or 60))
        scene = Scene(card, mode, keeps_master=options.keep_master)
        sys.stdout.write(json.dumps(scene.describe()) + "\n")
        sys.stdout.flush()
        _serve(scene, options.run)


if __name__ == "__main__":
    main()
