# SPDX-License-Identifier: MIT
"""Whether fences can be trusted to belong to their jobs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.pool import Slot


class Doubt:
    """Opened by a lost job, closed by a proof.

    After a loss drivers signal later fences for earlier jobs. So each capture is a proof then: its
    poisoned buffer must come back written, by its own fence; and there is one at a time.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.is_told = False
        """Whether subscribers were told; of the doubt that a new daemon begins with, none are."""
        self._failed = 0
        """Proofs, one after the other."""
        self._held: list[Slot] = []

    def hold(self, slot: Slot) -> None:
        """Keep a slot, which a job of a former daemon may be writing, from being taken."""
        slot.hold()
        self._held.append(slot)

    def deepen(self, proofs: int) -> bool:
        """Open it, or count a proof that failed; False when so many have."""
        self._failed += self.is_open
        self.is_open = self.is_told = True
        if self._failed < proofs:
            return True
        self._failed = 0
        return False

    def close(self) -> list[Slot]:
        """Trust fences again; return the slots that were held, to be returned to their pool."""
        held, self._held = self._held, []
        self.is_open, self._failed = False, 0
        return held

    def forget_held(self) -> None:
        """Hold none any more: their pool is going to be freed."""
        self._held.clear()
