# SPDX-License-Identifier: MIT
"""Display modes: the kernel's timing structure and our record of it."""

from __future__ import annotations

from capturectl.typed import NamedTuple
from captured.drm import uapi


class Mode(NamedTuple):
    """One display timing. Widths and heights in pixels, lines and the clock as in the kernel.

    Kernel: include/uapi/drm/drm_mode.h, struct drm_mode_modeinfo.
    """

    name: str
    clock_khz: int
    hdisplay: int
    hsync_start: int
    hsync_end: int
    htotal: int
    hskew: int
    vdisplay: int
    vsync_start: int
    vsync_end: int
    vtotal: int
    vscan: int
    vrefresh_hz: int
    """The nominal rate, rounded; `refresh_mhz` is exact."""
    flags: int
    mode_type: int

    @property
    def width(self) -> int:
        """Visible width in pixels."""
        return self.hdisplay

    @property
    def height(self) -> int:
        """Visible height in pixels."""
        return self.vdisplay

    @property
    def refresh_mhz(self) -> int:
        """Frames per 1000 seconds, from the timing (60 Hz is about 60000).

        Kernel: drivers/gpu/drm/drm_modes.c, drm_mode_vrefresh; fields count as frames.
        """
        total = self.htotal * self.vtotal * max(1, self.vscan)
        if not total:
            return self.vrefresh_hz * 1000
        rate = self.clock_khz * 1_000_000 / total
        if self.is_interlaced:
            rate *= 2
        if self.flags & uapi.DRM_MODE_FLAG_DBLSCAN:
            rate /= 2
        return round(rate)

    @property
    def is_preferred(self) -> bool:
        """Whether the display prefers it."""
        return bool(self.mode_type & uapi.DRM_MODE_TYPE_PREFERRED)

    @property
    def is_interlaced(self) -> bool:
        """Whether it shows every other row at a time."""
        return bool(self.flags & uapi.DRM_MODE_FLAG_INTERLACE)

    def pack(self) -> bytes:
        """Return the 68 bytes of struct drm_mode_modeinfo, for a MODE_ID blob."""
        return bytes(
            uapi.ModeInfo(
                self.clock_khz, self.hdisplay, self.hsync_start, self.hsync_end, self.htotal,
                self.hskew, self.vdisplay, self.vsync_start, self.vsync_end, self.vtotal,
                self.vscan, self.vrefresh_hz, self.flags, self.mode_type, self.name.encode(),
            )
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.width}x{self.height}@{self.refresh_mhz / 1000:g}"


def from_uapi(info: uapi.ModeInfo) -> Mode:
    """Return our record of the kernel's structure."""
    return Mode(
        bytes(info.name).decode(errors="replace"),
        info.clock, info.hdisplay, info.hsync_start, info.hsync_end, info.htotal, info.hskew,
        info.vdisplay, info.vsync_start, info.vsync_end, info.vtotal, info.vscan,
        info.vrefresh, info.flags, info.type,
    )  # fmt: skip


def unpack(data: bytes) -> Mode:
    """Return the mode in a MODE_ID blob.

    Raises:
        ValueError: Fewer bytes than struct drm_mode_modeinfo has.
    """
    return from_uapi(uapi.ModeInfo.from_buffer_copy(data))
