# SPDX-License-Identifier: MIT
"""What can be set: the table that captured.toml, the command line and the manual are made of."""

from __future__ import annotations

import math
import os

from capturectl.protocol import DEFAULT_SOCKET
from capturectl.typed import Any, NamedTuple
from captured import log
from captured.capture.pool import MAXIMUM, MINIMUM
from captured.drm.modewish import is_wish, parse_wish
from captured.server.access import allow_from_text, is_allow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_CLIENTS = 1024
_LONGEST_S = 86400.0 * 365
_WIDEST = 65535
"""Pixels that struct drm_mode_modeinfo has room for, either way."""
_FASTEST_HZ = 1000
_LONGEST_PATH = 107
"""Bytes in sun_path, unix(7)."""
_LAST_FD = _LAST_PID = (1 << 31) - 1


class Setting(NamedTuple):
    """One setting."""

    kind: type
    """str, int, float or dict."""
    metavar: str
    """What stands for the value in the help."""
    help: str
    rule: str = "a text"
    """What a value must be, to end the sentence "NAME VALUE is not"."""
    allows: Callable[[Any], bool] = lambda _: True
    """Whether a value of that kind is one."""
    is_live: bool = False
    """Whether `systemctl reload` changes it; the others wait for a restart."""
    from_text: Callable[[str], Any] | None = None
    """How the command line's text becomes a value; None when its kind does that."""


def _is(pattern: str) -> Callable[[str], bool]:
    def allows(text: str) -> bool:
        import re  # most starts check none

        return re.fullmatch(pattern, text) is not None

    return allows


def _between(least: float, most: float) -> Callable[[float], bool]:
    return lambda number: math.isfinite(number) and least <= number <= most


def _can_be_lit(text: str) -> bool:
    wish = parse_wish(text)
    if wish is None:
        return is_wish(text)
    is_size = 0 < wish.width <= _WIDEST and 0 < wish.height <= _WIDEST
    return is_size and (wish.refresh_hz is None or 0 < wish.refresh_hz <= _FASTEST_HZ)


def _can_be_bound(path: str) -> bool:
    return 0 < len(os.fsencode(path)) <= _LONGEST_PATH


def _can_be_shared(text: str) -> bool:
    if not _is(r"(([0-9]+:)?[0-9]+)?")(text):
        return False
    pid, _, fd = text.rpartition(":")
    return int(fd or 0) <= _LAST_FD and 0 < int(pid or 1) <= _LAST_PID


_SECONDS = "a number of seconds from 0 to a year"

SETTINGS = {
    "card": Setting(
        str, "PATH", "card to use (empty: the first that has a writeback connector)"
    ),
    "missing": Setting(
        str, "end|wait",
        "what to do while there is no card to capture with: end, or wait for one (empty: wait "
        "if a service manager started the daemon)", "end or wait", _is("(end|wait)?"),
    ),
    "pattern": Setting(
        str, "WxH@HZ", "serve a test picture of that size and rate; needs no card"
    ),
    "output": Setting(
        str, "NAME", "display to capture, such as HDMI-A-1 (empty: the first that is lit)"
    ),
    "socket": Setting(
        str, "PATH", f"where clients connect (usually {DEFAULT_SOCKET})",
        f"a path of 1 to {_LONGEST_PATH} bytes", _can_be_bound,
    ),
    "group": Setting(str, "NAME", "group whose members may connect (empty: root alone)"),
    "allow": Setting(
        dict, "[OUTPUT=]WHO,...[;...]",
        "who of those who may connect may see an output: users and @groups, by name or number "
        "(nothing: everybody; otherwise an output that is not named is for root alone)",
        "a table of outputs, or *, with lists of users and @groups", is_allow, is_live=True,
        from_text=allow_from_text,
    ),
    "quota": Setting(
        int, "N", "connections that one user may have at once (0: three quarters of all)",
        f"a whole number from 0 to {_MOST_CLIENTS}", _between(0, _MOST_CLIENTS), is_live=True,
    ),
    "modeset": Setting(
        str, "keep|preferred|WxH[@HZ]", "what to do with a dark display: leave it, or light it",
        "keep, preferred or WxH[@HZ]", _can_be_lit,
    ),
    "format": Setting(
        str, "FOURCC", "pixel format of the frames, such as XR24 (empty: the best there is)",
        "a pixel format's four letters", _is(r"([A-Z0-9]{2}[0-9A-Z ]{2})?"),
    ),
    "buffers": Setting(
        int, "N", "size of the pool; two buffers are never lent",
        f"a whole number from {MINIMUM} to {MAXIMUM}", _between(MINIMUM, MAXIMUM),
    ),
    "memory": Setting(
        str, "dumb|sealed",
        "where pictures lie: in the card's dumb buffers, or in sealed memfds, which no client "
        "can write to at all", "dumb or sealed", _is("dumb|sealed"),
    ),
    "share": Setting(
        str, "FD|PID:FD", "commit through another program's open card (empty: be master)",
        "FD or PID:FD", _can_be_shared,
    ),
    "settle": Setting(
        float, "SEC", "pause between a fence and the next commit (unset: what the driver needs)",
        _SECONDS, _between(0, _LONGEST_S),
    ),
    "pace": Setting(
        str, "fence|flip",
        "what the next commit waits for: the last picture is written, or its vblank has passed "
        "(empty: what the driver needs)", "fence or flip", _is("(fence|flip)?"),
    ),
    "linger": Setting(
        float, "SEC", "stay attached for so long after the last client has gone",
        _SECONDS, _between(0, _LONGEST_S), is_live=True,
    ),
    "log": Setting(
        str, "LEVEL", f"what is worth a line in the log: {', '.join(log.LEVELS)}",
        f"one of {', '.join(log.LEVELS)}", _is("|".join(log.LEVELS)), is_live=True,
    ),
}  # fmt: skip
"""Setting to what it is. The defaults are those of `captured.config.Config`."""
