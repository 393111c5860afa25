# SPDX-License-Identifier: MIT
"""Lighting a dark output, when the operator asks for it, and putting it out again."""

from __future__ import annotations

from capturectl.errors import CaptureUnsupportedError, OutputOffError
from capturectl.fourcc import fourcc_code
from captured.drm import uapi
from captured.drm.atomic import AtomicReq
from captured.drm.blob import Blob
from captured.drm.framebuffer import DumbFramebuffer
from captured.drm.modewish import KEEP, parse_wish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from captured.drm.card import Card
    from captured.drm.mode import Mode
    from captured.drm.resources import Crtc, Plane, Resources
    from captured.drm.route import Route


def output_is_off(route: Route) -> OutputOffError:
    """Return the error for a display whose CRTC is not active."""
    if route.display.connection == uapi.DRM_MODE_DISCONNECTED:
        return OutputOffError(
            f"{route.display.name} is off: no display is plugged in", "plug one in"
        )
    return OutputOffError(
        f"{route.display.name} is off: {route.crtc.name} is not active",
        'switch the display on, or let the daemon do it: modeset = "preferred" in captured.toml, '
        "or --modeset preferred",
    )


def choose_mode(route: Route, wish: str) -> Mode:
    """Choose a mode for a dark display, one that writeback connectors can write: none of fields.

    Args:
        route: Its display lists the modes, probed.
        wish: As `modewish.is_wish` takes it.

    Raises:
        OutputOffError: The wish is to keep it dark.
        CaptureUnsupportedError: The display has no such mode.
    """
    if wish == KEEP:
        raise output_is_off(route)
    name = route.display.name
    modes = [mode for mode in route.display.modes if not mode.is_interlaced]
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
    """A display that this process lit. Lit until `close()`.

    A display that has a mode and planes, and is only inactive, is switched on as it is; one
    that has not shows a black picture of ours.

    Ownership: borrows the card; owns the framebuffer and the mode's blob.
    """

    def __init__(self, card: Card, resources: Resources, route: Route, wish: str) -> None:
        """Light it.

        Args:
            card: The card, of which this file is master.
            resources: What is on it, with modes probed.
            route: The display and its CRTC.
            wish: As `modewish.is_wish` takes it.

        Raises:
            OutputOffError: The wish is to keep it dark.
            OSError: The driver's errno.
            CaptureUnsupportedError: No such mode, or the CRTC feeds another display.
        """
        self._card = card
        self._route = route
        self._fb: DumbFramebuffer | None = None
        self._is_lit = False
        mode = choose_mode(route, wish)
        _check_is_free(resources, route)
        if route.display.crtc_id and any(p.fb_id for p in resources.planes_on(route.crtc)):
            self._activate(active=True)
        else:
            self._show_black(_primary_plane(resources, route.crtc), mode)
        self._is_lit = True

    @classmethod
    def adopt(cls, card: Card, route: Route, fb: DumbFramebuffer | None) -> Self:
        """Own the light that a former process made through the card's open file.

        Args:
            card: The card.
            route: The display and its CRTC.
            fb: What it shows, owned from here on; None where the picture was there before.
        """
        lit = cls.__new__(cls)
        lit._card, lit._route, lit._fb, lit._is_lit = card, route, fb, True
        return lit

    @property
    def fb(self) -> DumbFramebuffer | None:
        """The black picture that was put there; None where another was there before."""
        return self._fb

    def _activate(self, *, active: bool) -> None:
        crtc = self._route.crtc
        request = AtomicReq(self._card)
        request.add(crtc.crtc_id, crtc.properties, "ACTIVE", int(active))
        request.commit(allow_modeset=True)

    def _show_black(self, plane: Plane, mode: Mode) -> None:
        display, crtc, _ = self._route
        fb = DumbFramebuffer(self._card, mode.width, mode.height, fourcc_code("XR24"))
        try:
            with Blob(self._card, mode.pack()) as blob:
                request = AtomicReq(self._card)
                request.add(display.connector_id, display.properties, "CRTC_ID", crtc.crtc_id)
                request.add(crtc.crtc_id, crtc.properties, "MODE_ID", blob.blob_id)
                request.add(crtc.crtc_id, crtc.properties, "ACTIVE", 1)
                for name, value in {
                    "CRTC_ID": crtc.crtc_id,
                    "FB_ID": fb.fb_id,
                    "CRTC_X": 0,
                    "CRTC_Y": 0,
                    "CRTC_W": mode.width,
                    "CRTC_H": mode.height,
                    "SRC_X": 0,
                    "SRC_Y": 0,
                    "SRC_W": mode.width << 16,
                    "SRC_H": mode.height << 16,
                }.items():
                    request.add(plane.plane_id, plane.properties, name, value)
                request.commit(allow_modeset=True)
        except BaseException:
            fb.close()
            raise
        self._fb = fb

    def close(self) -> None:
        """Make it dark as it was found. Twice is fine.

        Raises:
            OSError: The driver's errno, EACCES when this file is no longer master.
        """
        if not self._is_lit:
            return
        self._is_lit = False
        if self._fb is None:
            self._activate(active=False)
            return
        try:
            put_out(self._card, self._route)
        finally:
            self._fb.close()


def put_out(card: Card, route: Route) -> None:
    """Disable a display and its CRTC.

    Raises:
        OSError: The driver's errno; EINVAL while another connector is on the CRTC.
    """
    display, crtc, _ = route
    request = AtomicReq(card)
    request.add(display.connector_id, display.properties, "CRTC_ID", 0)
    request.add(crtc.crtc_id, crtc.properties, "MODE_ID", 0)
    request.add(crtc.crtc_id, crtc.properties, "ACTIVE", 0)
    request.commit(allow_modeset=True)


def _check_is_free(resources: Resources, route: Route) -> None:
    for connector in resources.display_connectors():
        is_other = connector.connector_id != route.display.connector_id
        if is_other and connector.crtc_id == route.crtc.crtc_id:
            raise CaptureUnsupportedError(
                f"no free CRTC can light {route.display.name}",
                f"{route.crtc.name} feeds {connector.name}; choose another --output",
                code="wrong-crtc",
            )


def _primary_plane(resources: Resources, crtc: Crtc) -> Plane:
    """Return the plane for a picture that fills a CRTC; none that another CRTC shows.

    Kernel: on some drivers every CRTC can use every primary plane (msm: dpu_kms.c,
    _dpu_kms_drm_obj_init), and none may be moved from one CRTC to another in one step
    (drm_atomic.c, plane_switching_crtc).
    """
    free = [
        plane
        for plane in resources.planes
        if plane.plane_type == "Primary" and plane.can_use(crtc)
        and plane.crtc_id in {0, crtc.crtc_id}
    ]  # fmt: skip
    if not free:
        raise CaptureUnsupportedError(
            f"{crtc.name} has no free primary plane", "choose another --output"
        )
    # What is there already, then what others can use least.
    return min(free, key=lambda p: (p.crtc_id != crtc.crtc_id, p.possible_crtcs.bit_count()))
