# SPDX-License-Identifier: MIT
"""What is new about the display that is plugged into an output, in the words that clients hear."""

from __future__ import annotations

from capturectl.errors import CaptureLostError
from captured.drm.resources import Plug
from captured.drm.uapi import DRM_MODE_DISCONNECTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.errors import CaptureError


def plug_of(name: str, plugs: tuple[Plug, ...]) -> Plug:
    """Return what is plugged into the connector of that name; nothing, where it is gone itself."""
    unplugged = Plug(name, DRM_MODE_DISCONNECTED, ())
    return next((plug for plug in plugs if plug.name == name), unplugged)


def news_of(before: Plug, now: Plug) -> CaptureError | None:
    """Return what is new about one connector; None when nothing is.

    A driver that cannot tell has something plugged in.
    """
    name = now.name
    was_in = before.connection != DRM_MODE_DISCONNECTED
    is_in = now.connection != DRM_MODE_DISCONNECTED
    if was_in and not is_in:
        hint = "frames go on for as long as its CRTC does"
        return CaptureLostError(f"{name} was unplugged", hint, code="unplugged")
    if is_in and not was_in:
        return CaptureLostError(f"{name} was plugged in", code="plugged")
    if before.modes != now.modes:
        return CaptureLostError(f"{name} has other modes", code="modes-changed")
    return None
