# SPDX-License-Identifier: MIT
"""The lists of pixel formats and modifiers that connectors and planes publish as blobs."""

from __future__ import annotations

import ctypes
import struct

from capturectl.typed import Any, NamedTuple
from captured.drm import uapi


class FormatModifier(NamedTuple):
    """One layout that a plane can show."""

    fourcc: int
    modifier: int


def unpack_pixel_formats(blob: bytes) -> tuple[int, ...]:
    """Return the fourccs in a WRITEBACK_PIXEL_FORMATS blob, in the driver's order.

    Raises:
        ValueError: The length is not a multiple of 4.

    Kernel: drivers/gpu/drm/drm_writeback.c, "WRITEBACK_PIXEL_FORMATS".
    """
    if len(blob) % 4:
        raise ValueError(f"WRITEBACK_PIXEL_FORMATS has {len(blob)} bytes, not a multiple of 4")
    return struct.unpack(f"={len(blob) // 4}I", blob)


def unpack_in_formats(blob: bytes) -> tuple[FormatModifier, ...]:
    """Return every (fourcc, modifier) pair in an IN_FORMATS blob, modifiers outermost.

    Raises:
        ValueError: The blob is shorter than its head says.

    Kernel: include/uapi/drm/drm_mode.h, struct drm_format_modifier_blob.
    """
    head = uapi.FormatModifierBlob.from_buffer_copy(blob)
    fourccs = _part(blob, head.formats_offset, head.count_formats, ctypes.c_uint32)
    modifiers = _part(blob, head.modifiers_offset, head.count_modifiers, uapi.FormatModifier)
    pairs = [
        (item.offset + bit, item.modifier)
        for item in modifiers
        for bit in range(64)
        if item.formats >> bit & 1
    ]
    if any(place >= len(fourccs) for place, _ in pairs):
        raise ValueError(f"IN_FORMATS: a modifier of a format behind its {len(fourccs)}")
    return tuple(FormatModifier(fourccs[place], modifier) for place, modifier in pairs)


def _part(blob: bytes, offset: int, count: int, element: type[Any]) -> Any:  # noqa: ANN401 - ctypes
    """Return an array in the blob; ValueError when the blob is too short for it."""
    return (element * count).from_buffer_copy(blob, offset)
