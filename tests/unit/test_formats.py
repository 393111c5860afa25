# SPDX-License-Identifier: MIT
"""captured.drm.formats: the kernel's lists of formats and modifiers, byte by byte."""

from __future__ import annotations

import pytest

from captured.drm.formats import FormatModifier, unpack_in_formats, unpack_pixel_formats

XR24, AR24, NV12 = 0x34325258, 0x34325241, 0x3231564E
LINEAR, X_TILED, Y_TILED = 0, 0x0100000000000001, 0x0100000000000002

# struct drm_format_modifier_blob: version 1, flags 0, 3 formats at 24, 2 modifiers at 40.
HEAD = bytes.fromhex("01000000 00000000 03000000 18000000 02000000 28000000")
FOURCCS = b"XR24AR24NV12"
PAD = bytes(4)
# struct drm_format_modifier: formats mask, offset of its bit 0, pad, modifier.
ALL_LINEAR = bytes.fromhex("0700000000000000 00000000 00000000 0000000000000000")
FIRST_AND_LAST_X = bytes.fromhex("0500000000000000 00000000 00000000 0100000000000001")
IN_FORMATS = HEAD + FOURCCS + PAD + ALL_LINEAR + FIRST_AND_LAST_X


def test_each_modifier_comes_with_the_formats_in_its_mask() -> None:
    assert unpack_in_formats(IN_FORMATS) == (
        FormatModifier(XR24, LINEAR),
        FormatModifier(AR24, LINEAR),
        FormatModifier(NV12, LINEAR),
        FormatModifier(XR24, X_TILED),
        FormatModifier(NV12, X_TILED),
    )


def test_a_mask_counts_from_its_offset() -> None:
    shifted = bytes.fromhex("0100000000000000 02000000 00000000 0200000000000001")
    blob = HEAD + FOURCCS + PAD + ALL_LINEAR + shifted
    assert unpack_in_formats(blob)[3:] == (FormatModifier(NV12, Y_TILED),)


def test_the_64th_format_of_a_mask_counts() -> None:
    head = bytes.fromhex("01000000 00000000 40000000 18000000 01000000 18010000")
    last = bytes.fromhex("0000000000000080 00000000 00000000 0000000000000000")
    blob = head + b"XR24" * 63 + b"NV12" + last
    assert unpack_in_formats(blob) == (FormatModifier(NV12, LINEAR),)


def test_parts_are_found_by_their_offsets_and_not_by_their_order() -> None:
    head = bytes.fromhex("01000000 00000000 01000000 30000000 01000000 18000000")
    entry = bytes.fromhex("0100000000000000 00000000 00000000 0000000000000000")
    assert unpack_in_formats(head + entry + b"XR24") == (FormatModifier(XR24, LINEAR),)


def test_a_blob_without_modifiers_has_no_pairs() -> None:
    head = bytes.fromhex("01000000 00000000 01000000 18000000 00000000 1c000000")
    assert unpack_in_formats(head + b"XR24") == ()


@pytest.mark.parametrize("size", [0, 23, 24, 30, 39, 40, 63, 87])
def test_a_blob_shorter_than_its_head_says_is_refused(size: int) -> None:
    assert len(IN_FORMATS) == 88
    with pytest.raises(ValueError, match=r".+"):
        unpack_in_formats(IN_FORMATS[:size])


def test_a_mask_beyond_the_formats_is_refused() -> None:
    beyond = bytes.fromhex("0800000000000000 00000000 00000000 0000000000000000")
    with pytest.raises(ValueError, match=r".+"):
        unpack_in_formats(HEAD + FOURCCS + PAD + ALL_LINEAR + beyond)


def test_writeback_formats_are_in_the_drivers_order() -> None:
    assert unpack_pixel_formats(b"XR24NV12AR24") == (XR24, NV12, AR24)


def test_no_writeback_formats_are_no_formats() -> None:
    assert unpack_pixel_formats(b"") == ()


@pytest.mark.parametrize("size", [1, 3, 5])
def test_writeback_formats_that_are_cut_off_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="not a multiple of 4"):
        unpack_pixel_formats(b"XR24AR24"[:size])
