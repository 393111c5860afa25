# SPDX-License-Identifier: MIT
"""File descriptors that a test watches or hands out."""

from __future__ import annotations

import os
from pathlib import Path

from capturectl.fd import OwnedFd


def open_fds() -> dict[int, str]:
    """Return what this process has open: number to target."""
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            found[int(link.name)] = str(link.readlink()).removesuffix(" (deleted)")
        except FileNotFoundError:
            continue  # the one that listed the directory
    return found


def memfd(data: bytes, name: str = "pixels") -> OwnedFd:
    """Return a file in memory with this content; the caller owns it."""
    fd = OwnedFd(os.memfd_create(name), name)
    os.pwrite(fd.fileno(), data, 0)
    return fd
