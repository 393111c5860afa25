# SPDX-License-Identifier: MIT
"""Display modes: the kernel's timing structure and our record of it."""

from __future__ import annotations

from capturectl.typed import NamedTuple
from captured.drm import uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


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
        if self.flags & uapi.DRM_MODE_FLAG_INTERLACE:
            rate *= 2
        if self.flags & uapi.DRM_MODE_FLAG_DBLSCAN:
            rate /= 2
        return round(rate)

    @property
    def is_preferred(self) -> bool:
        """Whether the display prefers it."""
        return bool(self.mode_type & uapi.DRM_MODE_TYPE_PREFERRED)

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


class ModeWish(NamedTuple):
    """A mode asked for as WxH or WxH@HZ."""

    width: int
    height: int
    refresh_hz: float | None

    def choose(self, modes: Iterable[Mode]) -> Mode | None:
        """Return the first mode of that size, the one nearest to the rate if one was asked.

        A rate matches within half a hertz.
        """
        sized = [mode for mode in modes if (mode.width, mode.height) == (self.width, self.height)]
        wanted = self.refresh_hz
        if wanted is None:
            return sized[0] if sized else None
        near = [mode for mode in sized if abs(mode.refresh_mhz / 1000 - wanted) <= 0.5]
        return min(near, key=lambda mode: abs(mode.refresh_mhz / 1000 - wanted), default=None)


def parse_wish(text: str) -> ModeWish | None:
    """Read "WxH" or "WxH@HZ"; None when it is neither."""
    import re  # few daemons are asked for a mode

    match = re.fullmatch(r"(\d+)x(\d+)(?:@(\d+(?:\.\d+)?))?", text)
    if match is None:
        return None
    width, height, refresh = match.groups()
    return ModeWish(int(width), int(height), float(refresh) if refresh else None)
