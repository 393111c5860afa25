# SPDX-License-Identifier: MIT
"""captured.drm.mode: timings as the kernel packs them."""

from __future__ import annotations

import struct

import pytest

from captured.drm.mode import Mode, unpack

# CEA-861 VIC 16, as struct drm_mode_modeinfo: clock; ten u16; vrefresh, flags, type; name.
FULL_HD_BYTES = bytes.fromhex(
    "14440200"  # 148500 kHz
    "8007 d807 0408 9808 0000"  # 1920 2008 2052 2200, hskew 0
    "3804 3c04 4104 6504 0000"  # 1080 1084 1089 1125, vscan 0
    "3c000000 05000000 48000000"  # 60 Hz, both syncs positive, preferred and from the driver
    "3139323078313038300000000000000000000000000000000000000000000000"
)
FULL_HD = Mode(
    "1920x1080", 148500, 1920, 2008, 2052, 2200, 0, 1080, 1084, 1089, 1125, 0, 60, 5, 0x48
)
NTSC = FULL_HD._replace(clock_khz=148352, mode_type=0x40)
PAL = FULL_HD._replace(hsync_start=2448, hsync_end=2492, htotal=2640, vrefresh_hz=50, mode_type=0)


def test_packing_gives_the_kernels_68_bytes() -> None:
    assert len(FULL_HD_BYTES) == 68
    assert FULL_HD.pack() == FULL_HD_BYTES


def test_unpacking_reads_the_kernels_68_bytes() -> None:
    assert unpack(FULL_HD_BYTES) == FULL_HD


@pytest.mark.parametrize("size", [0, 67])
def test_fewer_bytes_than_the_kernels_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="68"):
        unpack(FULL_HD_BYTES[:size])


def test_a_name_that_fills_its_field_is_read_to_its_end() -> None:
    assert unpack(FULL_HD_BYTES[:36] + b"n" * 32).name == "n" * 32


def test_each_field_has_its_place() -> None:
    packed = struct.pack("=I10H3I32s", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, b"x")
    assert unpack(packed) == Mode("x", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)


@pytest.mark.parametrize(("mode", "expected"), [(FULL_HD, 60_000), (NTSC, 59_940), (PAL, 50_000)])
def test_the_refresh_comes_from_the_timing(mode: Mode, expected: int) -> None:
    assert mode.refresh_mhz == expected


def test_the_refresh_of_a_mode_without_timing_is_the_nominal_one() -> None:
    assert FULL_HD._replace(htotal=0).refresh_mhz == 60_000


def test_a_mode_is_written_with_its_size_and_exact_rate() -> None:
    assert [str(FULL_HD), str(NTSC)] == ["1920x1080@60", "1920x1080@59.94"]


@pytest.mark.parametrize(("mode", "expected"), [(FULL_HD, True), (NTSC, False)])
def test_a_preferred_mode_says_so(mode: Mode, expected: bool) -> None:
    assert mode.is_preferred is expected
