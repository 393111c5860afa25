# SPDX-License-Identifier: MIT
"""Makes the clients of a former daemon this one's: same sockets, same frames, same wishes.

That one may have been killed between any two steps. A mark says LENT from before a frame is sent
until after its RELEASE was heard: a frame may be marked that the client does not have, never the
other way round. So what was lent before is the client's for one lease more, and then taken back;
and a RELEASE of what is not lent, of that time, is no mistake of the client's.
"""

from __future__ import annotations

from capturectl import protocol
from capturectl.transport import Transport
from capturectl.typed import NamedTuple
from captured.capture.audience import Picture
from captured.capture.source import NO_VBLANK
from captured.server.keeper import LENT, UNKNOWN
from captured.server.peer import peer_of
from captured.server.session import Session
from captured.server.stream import receipt_of
from captured.server.subscription import Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket as socket  # as in capturectl.transport

    from captured.capture.pool import Slot
    from captured.handover.records import SessionRecord, Wish
    from captured.handover.state import State
    from captured.server.hub import Hub
    from captured.server.loans import Loans
    from captured.server.stream import Stream


class Loan(NamedTuple):
    """A frame that a former daemon lent."""

    loans: Loans
    """Of the client that has it."""
    receipt: bytes


class Revival:
    """Revives the clients of one output. Borrows everything."""

    def __init__(self, hub: Hub, stream: Stream, state: State, slots: tuple[Slot, ...]) -> None:
        """Prepare it.

        Args:
            hub: Where the sessions go.
            stream: The output.
            state: What was written down.
            slots: Of the pool that goes on, by place; empty when that is lost.
        """
        self._hub = hub
        self._stream = stream
        self._state = state
        self._slots = slots
        self._excused = state.last_number
        self._now_ns = hub.reactor.now_ns()
        self._waiting: list[Subscription] = []
        self._loans: list[Loan] = []

    @property
    def gap_ns(self) -> int:
        """The shortest time between two frames that one of the subscribers wants; -1 for none."""
        wanted = [s.gap_ns for s in self._waiting if not s.is_paused]
        return min(wanted, default=-1)

    def revive(self, record: SessionRecord, row: int, sock: socket.socket) -> None:
        """Make a client's session anew.

        Args:
            record: What was written down of it.
            row: Where that was; the keeper must know by now.
            sock: Its socket, which does not block, owned from here on.
        """
        session = Session(Transport(sock), peer_of(sock), self._hub, record.number)
        if not record.is_greeted:
            return  # its HELLO is still to come
        session.resume(record.name, record.time_connected_ns, record.revoked)
        session.excused = self._excused
        if not record.is_introduced:
            session.introduce(0)  # the answer may have been sent in part; twice does no harm
        self._hub.watch(session, record.is_watching)
        marks = self._state.marks(row)
        for slot, mark in zip(self._slots, marks, strict=False):
            if mark != UNKNOWN:
                session.need_loans().note_known(self._stream, slot)
        if record.wish.stream == self._stream.stream_id:
            self._revive_wish(record.wish, session)
        if not self._slots:
            marks[:] = bytes(len(marks))  # they are of a pool that is lost

    def _revive_wish(self, wish: Wish, session: Session) -> None:
        subscription = Subscription(session, self._stream, protocol.Subscribe(*wish.request))
        lent = [place for place, mark in enumerate(subscription.marks) if mark == LENT]
        for place in lent:
            if place < len(self._slots):
                self._lend(self._slots[place], subscription, session.need_loans())
        if not wish.is_active:
            return
        session.subscriptions = (subscription,)
        subscription.is_paused = wish.is_paused
        subscription.has_released = True  # what it showed the former daemon is not written down
        if wish.left:
            uncounted = sum(self._state.sequence_of(place) > wish.counted for place in lent)
            subscription.left = max(0, wish.left - uncounted)
            subscription.counted = self._excused
        if wish.left and not subscription.left:
            session.end_subscription(subscription)  # its last frame was sent, its ENDED was not
        else:
            self._waiting.append(subscription)

    def _lend(self, slot: Slot, subscription: Subscription, loans: Loans) -> None:
        """Note that the client has a frame."""
        sequence = self._state.sequence_of(slot.place)
        receipt = receipt_of(self._stream.stream_id, sequence, slot.index, slot.generation)
        picture = Picture(slot, sequence, 0, 0, 0, NO_VBLANK)
        loans.lent[receipt] = subscription, picture
        slot.adopt_loan(subscription, self._now_ns)
        subscription.credits = max(0, subscription.credits - 1)
        self._loans.append(Loan(loans, receipt))

    def finish(self) -> None:
        """Serve the subscribers again, and take back what they do not release soon."""
        for subscription in self._waiting:
            subscription.reconsider()
            self._stream.engine.go_on(subscription)
        for session in tuple(self._hub.sessions.values()):
            self._hub.keeper.changed(session)
            session.check_access()  # the rules may be others by now
        self._hub.reactor.call_later(protocol.LEASE_MS / 1000, self._lapse)

    def _lapse(self) -> None:
        for loans, receipt in self._loans:
            loans.lapse(receipt)
