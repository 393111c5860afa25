# SPDX-License-Identifier: MIT
"""A part of a picture."""

from __future__ import annotations

from capturectl.errors import UsageError
from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.frame import Frame


class Region(NamedTuple):
    """A rectangle, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.x},{self.y} {self.width}x{self.height}"


def parse_region(text: str) -> Region:
    """Read "X,Y WxH", as slurp prints it and grim takes it.

    Raises:
        ValueError: It is not that.
    """
    place, _, size = text.strip().partition(" ")
    try:
        x, y = map(int, place.split(","))
        width, height = map(int, size.strip().split("x"))
    except ValueError:
        raise ValueError(f'{text!r} is not "X,Y WxH"') from None
    if x < 0 or y < 0 or width < 1 or height < 1:
        raise ValueError(f"{text!r} is no part of a picture")
    return Region(x, y, width, height)


def whole(frame: Frame) -> Region:
    """Return the region that is all of a frame."""
    return Region(0, 0, frame.width, frame.height)


def within(region: Region | None, frame: Frame) -> Region:
    """Return the region, or the whole frame.

    Raises:
        UsageError: It does not lie in the frame.
    """
    if region is None:
        return whole(frame)
    if region.x + region.width > frame.width or region.y + region.height > frame.height:
        raise UsageError(
            f"region {region} is not inside {frame.width}x{frame.height}",
            "regions are in pixels of the captured picture",
            code="region",
        )
    return region
