# SPDX-License-Identifier: MIT
"""Lighting a dark output, when the operator asks for it, and putting it out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl.errors import CaptureUnsupportedError, OutputOffError, UsageError
from capturectl.fourcc import fourcc_code
from captured.drm.atomic import AtomicReq
from captured.drm.blob import Blob
from captured.drm.framebuffer import DumbFramebuffer
from captured.drm.mode import Mode, parse_wish

if TYPE_CHECKING:
    from captured.drm.card import Card
    from captured.drm.resources import Crtc, Plane, Resources
    from captured.drm.route import Route

KEEP = "keep"
PREFERRED = "preferred"


def check_wish(text: str) -> str:
    """Return the text when it is keep, preferred or WxH[@HZ].

    Raises:
        UsageError: It is none of them.
    """
    if text in {KEEP, PREFERRED} or parse_wish(text):
        return text
    raise UsageError(f"modeset {text!r} is not keep, preferred or WxH[@HZ]")


def output_is_off(route: Route) -> OutputOffError:
    """Return the error for a display whose CRTC is not active."""
    return OutputOffError(
        f"{route.display.name} is off: {route.crtc.name} is not active",
        "switch the display on, or let the daemon do it with --modeset preferred",
    )


def choose_mode(route: Route, wish: str) -> Mode:
    """Choose a mode for a dark display.

    Args:
        route: Its display lists the modes, probed.
        wish: As `check_wish` takes it.

    Raises:
        OutputOffError: The wish is to keep it dark.
        CaptureUnsupportedError: The display has no such mode.
    """
    if wish == KEEP:
        raise output_is_off(route)
    name, modes = route.display.name, route.display.modes
    parsed = parse_wish(wish)
    if parsed is not None:
        found = parsed.choose(modes)
    else:
        found = next((mode for mode in modes if mode.is_preferred), modes[0] if modes else None)
    if found is None:
        listed = ", ".join(dict.fromkeys(str(mode) for mode in modes))
        raise CaptureUnsupportedError(
            f"{name} has no mode {wish}", f"it has {listed or 'none'}", code="no-mode"
        )
    return found


class LitOutput:
    """A display that this process lit with a black picture. Lit until `close()`.

    Ownership: borrows the card; owns the framebuffer and the mode's blob.
    """

    def __init__(self, card: Card, resources: Resources, route: Route, mode: Mode) -> None:
        """Light it.

        Args:
            card: The card, of which this file is master.
            resources: What is on it.
            route: The display and its CRTC.
            mode: One of the display's.

        Raises:
            OSError: The driver's errno.
            CaptureUnsupportedError: The CRTC has no primary plane.
        """
        self._card = card
        self._route = route
        self._plane = _primary_plane(resources, route.crtc)
        self._fb = DumbFramebuffer(card, mode.width, mode.height, fourcc_code("XR24"))
        try:
            with Blob(card, mode.pack()) as blob:
                self._request(blob.blob_id, mode.width, mode.height).commit(allow_modeset=True)
        except BaseException:
            self._fb.close()
            raise

    def _request(self, blob_id: int, width: int, height: int) -> AtomicReq:
        display, crtc, _ = self._route
        request = AtomicReq(self._card)
        on = bool(blob_id)
        crtc_id = crtc.crtc_id if on else 0
        request.add(display.connector_id, display.properties, "CRTC_ID", crtc_id)
        request.add(crtc.crtc_id, crtc.properties, "MODE_ID", blob_id)
        request.add(crtc.crtc_id, crtc.properties, "ACTIVE", int(on))
        for name, value in {
            "CRTC_ID": crtc_id,
            "FB_ID": self._fb.fb_id if on else 0,
            "CRTC_X": 0,
            "CRTC_Y": 0,
            "CRTC_W": width,
            "CRTC_H": height,
            "SRC_X": 0,
            "SRC_Y": 0,
            "SRC_W": width << 16,
            "SRC_H": height << 16,
        }.items():
            request.add(self._plane.plane_id, self._plane.properties, name, value)
        return request

    def close(self) -> None:
        """Put it out. Twice is fine.

        Raises:
            OSError: The driver's errno, EACCES when this file is no longer master.
        """
        if not self._fb.fb_id:
            return
        try:
            self._request(0, 0, 0).commit(allow_modeset=True)
        finally:
            self._fb.close()


def _primary_plane(resources: Resources, crtc: Crtc) -> Plane:
    for plane in resources.planes:
        if plane.plane_type == "Primary" and plane.can_use(crtc):
            return plane
    raise CaptureUnsupportedError(f"{crtc.name} has no primary plane", "choose another --output")
