# SPDX-License-Identifier: MIT
"""Memory that the daemon has given up, and that clients may have still."""

from __future__ import annotations

import contextlib

from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.fd import OwnedFd
    from captured.capture.source import Memory

MOST_POOLS = 4
"""So many pools of former buffers may all clients together keep; with more, none is made anew."""

_OURS = 1


class _Remnant(NamedTuple):
    dmabufs: tuple[OwnedFd, ...]
    """Of each plane."""
    size: int
    knowers: frozenset[int]

    @property
    def is_kept(self) -> bool:
        return any(_references(dmabuf.fileno()) > _OURS for dmabuf in self.dmabufs)

    def close(self) -> None:
        for dmabuf in self.dmabufs:
            dmabuf.close()


class Retired:
    """Counts what cannot be taken back: a dma-buf lives as long as a client has it.

    Memory whose readers cannot be counted (a memfd's) is left alone. Which of those who know a
    buffer still has it the kernel tells nobody without privilege, so it counts against each.

    Ownership: owns a descriptor of each dma-buf, until nobody else has one.
    Kernel: fdinfo of a dma-buf has its number of references (dma_buf_show_fdinfo).
    """

    def __init__(self) -> None:
        self._remnants: list[_Remnant] = []

    def add(self, memory: Memory, knowers: frozenset[int]) -> None:
        """Note memory that is about to be closed, and the users who were sent it."""
        planes = memory.planes
        if any(_references(plane.dmabuf.fileno()) > _OURS for plane in planes):
            dmabufs = tuple(plane.dmabuf.duplicate() for plane in planes)
            self._remnants.append(_Remnant(dmabufs, memory.size, knowers))

    def reap(self) -> None:
        """Forget what nobody has any more."""
        remnants, self._remnants = self._remnants, []
        for remnant in remnants:
            if remnant.is_kept:
                self._remnants.append(remnant)
            else:
                remnant.close()

    @property
    def size(self) -> int:
        """Bytes that others have still, as of the last `reap`."""
        return sum(remnant.size for remnant in self._remnants)

    def __len__(self) -> int:
        """How many buffers those are."""
        return len(self._remnants)

    def count_of(self, uid: int) -> int:
        """How many buffers a user may have still, as of the last `reap`."""
        return sum(uid in remnant.knowers for remnant in self._remnants)

    def close(self) -> None:
        """Stop counting. Twice is fine."""
        while self._remnants:
            self._remnants.pop().close()


def _references(fd: int) -> int:
    """Return how many references there are to a dma-buf; 0 where the kernel does not count."""
    with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        counts = [line for line in info if line.startswith(b"count:")]
        return int(counts[0].split()[1]) if counts else 0
    return 0
