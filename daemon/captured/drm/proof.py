# SPDX-License-Identifier: MIT
"""Whether a writeback connector can capture a display, and in which format: TEST_ONLY decides.

Nothing here changes anything. Whoever asks is master.
"""

from __future__ import annotations

import errno

from capturectl.errors import CaptureUnsupportedError
from capturectl.fourcc import MODIFIER_LINEAR, fourcc_code, fourcc_name, is_known
from captured.capture.source import Geometry
from captured.drm import modeset, resources, route
from captured.drm.atomic import AtomicReq
from captured.drm.framebuffer import DumbFramebuffer
from captured.drm.mastery import another_master

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.errors import CaptureError
    from captured.drm.card import Card
    from captured.drm.mode import Mode
    from captured.drm.resources import Resources
    from captured.drm.route import Route

_PREFERENCE = tuple(map(fourcc_code, ("XR24", "AR24", "XB24", "AB24", "RG24", "BG24", "XR30")))


def prove_clone(card: Card, found: Resources, way: Route, wanted: int) -> Geometry:
    """Prove that a connector can be attached, and can write a picture of the CRTC.

    Args:
        card: Of which this file is master.
        found: What is on it.
        way: The connector, the CRTC and the display beside it.
        wanted: The fourcc of the pictures; 0 for the best that there is.

    Raises:
        OutputOffError: The display is dark.
        CaptureUnsupportedError: clone-refused, attach-refused, no-format, no-mode, no-share.
        CaptureBusyError: Another program is master.
    """
    geometry = _geometry(card, way, wanted)
    request = attach_request(card, way)
    try:
        request.test(allow_modeset=True)
    except OSError as error:
        raise _refused(card, found, way, error) from error
    _prove_size(card, way, geometry, request)
    return geometry


def prove_picture(card: Card, way: Route, wanted: int) -> Geometry:
    """Prove that a connector that is attached can write a picture of the CRTC.

    Args:
        card: Of which this file is master.
        way: The connector, the CRTC and the display beside it.
        wanted: As of `prove_clone`.

    Raises:
        OutputOffError: The display is dark.
        CaptureUnsupportedError: no-format, no-mode.
        CaptureBusyError: Another program is master.
    """
    geometry = _geometry(card, way, wanted)
    _prove_size(card, way, geometry, AtomicReq(card))
    return geometry


def attach_request(card: Card, way: Route) -> AtomicReq:
    """Return the request that attaches a connector to the CRTC."""
    request = AtomicReq(card)
    connector = way.writeback
    request.add(connector.connector_id, connector.properties, "CRTC_ID", way.crtc.crtc_id)
    return request


def _prove_size(card: Card, way: Route, geometry: Geometry, request: AtomicReq) -> None:
    connector = way.writeback
    with DumbFramebuffer(card, geometry.width, geometry.height, geometry.fourcc) as framebuffer:
        request.add(
            connector.connector_id,
            connector.properties,
            "WRITEBACK_FB_ID",
            framebuffer.fb_id,
        )
        try:
            request.test(allow_modeset=True)
        except OSError as error:
            raise _picture_refused(card, way, geometry, error) from error


def _geometry(card: Card, way: Route, wanted: int) -> Geometry:
    mode = way.mode
    if mode is None:
        raise modeset.output_is_off(way)
    if mode.is_interlaced:
        raise _interlaced(way, mode)
    fourccs = resources.writeback_fourccs(card, way.writeback)
    fourcc = choose_fourcc(way.writeback.name, fourccs, wanted)
    return Geometry(mode.width, mode.height, mode.refresh_mhz, fourcc, MODIFIER_LINEAR)


def _interlaced(way: Route, mode: Mode) -> CaptureUnsupportedError:
    """Return the error for a mode of fields.

    Kernel: no writeback connector allows interlaced modes (drm_writeback.c,
    drm_writeback_connector_init, interlace_allowed), but nothing checks that in a commit. rcar-du
    composes fields of half the height then (drivers/media/platform/renesas/vsp1/vsp1_rpf.c).
    """
    return CaptureUnsupportedError(
        f"{way.display.name} shows an interlaced mode ({mode})",
        "writeback connectors write whole frames; choose a progressive mode",
        code="no-mode",
    )


def choose_fourcc(connector: str, fourccs: tuple[int, ...], wanted: int) -> int:
    """Choose among the pixel formats that a connector writes.

    Args:
        connector: Its name, for messages.
        fourccs: What it writes.
        wanted: As of `prove_clone`.

    Raises:
        CaptureUnsupportedError: no-format.
    """
    listed = ", ".join(map(fourcc_name, fourccs))
    if wanted:
        if wanted in fourccs:
            return wanted
        raise CaptureUnsupportedError(
            f"{connector} cannot write {fourcc_name(wanted)}",
            f"it writes {listed}",
            code="no-format",
        )
    known = [fourcc for fourcc in (*_PREFERENCE, *fourccs) if fourcc in fourccs]
    for fourcc in known:
        if is_known(fourcc):
            return fourcc
    raise CaptureUnsupportedError(
        f"{connector} writes no format that is known here", f"it writes {listed}", code="no-format"
    )


def _refused(card: Card, found: Resources, way: Route, error: OSError) -> CaptureError:
    if error.errno == errno.EACCES:
        return another_master(card.path)
    if card.is_shared and not _is_atomic(card):
        return CaptureUnsupportedError(
            f"the program that shares {card.path} does not use atomic modesetting",
            "writeback connectors need that; let another program own the display",
            code="no-share",
        )
    try:
        route.check_clone(found, way)
    except CaptureUnsupportedError as refused:
        return refused
    return CaptureUnsupportedError(
        f"the driver refuses {way.writeback.name} on {way.crtc.name} ({error.strerror})",
        f"beside {way.display.name} in {way.crtc.mode}; see the kernel's log with drm.debug=0x14",
        code="attach-refused",
    )


def _is_atomic(card: Card) -> bool:
    """Say whether commits through a file are allowed at all; whoever owns it decides that.

    Kernel: without the ATOMIC client capability all fail with EINVAL, those that ask for nothing
    too (drm_atomic_uapi.c, drm_mode_atomic_ioctl). Xorg never has it.
    """
    try:
        AtomicReq(card).test()
    except OSError as error:
        return error.errno != errno.EINVAL
    return True


def _picture_refused(card: Card, way: Route, geometry: Geometry, error: OSError) -> CaptureError:
    if error.errno == errno.EACCES:
        return another_master(card.path)
    return CaptureUnsupportedError(
        f"{way.writeback.name} refuses {fourcc_name(geometry.fourcc)} pictures of "
        f"{geometry.width}x{geometry.height} ({error.strerror})",
        "choose another --format or a smaller mode",
        code="no-format",
    )
