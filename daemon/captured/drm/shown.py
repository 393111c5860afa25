# SPDX-License-Identifier: MIT
"""What a CRTC shows: its planes, where they are, and who made what is on them."""

from __future__ import annotations

from itertools import pairwise

from capturectl.typed import NamedTuple
from captured.drm.framebuffer import BorrowedFramebuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.drm.card import Card
    from captured.drm.ids import FbId
    from captured.drm.resources import Crtc, Plane, Resources

_DEBUGFS = "/sys/kernel/debug/dri"


class ShownPlane(NamedTuple):
    """A plane with a framebuffer on it."""

    plane: Plane
    fourcc: int
    """0 where the kernel does not tell this process."""
    x: int
    """Left edge on the CRTC, in pixels; may be negative."""
    y: int
    width: int
    """On the CRTC, in pixels."""
    height: int
    zpos: int
    maker: str
    """The program that made the framebuffer; empty where the kernel does not tell."""


def shown_planes(card: Card, found: Resources, crtc: Crtc) -> list[ShownPlane]:
    """Return the planes that a CRTC shows, the lowest first."""
    makers = _makers(card.minor)
    shown = [_shown(card, plane, makers) for plane in found.planes_on(crtc) if plane.fb_id]
    return sorted(shown, key=lambda one: (one.zpos, one.plane.plane_id))


def _shown(card: Card, plane: Plane, makers: dict[int, str]) -> ShownPlane:
    def signed(name: str) -> int:
        return plane.properties[name].signed_value if name in plane.properties else 0

    return ShownPlane(
        plane,
        _fourcc(card, plane.fb_id),
        signed("CRTC_X"),
        signed("CRTC_Y"),
        plane.properties.value("CRTC_W"),
        plane.properties.value("CRTC_H"),
        plane.properties.value("zpos"),
        makers.get(plane.fb_id, ""),
    )


def _fourcc(card: Card, fb_id: FbId) -> int:
    try:
        with BorrowedFramebuffer(card, fb_id) as framebuffer:
            return framebuffer.fourcc
    except OSError:
        return 0  # it was replaced meanwhile


def _makers(minor: int) -> dict[int, str]:
    """Return who allocated each framebuffer, as debugfs tells those who may read it.

    Kernel: drm_framebuffer.c, drm_framebuffer_info; atomic drivers name the task.
    """
    try:
        with open(f"{_DEBUGFS}/{minor}/framebuffer", encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except OSError:
        return {}
    return {
        int(heading.partition("[")[2].rstrip("]:")): line.removeprefix("allocated by = ")
        for heading, line in pairwise(lines)
        if line.startswith("allocated by = ")
    }
