# SPDX-License-Identifier: MIT
"""Writes down what the next daemon must know, and lets the service manager keep descriptors."""

from __future__ import annotations

from capturectl.typed import NamedTuple
from captured import log
from captured.capture.pool import NOWHERE
from captured.handover.records import NO_WISH, SessionRecord, Wish
from captured.handover.state import ROWS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.capture.pool import Slot
    from captured.handover.records import OutputRecord
    from captured.handover.state import State
    from captured.notify import Holder, Notifier
    from captured.server.session import Session

STATE, CARD, CLIENT = "state", "card", "client-"
"""Names of what is stored; a client's ends with its number."""
_OTHERS = 8
"""Descriptors that the manager keeps and that are no client's."""


class Keepsake(NamedTuple):
    """What there is to keep of an output that is attached."""

    record: OutputRecord
    card: Holder
    """Borrows: the card's open file, to which all of it belongs."""
    slots: tuple[Slot, ...]


class Keeper:
    """Keeps one output and its clients. Fulfils `server.keeper.Keeper`.

    Ownership: owns the state, borrows the notifier.
    """

    def __init__(
        self, state: State, notifier: Notifier, size: int, keepsake: Callable[[], Keepsake | None]
    ) -> None:
        """Keep nothing yet.

        Args:
            state: To write to; owned from here on.
            notifier: To the manager.
            size: How many descriptors that keeps.
            keepsake: Says what there is to keep of the output; None when that is nothing.
        """
        self._state = state
        self._notifier = notifier
        self._keepsake = keepsake
        self._rows: dict[int, int] = {}
        """By a session's number."""
        self._free = list(range(min(ROWS, max(0, size - _OTHERS)) - 1, -1, -1))
        self._slots: tuple[Slot, ...] = ()
        self._has_card = False
        self._is_full = False
        self._unkept = bytearray(NOWHERE + 1)
        """Marks of those for whom there is no row."""
        notifier.store(STATE, state)

    @property
    def state(self) -> State:
        """What is written to."""
        return self._state

    # -- clients ------------------------------------------------------------------------------

    def adopt(self, number: int, row: int) -> None:
        """Go on with the row of a session that is about to be made again."""
        self._rows[number] = row
        if row in self._free:
            self._free.remove(row)
        elif self._free:
            del self._free[0]  # the manager keeps fewer now, and counts this one as well

    def take_in(self, session: Session) -> None:
        """Keep a session."""
        if session.number in self._rows:
            return  # adopted
        if not self._free:
            self._say_full()
            return
        self._notifier.store(f"{CLIENT}{session.number}", session)
        row = self._rows[session.number] = self._free.pop()
        marks = self._state.marks(row)
        marks[:] = bytes(len(marks))
        self.changed(session)

    def marks_of(self, session: Session) -> memoryview | bytearray:
        """Return a session's marks, by place."""
        row = self._rows.get(session.number)
        return self._unkept if row is None else self._state.marks(row)

    def _say_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            log.warning(
                "the service manager keeps %d clients; those who come now will notice a restart",
                len(self._rows),
            )

    def changed(self, session: Session) -> None:
        """Write anew what there is to know of a session."""
        row = self._rows.get(session.number)
        if row is not None:
            self._state.session(row).store(_record_of(session).pack())

    def left(self, session: Session) -> None:
        """Keep a session no more."""
        row = self._rows.pop(session.number, None)
        if row is None:
            return
        self._state.session(row).clear()
        self._free.append(row)
        self._is_full = False
        self._notifier.forget(f"{CLIENT}{session.number}")

    # -- the output ---------------------------------------------------------------------------

    def adopt_card(self, slots: tuple[Slot, ...]) -> None:
        """Go on with a card that is stored, and a pool that is written down, if any."""
        self._slots, self._has_card = slots, True

    def pool_changed(self) -> None:
        """Write the pool down as it is now; what was a place's is forgotten with its slot."""
        found = self._keepsake()
        if found is None:
            return
        for place, slot in enumerate(found.slots):
            if self._slots[place : place + 1] != (slot,):
                self._forget_place(place)
        self._slots = found.slots
        if not self._has_card:
            self._has_card = True
            self._notifier.store(CARD, found.card)
        self._state.output.store(found.record.pack())

    def _forget_place(self, place: int) -> None:
        self._state.clear_sequence(place)
        for row in self._rows.values():
            self._state.marks(row)[place] = 0

    def detached(self) -> None:
        """There is no pool any more, and nothing of the card to keep."""
        self._state.output.clear()
        self._slots = ()
        if self._has_card:
            self._has_card = False
            self._notifier.forget(CARD)

    def close(self) -> None:
        """Let go of the state: the manager keeps it, or not. Twice is fine."""
        self._state.close()


def _record_of(session: Session) -> SessionRecord:
    is_watching = session.is_watching
    # One output, so one subscription at most; an ended one counts while its frames are held.
    wish = NO_WISH
    for subscription in session.subscriptions:
        wish = Wish(
            subscription.stream.stream_id, subscription.request, True, subscription.left,
            subscription.is_paused, subscription.counted,
        )  # fmt: skip
    if wish is NO_WISH and session.loans is not None:
        for subscription, _ in session.loans.lent.values():
            wish = Wish(subscription.stream.stream_id, subscription.request, False, 0, False, 0)
    return SessionRecord(
        session.number, session.time_connected_ns, session.revoked,
        session.is_greeted, session.is_introduced, is_watching, session.name, wish,
    )  # fmt: skip
