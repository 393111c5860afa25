# SPDX-License-Identifier: MIT
"""A client's wish for one stream's frames: its credits, its rate, what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from capturectl import protocol
    from capturectl.errors import CaptureError
    from captured.capture.engine import Picture
    from captured.capture.pool import Slot
    from captured.server.stream import Stream


class Connection(Protocol):
    """What a subscription needs of its client's connection."""

    @property
    def is_clogged(self) -> bool:
        """Whether messages wait for the client to read."""

    @property
    def is_prompt(self) -> bool:
        """Whether the client has shown that it gives frames back."""

    def send_picture(self, stream: Stream, picture: Picture) -> bool:
        """Send a frame; False when the client's socket is full."""

    def frame_revoked(self, subscription: Subscription, sequence: int, slot: Slot) -> None:
        """Tell the client that a frame was taken back."""

    def send_state(self, stream: Stream, problem: CaptureError | None) -> None:
        """Tell the client that frames stop for a while, or are back."""

    def end_subscription(self, subscription: Subscription) -> None:
        """Tell the client that the subscription is over."""

    def fail_subscription(self, subscription: Subscription, error: CaptureError) -> None:
        """Tell the client why it is over."""


class Subscription:
    """The engine's `Subscriber`. Lives until it has ended and everything it held is back."""

    def __init__(
        self, connection: Connection, stream: Stream, request: protocol.Subscribe
    ) -> None:
        self.stream = stream
        self.is_paused = False
        self.held: dict[int, Slot] = {}
        """Sequence to slot, of the frames that the client has."""
        self._connection = connection
        self._credits = request.credits
        self._left = request.frames
        rate = request.max_fps_millihertz
        self._gap_ns = 10**12 // rate if rate else 0
        self._due_ns = 0

    @property
    def is_prompt(self) -> bool:
        """Whether the client has shown that it gives frames back."""
        return self._connection.is_prompt

    def due_ns(self) -> int | None:
        """Say from when on it wants a picture; None while it could not take one."""
        if self._credits < 1 or self.is_paused or self._connection.is_clogged:
            return None
        return self._due_ns

    def deliver(self, picture: Picture) -> bool:
        """Send the frame, and its buffer before if the client has not seen that yet."""
        if not self._connection.send_picture(self.stream, picture):
            return False
        self._credits -= 1
        self.held[picture.sequence] = picture.slot
        self._pace(picture.time_commit_ns)
        if self._left:
            self._left -= 1
            if not self._left:
                self._connection.end_subscription(self)
        return True

    def _pace(self, time_ns: int) -> None:
        if not self._gap_ns:
            return
        if self._due_ns:
            # The average holds over late frames, but a long wait is not made up in a burst.
            self._due_ns = max(self._due_ns + self._gap_ns, time_ns + self._gap_ns // 2)
        else:
            self._due_ns = time_ns + self._gap_ns

    def give_back(self, sequence: int) -> None:
        """The client releases a frame that it holds."""
        slot = self.held.pop(sequence)
        self._credits += 1
        self.stream.engine.release(slot, self)

    def give_all_back(self) -> None:
        """The client is gone."""
        while self.held:
            _, slot = self.held.popitem()
            self.stream.engine.release(slot, self)

    def credit_returned(self) -> None:
        """The client releases a frame that had been taken back already."""
        self._credits += 1
        self.stream.engine.wake()

    def revoked(self, slot: Slot) -> None:
        """The engine takes a slot back."""
        sequence = next(number for number, held in self.held.items() if held is slot)
        del self.held[sequence]
        self._connection.frame_revoked(self, sequence, slot)

    def state_changed(self, problem: CaptureError | None) -> None:
        """Tell the client that frames stop for a while, or are back."""
        self._connection.send_state(self.stream, problem)

    def pause(self) -> None:
        """Want nothing until `resume`."""
        self.is_paused = True

    def resume(self) -> None:
        """Want pictures again."""
        self.is_paused = False
        self.stream.engine.wake()

    def fail(self, error: CaptureError) -> None:
        """Tell the client why there will be no more frames."""
        self._connection.fail_subscription(self, error)
