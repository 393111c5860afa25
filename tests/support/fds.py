# SPDX-License-Identifier: MIT
"""File descriptors that a test watches or hands out."""

from __future__ import annotations

import os
from pathlib import Path

from capturectl.fd import OwnedFd


def open_fds(pid: int | str = "self") -> dict[int, str]:
    """Return what a process has open, this one or another: number to target."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(link.name)] = str(link.readlink()).removesuffix(" (deleted)")
        except FileNotFoundError:
            continue  # closed meanwhile, as the one that listed the directory
    return found


def memfd(data: bytes, name: str = "pixels") -> OwnedFd:
    """Return a file in memory with this content; the caller owns it."""
    fd = OwnedFd(os.memfd_create(name), name)
    os.pwrite(fd.fileno(), data, 0)
    return fd
