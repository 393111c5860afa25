# SPDX-License-Identifier: MIT
"""The flip events of one card: at which vblank each commit took effect."""

from __future__ import annotations

from captured.drm import events, uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.drm.card import Card


class FlipQueue:
    """The flip events of one card, sorted by the commit they belong to.

    Only for a card whose event queue is ours alone. Borrows the card.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._waiting: dict[int, events.Event] = {}

    def take(self, user_data: int) -> events.Event | None:
        """Return the flip of a commit; None when it has not come.

        Events of commits that nobody asks for are dropped with the next one that is taken.
        """
        self.drain()
        found = self._waiting.get(user_data)
        if found is not None:
            self._waiting = {key: e for key, e in self._waiting.items() if key > user_data}
        return found

    def has(self, user_data: int) -> bool:
        """Say whether the flip of a commit has come; `take` still returns it."""
        self.drain()
        return user_data in self._waiting

    def drain(self) -> None:
        """Take what is waiting out of the kernel's queue, which has room for 128."""
        for event in events.read_events(self._card):
            if event.event_type == uapi.DRM_EVENT_FLIP_COMPLETE:
                self._waiting[event.user_data] = event
