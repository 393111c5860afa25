# SPDX-License-Identifier: MIT
"""The vblank counter of a CRTC; needs no master."""

from __future__ import annotations

from capturectl.typed import NamedTuple
from captured.drm import uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.drm.card import Card
    from captured.drm.ids import CrtcId


class Vblank(NamedTuple):
    """A CRTC's last vblank."""

    is_active: bool
    sequence: int
    time_ns: int
    """CLOCK_MONOTONIC."""


def read_vblank(card: Card, crtc_id: CrtcId) -> Vblank:
    """Read the count and the time of the last vblank.

    Raises:
        OSError: EINVAL when the CRTC is off, EOPNOTSUPP without vblank support.

    Kernel: drivers/gpu/drm/drm_vblank.c, drm_crtc_get_sequence_ioctl.
    """
    argument = uapi.CrtcGetSequence(crtc_id)
    card.ioctl(uapi.CRTC_GET_SEQUENCE, argument, f"crtc {crtc_id}")
    return Vblank(bool(argument.active), argument.sequence, argument.sequence_ns)
