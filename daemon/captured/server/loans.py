# SPDX-License-Identifier: MIT
"""What one client has of the daemon's memory: the buffers it was sent, the frames it was lent."""

from __future__ import annotations

from capturectl import protocol
from capturectl.errors import CaptureLostError
from capturectl.typed import NamedTuple
from captured import log
from captured.server.keeper import KNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from captured.capture.audience import Picture
    from captured.capture.pool import Slot
    from captured.server.keeper import Marks
    from captured.server.session import Session
    from captured.server.stream import Stream
    from captured.server.subscription import Subscription


_REVOCATIONS_LIMIT = 3
_REVOCATIONS_SPAN_S = 10.0
"""A client that has so many frames taken back within so many seconds is cut off."""

Loan = tuple["Subscription", "Picture"]
"""A frame that the client has, and for which of its wishes it came."""


class TakenBack(NamedTuple):
    """A frame that was revoked and not released since."""

    receipt: bytes
    subscription: Subscription
    """For which of its wishes it came."""
    is_overdue: bool
    """Whether that was because the client was late."""


class Loans:
    """A client's buffers and frames, from its first subscription until it hangs up.

    Most that is asked of a daemon needs no frame, and whoever has asked for none has no loans.

    Ownership: borrows the client, and the slots that it has.
    """

    __slots__ = (
        "_client", "_revocations", "_taken_back", "known", "lent", "marks", "revoked",
    )  # fmt: skip

    def __init__(self, client: Session, marks: Marks) -> None:
        self.lent: dict[bytes, Loan] = {}
        """By receipt: the bytes that will bring the frame back."""
        self.known: dict[Slot, int] = {}
        """Buffers that it was sent, and of which stream."""
        self.marks = marks
        """By a slot's place, what the client has of it, for the next daemon."""
        self.revoked = 0
        """How many frames were taken back because it was late."""
        self._revocations: tuple[int, ...] = ()
        """When the last of those were."""
        self._taken_back: tuple[TakenBack, ...] = ()
        self._client = client

    # -- buffers ------------------------------------------------------------------------------

    def send_buffer(self, stream: Stream, slot: Slot) -> None:
        """Send a buffer's descriptors, once.

        Raises:
            OSError: EAGAIN, the client's socket is full; EPIPE, it is gone.
        """
        message, fds = _buffer_message(stream, slot)
        self._client.send_fds(message, fds)
        self.note_known(stream, slot)
        self.marks[slot.place] = KNOWN

    def note_known(self, stream: Stream, slot: Slot) -> None:
        """Note that the client was sent a buffer's descriptors, by this daemon or a former one."""
        self.known[slot] = stream.stream_id
        slot.knowers |= {self._client.peer.uid}

    def keys_of(self, stream: Stream) -> set[tuple[int, int]]:
        """Return the buffers of a stream that it knows, by (generation, buffer)."""
        known = self.known.items()
        return {(slot.generation, slot.index) for slot, of in known if of == stream.stream_id}

    def buffers_gone(self, stream: Stream, generation: int) -> None:
        """Tell the client that it may unmap a former pool."""
        for slot in [slot for slot in self.known if slot.generation == generation]:
            self.buffer_gone(stream, slot)

    def buffer_gone(self, stream: Stream, slot: Slot) -> None:
        """Tell the client that it may unmap a buffer, if it has it."""
        if self.known.get(slot) != stream.stream_id:
            return
        del self.known[slot]
        body = protocol.BufferGone(slot.index, slot.generation)
        self._client.send(protocol.BUFFER_GONE.pack(body, stream=stream.stream_id))

    # -- frames that it has -------------------------------------------------------------------

    def holds(self, subscription: Subscription, slot: Slot) -> bool:
        """Whether the client has a slot by a subscription."""
        return any(s is subscription and p.slot is slot for s, p in self.lent.values())

    def holds_none_before(self, subscription: Subscription, sequence: int) -> bool:
        """Whether all that the client has by a subscription is as new as that, or newer."""
        if any(taken_back.is_overdue for taken_back in self._taken_back):
            return False
        return all(
            picture.sequence >= sequence
            for lent_to, picture in self.lent.values()
            if lent_to is subscription
        )

    def held_by(self, subscription: Subscription) -> int:
        """How many frames it has by a subscription."""
        return sum(lent_to is subscription for lent_to, _ in self.lent.values())

    def spent_on(self, stream_id: int) -> int:
        """How many credits of a stream are out: frames that it has, or has not released since."""
        spent = [subscription for subscription, _ in self.lent.values()]
        spent += [taken_back.subscription for taken_back in self._taken_back]
        return sum(subscription.stream.stream_id == stream_id for subscription in spent)

    def release(self, receipt: bytes) -> bool:
        """Take what a client gives back; False if that was never lent, or was given back."""
        if (loan := self.lent.pop(receipt, None)) is not None:
            loan[0].give_back(loan[1])
            return True
        for taken_back in self._taken_back:
            if taken_back.receipt == receipt:
                self._taken_back = tuple(t for t in self._taken_back if t is not taken_back)
                taken_back.subscription.credit_returned(is_overdue=taken_back.is_overdue)
                return True
        return False

    def clear(self) -> list[Loan]:
        """Have no frame any more; return those that it had, to be given back."""
        lent = list(self.lent.values())
        self.lent.clear()
        self._taken_back = ()
        return lent

    # -- frames that are taken back -----------------------------------------------------------

    def revoke(self, subscription: Subscription, slot: Slot, *, is_overdue: bool) -> None:
        """Take a frame back and tell the client; cut it off when it held too many."""
        receipt, picture = self._loan_of(subscription, slot)
        del self.lent[receipt]
        self._taken_back = *self._taken_back, TakenBack(receipt, subscription, is_overdue)
        self.marks[slot.place] = KNOWN
        self._say_revoked(subscription.stream, picture)
        if is_overdue:
            self._note_overdue(subscription.stream, picture.sequence)

    def lapse(self, receipt: bytes) -> None:
        """Take back a frame that a former daemon lent, if the client has not released it since.

        It may never have had it, or have released it unheard: so its credit returns at once.
        """
        if (loan := self.lent.pop(receipt, None)) is None:
            return
        subscription, picture = loan
        self._say_revoked(subscription.stream, picture)
        subscription.give_back(picture)

    def _loan_of(self, subscription: Subscription, slot: Slot) -> tuple[bytes, Picture]:
        return next(
            (receipt, picture)
            for receipt, (lent_to, picture) in self.lent.items()
            if picture.slot is slot and lent_to is subscription
        )

    def _say_revoked(self, stream: Stream, picture: Picture) -> None:
        slot = picture.slot
        body = protocol.Revoked(picture.sequence, slot.index, slot.generation)
        self._client.send(protocol.REVOKED.pack(body, stream=stream.stream_id))

    def _note_overdue(self, stream: Stream, sequence: int) -> None:
        client, hub = self._client, self._client.hub
        log.info(
            "%s: held frame %d for too long", client, sequence,
            output=stream.name, sequence=sequence,
        )  # fmt: skip
        hub.tell(protocol.EventKind.FRAME_REVOKED, client, stream=stream, sequence=sequence)
        self.revoked += 1
        last = *self._revocations, hub.reactor.now_ns()
        self._revocations = last[-_REVOCATIONS_LIMIT:]
        if _are_too_many(self._revocations):
            reason = f"{_REVOCATIONS_LIMIT} frames were held for too long"
            client.cut_off_soon(CaptureLostError(reason, "release them sooner", code="slow"))


def _are_too_many(revocations: tuple[int, ...]) -> bool:
    if len(revocations) < _REVOCATIONS_LIMIT:
        return False
    return revocations[-1] - revocations[0] < _REVOCATIONS_SPAN_S * 1e9


def _buffer_message(stream: Stream, slot: Slot) -> tuple[bytes, Sequence[int]]:
    memory, geometry = slot.memory, stream.engine.geometry
    if geometry is None:
        raise CaptureLostError("the buffer's pool is gone")
    planes = memory.planes
    fill = (0,) * (protocol.MAX_FDS - len(planes))
    body = protocol.Buffer(
        geometry.modifier,
        memory.size,
        slot.index,
        slot.generation,
        geometry.fourcc,
        geometry.width,
        geometry.height,
        len(planes),
        tuple(plane.offset for plane in planes) + fill,  # type: ignore[arg-type]  # four
        tuple(plane.pitch for plane in planes) + fill,  # type: ignore[arg-type]  # four
    )
    fds = [plane.dmabuf.fileno() for plane in planes]
    return protocol.BUFFER.pack(body, stream=stream.stream_id), fds
