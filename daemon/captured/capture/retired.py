# SPDX-License-Identifier: MIT
"""Memory that the daemon has given up, and that clients may have still."""

from __future__ import annotations

import contextlib
import os

from capturectl.fd import OwnedFd
from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.source import Memory

_OURS = 1


class _Remnant(NamedTuple):
    dmabuf: OwnedFd
    size: int


class Retired:
    """Counts what cannot be taken back: a dma-buf lives as long as a client has it.

    Memory whose readers cannot be counted (a memfd's) is left alone.

    Ownership: owns a descriptor of each dma-buf, until nobody else has one.
    Kernel: fdinfo of a dma-buf has its number of references (dma_buf_show_fdinfo).
    """

    def __init__(self) -> None:
        self._remnants: list[_Remnant] = []

    def add(self, memory: Memory) -> None:
        """Note memory that is about to be closed."""
        for plane in memory.planes:
            if _references(plane.dmabuf.fileno()) > _OURS:
                fd = OwnedFd(os.dup(plane.dmabuf.fileno()), "retired dma-buf")
                self._remnants.append(_Remnant(fd, memory.size))

    def reap(self) -> None:
        """Forget what nobody has any more."""
        kept, self._remnants = self._remnants, []
        for remnant in kept:
            if _references(remnant.dmabuf.fileno()) > _OURS:
                self._remnants.append(remnant)
            else:
                remnant.dmabuf.close()

    @property
    def size(self) -> int:
        """Bytes that others have still, as of the last `reap`."""
        return sum(remnant.size for remnant in self._remnants)

    def close(self) -> None:
        """Stop counting. Twice is fine."""
        while self._remnants:
            self._remnants.pop().dmabuf.close()


def _references(fd: int) -> int:
    """Return how many references there are to a dma-buf; 0 where the kernel does not count."""
    with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        counts = [line for line in info if line.startswith(b"count:")]
        return int(counts[0].split()[1]) if counts else 0
    return 0
