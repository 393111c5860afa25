# SPDX-License-Identifier: MIT
"""Memory for pictures that nobody but us can write."""

from __future__ import annotations

import fcntl
import mmap
import os

from capturectl.fd import OwnedFd

_F_SEAL_FUTURE_WRITE = 0x10  # fcntl has no name for it
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | _F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL
"""All that a receiver is to be kept from.

Kernel: F_SEAL_FUTURE_WRITE leaves the mappings that there are and forbids all later ones.
"""


def make_memory(name: str, size: int, seals: int) -> tuple[OwnedFd, mmap.mmap]:
    """Make a memfd, and the mapping through which we alone can write once it has all seals.

    Args:
        name: For /proc.
        size: In bytes.
        seals: Those that it gets now.

    Raises:
        OSError: ENOMEM; EMFILE.

    Ownership: the caller owns both.
    """
    memfd = OwnedFd(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "memfd")
    try:
        os.ftruncate(memfd.fileno(), size)
        memory = mmap.mmap(memfd.fileno(), size)
        try:
            add_seals(memfd, seals)
        except BaseException:
            memory.close()
            raise
    except BaseException:
        memfd.close()
        raise
    return memfd, memory


def add_seals(memfd: OwnedFd, seals: int) -> None:
    """Seal it for good; what it has already is fine."""
    fcntl.fcntl(memfd.fileno(), fcntl.F_ADD_SEALS, seals)
