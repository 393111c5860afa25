# SPDX-License-Identifier: MIT
"""Which mode a dark display is to be lit with, as an operator writes it."""

from __future__ import annotations

from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from captured.drm.mode import Mode

KEEP = "keep"
PREFERRED = "preferred"


def is_wish(text: str) -> bool:
    """Whether the text is keep, preferred or WxH[@HZ]."""
    return text in {KEEP, PREFERRED} or parse_wish(text) is not None


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
