# SPDX-License-Identifier: MIT
"""The list of pixel formats that a writeback connector publishes as a blob."""

from __future__ import annotations

import struct


def unpack_pixel_formats(blob: bytes) -> tuple[int, ...]:
    """Return the fourccs in a WRITEBACK_PIXEL_FORMATS blob, in the driver's order.

    Raises:
        ValueError: The length is not a multiple of 4.

    Kernel: drivers/gpu/drm/drm_writeback.c, "WRITEBACK_PIXEL_FORMATS".
    """
    if len(blob) % 4:
        raise ValueError(f"WRITEBACK_PIXEL_FORMATS has {len(blob)} bytes, not a multiple of 4")
    return struct.unpack(f"={len(blob) // 4}I", blob)
