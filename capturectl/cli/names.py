# SPDX-License-Identifier: MIT
"""File names with a number and the time in them."""

from __future__ import annotations

import re
import time

_NUMBER = re.compile(r"%%|%\d{0,3}d")  # names of more than 255 bytes there are not


def has_number(template: str) -> bool:
    """Whether a name has a place for a number: %d, or %03d."""
    return any(found != "%%" for found in _NUMBER.findall(template))


def expand(template: str, number: int, when: time.struct_time) -> str:
    """Return a name with the number in place of %d, and the time in place of strftime's codes."""

    def put(found: re.Match[str]) -> str:
        return found[0] if found[0] == "%%" else found[0] % number

    return time.strftime(_NUMBER.sub(put, template), when)
