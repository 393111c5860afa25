# SPDX-License-Identifier: MIT
"""Where an engine notes what it is about to do, for whoever goes on when it is killed."""

from __future__ import annotations

from capturectl.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.pool import Slot


class Ledger(Protocol):
    """Outlives the engine."""

    def note_commit(
        self, slot: Slot, number: int, missed: int, captured: int, now_ns: int
    ) -> None:
        """Note that a slot is going to be written by capture `number`."""


class NoLedger:
    """Of an engine that nobody goes on from."""

    def note_commit(
        self, slot: Slot, number: int, missed: int, captured: int, now_ns: int
    ) -> None:
        """Forget it."""
