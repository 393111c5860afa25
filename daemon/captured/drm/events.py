# SPDX-License-Identifier: MIT
"""What a card's file reads: flip and vblank events."""

from __future__ import annotations

import os
import struct

from capturectl.typed import NamedTuple
from captured.drm import uapi
from captured.drm.ids import CrtcId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from captured.drm.card import Card

_HEAD = struct.Struct("=II")  # drm.h, struct drm_event
_VBLANK = struct.Struct("=QIIII")  # drm.h, struct drm_event_vblank
_QUEUE_SIZE = 4096  # Kernel: drm_file.c, a file's event space


class Event(NamedTuple):
    """One event of a CRTC."""

    event_type: int
    """DRM_EVENT_FLIP_COMPLETE or DRM_EVENT_VBLANK."""
    user_data: int
    """What the commit gave."""
    time_ns: int
    """CLOCK_MONOTONIC of the vblank; whole microseconds."""
    sequence: int
    """The CRTC's vblank count, of 32 bits."""
    crtc_id: CrtcId
    """0 when the driver does not say."""


def read_events(card: Card) -> list[Event]:
    """Read the events that are waiting; an empty list when there is none.

    Raises:
        OSError: Any errno but EAGAIN.
    """
    try:
        return list(unpack_events(os.read(card.fileno(), _QUEUE_SIZE)))
    except BlockingIOError:
        return []


def unpack_events(data: bytes) -> Iterator[Event]:
    """Split what a read returned into events; unknown types are skipped.

    Kernel: include/uapi/drm/drm.h, "Header for events written back to userspace".
    """
    offset = 0
    while offset + _HEAD.size <= len(data):
        event_type, length = _HEAD.unpack_from(data, offset)
        body = offset + _HEAD.size
        if event_type in {uapi.DRM_EVENT_VBLANK, uapi.DRM_EVENT_FLIP_COMPLETE}:
            user_data, seconds, microseconds, sequence, crtc_id = _VBLANK.unpack_from(data, body)
            time_ns = seconds * 1_000_000_000 + microseconds * 1000
            yield Event(event_type, user_data, time_ns, sequence, CrtcId(crtc_id))
        offset += max(length, _HEAD.size)
