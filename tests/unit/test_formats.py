# SPDX-License-Identifier: MIT
"""captured.drm.formats: the kernel's list of formats, byte by byte."""

from __future__ import annotations

import pytest

from captured.drm.formats import unpack_pixel_formats

XR24, AR24, NV12 = 0x34325258, 0x34325241, 0x3231564E


def test_writeback_formats_are_in_the_drivers_order() -> None:
    assert unpack_pixel_formats(b"XR24NV12AR24") == (XR24, NV12, AR24)


def test_no_writeback_formats_are_no_formats() -> None:
    assert unpack_pixel_formats(b"") == ()


@pytest.mark.parametrize("size", [1, 3, 5])
def test_writeback_formats_that_are_cut_off_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="not a multiple of 4"):
        unpack_pixel_formats(b"XR24AR24"[:size])
