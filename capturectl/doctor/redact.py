# SPDX-License-Identifier: MIT
"""Takes out of a text what tells who and where: what is left may be posted in public."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAC = re.compile(r"\b[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\b")
_UUID = re.compile(r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]|-\w)")
_IPV6 = re.compile(
    r"(?<![\w:])(?:(?:[0-9a-f]{1,4}:){1,6}:[0-9a-f:]*|(?:[0-9a-f]{1,4}:){5,7}[0-9a-f]{1,4})(?!\w)",
    re.IGNORECASE,
)
_MACHINE_ID = re.compile(r"\b[0-9a-f]{32}\b")
_EDID = re.compile(r"\b00(?:[\s:]*ff){6}[\s:]*00(?:[\s:]*[0-9a-f]{2}(?![g-z]))*", re.IGNORECASE)
_SERIAL = re.compile(r"(\bserial(?:[ _-]?(?:number|no|num|id))?\b\W{1,4})[\w./-]+", re.IGNORECASE)
_HOME = re.compile(r"(/home/|/var/home/|/Users/|/root\b)[^\s\"',;:)]*")

_DRIVERS = r"(?:[\w-]*drm[\w-]*|vc4|vkms|msm|amdgpu|i915|rcar_du|malidp|komeda)"
_HARMLESS_FLAG = re.compile(r"quiet|splash|nomodeset|ro|rw|rootwait|debug")
_HARMLESS_NAME = re.compile(
    rf"{_DRIVERS}\.[\w.-]+|cma|video|fbcon|console|consoleblank|loglevel|mem|hugepages|isolcpus|"
    r"nohz_full|rcu_nocbs|preempt|maxcpus|iommu|swiotlb"
)

HIDDEN = "REDACTED"


def redact(text: str, names: Mapping[str, str]) -> str:
    """Return the text without addresses, serial numbers, homes, and the names given.

    Args:
        text: Any.
        names: What is to be hidden to what stands there instead, such as a host's name to HOST.
            Only whole words go; the longest first, as one may be part of another.
    """
    text = _HOME.sub(_hide_home, text)
    for pattern in (_EDID, _MAC, _UUID, _MACHINE_ID, _IPV4, _IPV6):
        text = pattern.sub(HIDDEN, text)
    text = _SERIAL.sub(rf"\1{HIDDEN}", text)
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", names[name], text)
    return text


def _hide_home(match: re.Match[str]) -> str:
    root = match[1]
    return root if root == match[0] else f"{root.rstrip('/')}/{HIDDEN}"


def harmless_arguments(command_line: str) -> str:
    """Return a kernel's command line with the values of known display settings alone.

    Anything may stand there, passwords included; so what is not known to be harmless is hidden.
    """
    return " ".join(_argument(word) for word in _words(command_line))


def _words(command_line: str) -> Iterable[str]:
    # A quoted value may hold blanks; a part of it must not pass for an argument.
    return re.findall(r'(?:[^\s"]|"[^"]*(?:"|$))+', command_line)


def _argument(word: str) -> str:
    name, equals, _ = word.partition("=")
    if not equals:
        return word if _HARMLESS_FLAG.fullmatch(word) else HIDDEN
    if _HARMLESS_NAME.fullmatch(name):
        return word
    return f"{name}={HIDDEN}" if re.fullmatch(r"[\w.-]+", name) else HIDDEN
