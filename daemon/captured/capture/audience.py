# SPDX-License-Identifier: MIT
"""Who wants the pictures of one output, and who gets the one that there is."""

from __future__ import annotations

import contextlib

from capturectl.typed import NamedTuple, Protocol
from captured.capture.pool import Holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capturectl.errors import CaptureError
    from captured.capture.outlet import Outlet
    from captured.capture.pool import Pool, Slot

NEVER = 2**63 - 1
"""A time that does not come."""


class Picture(NamedTuple):
    """A captured picture, while its slot holds it."""

    slot: Slot
    sequence: int
    missed: int
    time_commit_ns: int
    time_done_ns: int
    """0 while it is being written."""
    vblank: tuple[int, int]
    """As a `Vblank`."""


class Subscriber(Holder, Protocol):
    """A client's subscription, as the engine sees it.

    What the engine looks at for every picture is an attribute, not a call.
    """

    due_ns: int
    """From when on it wants a picture; `NEVER` while it could not take one."""
    seen: int
    """Sequence of the last picture that it got, or that was not fresh for it; the engine's."""
    is_early: bool
    """Whether it takes pictures before they are written."""

    def is_prompt(self, since: int) -> bool:
        """Whether it gives frames back soon, and holds none from before a sequence."""

    def state_changed(self, problem: CaptureError | None) -> None:
        """Hear that pictures stop for a while, and why; None when they are back."""

    def reshaped(self) -> None:
        """Hear that pictures have another shape from now on."""

    def fail(self, error: CaptureError) -> None:
        """End the subscription with a reason."""


class Audience:
    """The subscribers of one output. Borrows them, and the slots that it lends."""

    def __init__(self, lease_ns: int) -> None:
        """Start with nobody; a slot may be held for `lease_ns` for sure."""
        self._lease_ns = lease_ns
        self._subscribers: dict[Subscriber, None] = {}
        self.early_count = 0
        """How many take pictures before they are written."""
        self.is_handing_out = False
        """Whether subscribers are being called: they may answer at once."""

    def __len__(self) -> int:
        return len(self._subscribers)

    def __contains__(self, subscriber: Subscriber) -> bool:
        return subscriber in self._subscribers

    def __iter__(self) -> Iterator[Subscriber]:
        """Go over those who are there now, whoever leaves meanwhile."""
        return iter(tuple(self._subscribers))

    def add(self, subscriber: Subscriber, newest: int) -> None:
        """Serve a subscriber with pictures after the newest."""
        subscriber.seen = newest
        self._subscribers[subscriber] = None
        self.early_count += subscriber.is_early

    def remove(self, subscriber: Subscriber) -> bool:
        """Serve it no more; False when it was not served anyway."""
        try:
            del self._subscribers[subscriber]
        except KeyError:
            return False
        self.early_count -= subscriber.is_early
        return True

    def dismiss(self) -> list[Subscriber]:
        """Serve nobody any more; return who was served."""
        subscribers, self._subscribers = list(self._subscribers), {}
        self.early_count = 0
        return subscribers

    def first_due_ns(self, now_ns: int) -> int:
        """Say when the first of them wants a picture; any time up to now stands for now."""
        first = NEVER
        for subscriber in self._subscribers:
            due_ns = subscriber.due_ns
            if due_ns <= now_ns:
                return due_ns
            first = min(first, due_ns)
        return first

    # -- lending ------------------------------------------------------------------------------

    def hand_out(self, picture: Picture, pool: Pool, now_ns: int, outlet: Outlet) -> None:
        """Lend the newest picture to all who are due."""
        sequence, due = picture.sequence, []
        is_short = pool.spare <= pool.slack
        for subscriber in self._served(pool, sequence) if is_short else self._subscribers:
            if subscriber.due_ns <= now_ns and subscriber.seen < sequence:
                due.append(subscriber)  # noqa: PERF401 - a comprehension is a call
        if due:
            self._lend(picture, outlet.deliver(picture, due), now_ns)

    def announce(
        self, picture: Picture, fence: int, pool: Pool, now_ns: int, outlet: Outlet
    ) -> None:
        """Lend a picture that is being written to all who are due and can take it so."""
        due = [
            subscriber
            for subscriber in self._served(pool, picture.sequence)
            if subscriber.is_early and subscriber.due_ns <= now_ns
        ]
        if due:
            self._lend(picture, outlet.announce(picture, fence, due), now_ns)

    def offer(
        self, subscriber: Subscriber, picture: Picture, pool: Pool, now_ns: int, outlet: Outlet
    ) -> None:
        """Lend the newest picture to one who could not take it before."""
        if subscriber not in self._subscribers or subscriber.seen >= picture.sequence:
            return
        if subscriber.due_ns <= now_ns and _may_have(subscriber, pool, picture.sequence):
            self._lend(picture, outlet.deliver(picture, [subscriber]), now_ns)

    def _served(self, pool: Pool, sequence: int) -> tuple[Subscriber, ...]:
        return tuple(s for s in self._subscribers if _may_have(s, pool, sequence))

    def _lend(self, picture: Picture, takers: Sequence[Subscriber], now_ns: int) -> None:
        if not takers:
            return
        picture.slot.lend(takers, now_ns)
        sequence = picture.sequence
        for subscriber in takers:
            subscriber.seen = sequence

    def make_room(self, pool: Pool, now_ns: int) -> int:
        """Take overdue leases back while so many slots are held that clients go without.

        Returns:
            How many leases that were.
        """
        revoked = 0
        with self.handing_out():
            for slot in list(pool.overdue(now_ns - self._lease_ns)):
                if pool.spare <= pool.slack and slot.readers:
                    revoked += pool.revoke(slot, is_overdue=True)
        return revoked

    @contextlib.contextmanager
    def handing_out(self) -> Iterator[None]:
        """Mark the time in which subscribers are called."""
        before, self.is_handing_out = self.is_handing_out, True
        try:
            yield
        finally:
            self.is_handing_out = before


def _may_have(subscriber: Subscriber, pool: Pool, sequence: int) -> bool:
    """Whether there is a slot for one of them; the last goes to who gives it back soon."""
    if pool.spare > pool.slack or pool.spare <= 0:
        return pool.spare > 0
    return subscriber.is_prompt(sequence - pool.patience)
