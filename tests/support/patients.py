# SPDX-License-Identifier: MIT
"""Machines that are not here, as `captured --examine` and the daemon would describe them."""

from __future__ import annotations

from typing import Any

from capturectl import protocol
from capturectl.doctor.cards import Node, Problem, examination_from
from capturectl.doctor.facts import Daemon, Facts, Memory, SocketFile, User
from capturectl.output import Output
from tests.support.frames import XR24

CARD = "/dev/dri/card0"
SOCKET = "/run/captured/captured.sock"
ROOT = User(0, "root", ("root",))
ALICE = User(1000, "alice", ("alice", "video"))
NO_DAEMON = Daemon(Problem("unreachable", f"nobody answers on {SOCKET}", "start captured", 3))
REFUSED = {
    "code": "clone-refused",
    "reason": "Writeback-1 may not share crtc-0",
    "hint": "mend it",
}
MAY_NOT_OPEN = {"code": "not-allowed", "reason": f"{CARD}: permission denied", "hint": ""}


def pair(writeback: str = "Writeback-1", crtc: str = "crtc-0", **changes: Any) -> dict[str, Any]:
    """A pair that works, but for the changes."""
    fields = {
        "writeback": writeback, "crtc": crtc, "displays": ["HDMI-A-1"],
        "possible_displays": ["HDMI-A-1"], "reaches": True, "clones": True, "is_attached": False,
        "is_tested": True, "refusal": None,
    }  # fmt: skip
    return fields | changes


def display(name: str = "HDMI-A-1", crtc: str | None = "crtc-0", *, lit: bool = True) -> Any:
    """A display connector."""
    return {"name": name, "crtc": crtc, "is_lit": lit}


def crtc(number: int = 0, *, active: bool = True) -> dict[str, Any]:
    """CRTC 50, 51, ... of Full HD, or off."""
    mode = {"width": 1920, "height": 1080, "refresh_hz": 60.0} if active else None
    return {"name": f"crtc-{number}", "crtc_id": 50 + number, "is_active": active, "mode": mode}


def writeback(number: int = 1, crtc_id: int = 0, **changes: Any) -> dict[str, Any]:
    """Writeback-1, -2, ..."""
    fields = {
        "name": f"Writeback-{number}", "crtc_id": crtc_id, "formats": ["XR24", "AR24"],
        "format": "XR24", "bits_per_pixel": 32, "error": None,
    }  # fmt: skip
    return fields | changes


def card(driver: str = "mali", **changes: Any) -> dict[str, Any]:
    """A card with one lit display, one writeback connector and nothing against it."""
    fields: dict[str, Any] = {
        "path": CARD,
        "node": {"mode": "0660", "owner": "root", "group": "video"},
        "error": None,
        "driver": {"name": driver, "description": "a driver"},
        "quirks": [],
        "mastery": {"state": "free", "master": None, "error": None},
        "target": {"name": "HDMI-A-1", "error": None},
        "displays": [display()],
        "crtcs": [crtc()],
        "writebacks": [writeback()],
        "pairs": [pair()],
    }
    return fields | changes


def closed_card() -> dict[str, Any]:
    """A card that this user may not open."""
    node = {"mode": "0660", "owner": "root", "group": "video"}
    return {"path": CARD, "node": node, "error": MAY_NOT_OPEN, "quirks": []}


def bare_card(path: str, reason: str, code: str = "unsupported") -> dict[str, Any]:
    """A card that cannot be captured."""
    return {"path": path, "node": None, "error": {"code": code, "reason": reason, "hint": ""},
            "driver": {"name": "vgem", "description": ""}, "quirks": []}  # fmt: skip


def examination(*cards: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """What the program prints for cards, and settings that differ from those built in."""
    built_in = {"card": "", "socket": SOCKET, "group": "", "modeset": "keep", "buffers": 6,
                "error": None}  # fmt: skip
    return {"schema": "captured/1/examination", "version": "0.1.0",
            "settings": built_in | settings, "cards": list(cards)}  # fmt: skip


def output(**changes: Any) -> Output:
    """An output as the daemon describes it: ready."""
    ready = Output(
        1, "HDMI-A-1", protocol.State.READY, protocol.Source.WRITEBACK, 1920, 1080, 60000, CARD,
        "Writeback-1", 30, 50, 0, (XR24,), XR24, "", "", "",
    )  # fmt: skip
    return ready._replace(**changes)


def engine(**changes: Any) -> protocol.EngineStatus:
    """An engine that has captured a thousand pictures, 12 ms each, and is idle."""
    zero = protocol.ENGINE.unpack(b"\0" * protocol.ENGINE.size)
    busy = zero._replace(
        state=protocol.EngineState.IDLE, captured=1000, time_ns=10**12,
        commit_to_fence_p50_us=12000, commit_to_fence_p99_us=15000,
    )  # fmt: skip
    return busy._replace(**changes)


def daemon(*outputs: Output, engine_status: protocol.EngineStatus | None = None) -> Daemon:
    """A daemon that answers; with one output that is ready unless others are given."""
    outputs = outputs or (output(),)
    engines = {one.name: engine_status or engine() for one in outputs}
    return Daemon(None, "0.1.0", outputs, engines)


def machine(examined: dict[str, Any] | None = None, **changes: Any) -> Facts:
    """A healthy machine with a daemon, seen by root, but for the changes."""
    examined = examination(card()) if examined is None else examined
    facts = Facts(
        "0.1.0",
        ROOT,
        SocketFile(SOCKET, Node("0660", "root", "captured"), is_socket=True),
        daemon(),
        "/usr/bin/captured",
        examination_from(examined),
        groups=frozenset(("root", "video", "captured")),
        memory=Memory(available=500_000_000),
    )
    return facts._replace(**changes)


def without_daemon(examined: dict[str, Any] | None = None, **changes: Any) -> Facts:
    """The same, where no daemon was started."""
    return machine(examined, socket=SocketFile(SOCKET), daemon=NO_DAEMON)._replace(**changes)
