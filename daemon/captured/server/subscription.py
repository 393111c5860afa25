# SPDX-License-Identifier: MIT
"""A client's wish for one stream's frames: its credits, its rate, whether it may have one now."""

from __future__ import annotations

from functools import lru_cache

from capturectl.protocol import ClientFlag, SubscribeFlag
from capturectl.typed import Protocol
from captured.capture.audience import NEVER
from captured.server.keeper import KNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capturectl import protocol
    from capturectl.errors import CaptureError
    from captured.capture.audience import Picture
    from captured.capture.pool import Slot
    from captured.server.loans import Loans
    from captured.server.stream import Stream


_TARDY, _TARDIEST = 8, 32
"""Captures of lateness in all, each made good by a frame that comes soon: from so many on it is
not prompt, and more than so many are not held against it."""


class Connection(Protocol):
    """What a subscription needs of its client's connection."""

    @property
    def is_clogged(self) -> bool:
        """Whether messages wait for the client to read."""

    def raw_send(self) -> Callable[[bytes | bytearray], int]:
        """Lend the socket's own send."""

    def need_loans(self) -> Loans:
        """Return what the client has of the daemon's memory."""

    def send_fds(self, packet: bytes, fds: Sequence[int]) -> None:
        """Send a message with descriptors."""

    def send_state(self, stream: Stream, problem: CaptureError | None) -> None:
        """Tell the client that frames stop for a while, or are back."""

    def describe(self, stream: Stream) -> None:
        """Tell the client what the output is like now."""

    def wish_changed(self) -> None:
        """Write down for the next daemon what the client wishes now."""

    def end_subscription(self, subscription: Subscription) -> None:
        """Tell the client that the subscription is over."""

    def fail_subscription(self, subscription: Subscription, error: CaptureError) -> None:
        """Tell the client why it is over."""

    def hung_up(self) -> None:
        """Hear that nothing can be sent to the client any more."""


class Subscription:
    """The engine's `Subscriber`. Lives until it has ended and everything it held is back."""

    __slots__ = (
        "_captured_before", "_connection", "_engine", "_loans", "_next_ns", "counted", "credits",
        "due_ns", "gap_ns", "has_released", "is_early", "is_paused", "known", "left", "lent",
        "marks", "request", "seen", "sent", "stream", "tardiness", "write",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, stream: Stream, request: protocol.Subscribe
    ) -> None:
        self.stream = stream
        self.request, self.gap_ns = _shared(request)
        self.due_ns = 0
        self.seen = 0
        self.is_early = bool(request.flags & SubscribeFlag.EARLY)
        self.is_paused = False
        self.credits = request.credits
        self.sent = 0
        self.has_released = False
        self.tardiness = 0
        """By how many captures its frames have come late, of late."""
        self._connection = connection
        self._loans = loans = connection.need_loans()
        # Looked at for each frame: each hop costs.
        self.known = loans.known
        self.marks = loans.marks
        self.lent = loans.lent
        self.write = connection.raw_send()
        self._engine = stream.engine
        self._captured_before = stream.engine.captured
        self.left = request.frames
        """Frames until it ends; 0 where it has no limit."""
        self.counted = 0
        """Sequence of the last frame that `left` knows of."""
        self._next_ns = 0

    def is_prompt(self, since: int) -> bool:
        """Whether it gives frames back soon, as a rule, and holds none from before a sequence."""
        is_proven = self.has_released and self.tardiness < _TARDY
        return is_proven and self._loans.holds_none_before(self, since)

    @property
    def skipped(self) -> int:
        """Pictures that it went without since it began."""
        return max(0, self._engine.captured - self._captured_before - self.sent)

    @property
    def flags(self) -> ClientFlag:
        """How it stands."""
        found = ClientFlag(0)
        if self.is_paused:
            found |= ClientFlag.PAUSED
        if self._connection.is_clogged:
            found |= ClientFlag.CLOGGED
        if self.is_early:
            found |= ClientFlag.EARLY
        return found

    # -- taking -------------------------------------------------------------------------------

    def send_buffer(self, slot: Slot) -> None:
        """Send a buffer that the client has not seen yet.

        Raises:
            OSError: EAGAIN, the client's socket is full; EPIPE, it is gone.
        """
        self._loans.send_buffer(self.stream, slot)

    def send_early(self, packet: bytes, fence: int) -> None:
        """Send a frame's fence before it is written; errors as above."""
        self._connection.send_fds(packet, [fence])

    def hung_up(self) -> None:
        """Hear that nothing can be sent to the client any more."""
        self._connection.hung_up()

    def look_ahead(self, picture: Picture) -> None:
        """Say anew when another is wanted, after a picture that counts for that."""
        self._pace(picture.time_commit_ns)
        self.reconsider()
        if self.left:
            self.left -= 1
            self.counted = picture.sequence
            if self.left:
                self._connection.wish_changed()
            else:
                self._connection.end_subscription(self)

    def _pace(self, time_ns: int) -> None:
        if not self.gap_ns:
            return
        if self._next_ns:
            # The average holds over late frames, but a long wait is not made up in a burst.
            self._next_ns = max(self._next_ns + self.gap_ns, time_ns + self.gap_ns // 2)
        else:
            self._next_ns = time_ns + self.gap_ns

    def reconsider(self) -> None:
        """Say anew when a picture is wanted; after every change of what that depends on."""
        could = self.credits > 0 and not self.is_paused and not self._connection.is_clogged
        self.due_ns = self._next_ns if could else NEVER

    # -- giving back --------------------------------------------------------------------------

    def give_back(self, picture: Picture) -> None:
        """The client releases a frame that it holds."""
        slot = picture.slot
        self.marks[slot.place] = KNOWN
        self.has_released = True
        self.credits += 1
        if not slot.is_newest and (late := self._engine.lateness(picture)) > 0:
            self.tardiness = min(_TARDIEST, self.tardiness + late)
        elif self.tardiness:
            self.tardiness -= 1
        if self.credits == 1:
            self.reconsider()
        elif slot.is_newest:
            # The usual case, which the engine need not hear of: no slot becomes free, and the
            # client has seen the newest and could take another before.
            slot.returned()
            return
        self._engine.release(slot, self)

    def credit_returned(self, *, is_overdue: bool) -> None:
        """The client releases a frame that was taken back: it was overdue, or never written."""
        self.credits += 1
        self.has_released = True
        if is_overdue:
            self.tardiness = _TARDIEST
        self.reconsider()
        self._engine.wake()

    def holds(self, slot: Slot) -> bool:
        """Whether the client has a slot by this subscription."""
        return self._loans.holds(self, slot)

    def revoked(self, slot: Slot, *, is_overdue: bool) -> None:
        """The engine takes a slot back."""
        self._loans.revoke(self, slot, is_overdue=is_overdue)

    # -- the output ---------------------------------------------------------------------------

    def state_changed(self, problem: CaptureError | None) -> None:
        """Tell the client that frames stop for a while, or are back."""
        self._connection.send_state(self.stream, problem)

    def reshaped(self) -> None:
        """Tell the client what the output is like now."""
        self._connection.describe(self.stream)

    def pause(self) -> None:
        """Want nothing until `resume`."""
        self.is_paused = True
        self.reconsider()

    def resume(self) -> None:
        """Want pictures again, from the next that is captured on."""
        self.is_paused = False
        self.reconsider()
        self._engine.rejoin(self)

    def fail(self, error: CaptureError) -> None:
        """Tell the client why there will be no more frames."""
        self._connection.fail_subscription(self, error)


@lru_cache(maxsize=64)  # most clients ask for the same, and one record does for all of them
def _shared(request: protocol.Subscribe) -> tuple[protocol.Subscribe, int]:
    """Return what is asked for, and the time between two frames that follows from it."""
    rate = request.max_fps_millihertz
    return request, 10**12 // rate if rate else 0
