# SPDX-License-Identifier: MIT
"""Where an engine's pictures and news go."""

from __future__ import annotations

from capturectl.typed import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from capturectl.errors import CaptureError
    from capturectl.protocol import EventKind
    from captured.capture.audience import Picture, Subscriber
    from captured.capture.pool import Slot


class Outlet(Protocol):
    """Carries pictures to those who are to have them, and news to whoever cares."""

    def deliver(self, picture: Picture, subscribers: Sequence[Subscriber]) -> Sequence[Subscriber]:
        """Send a picture to these; return who took it, and the slot with it."""

    def announce(
        self, picture: Picture, fence: int, subscribers: Sequence[Subscriber]
    ) -> Sequence[Subscriber]:
        """Send a picture that is being written, and lend its fence; return who took it."""

    def attached(self) -> None:
        """The source was attached."""

    def detached(self) -> None:
        """The source was detached."""

    def pool_changed(self) -> None:
        """There is a pool, or another buffer in it."""

    def pool_freed(self, generation: int) -> None:
        """All buffers of a generation are gone."""

    def slot_replaced(self, slot: Slot) -> None:
        """One buffer is gone; another has taken its place."""

    def capture_lost(self, sequence: int) -> None:
        """A fence did not end in time."""

    def problem_changed(self, problem: CaptureError | None) -> None:
        """The output cannot be captured now, or can again."""

    def output_changed(self, kind: EventKind, news: CaptureError) -> None:
        """The output came, went, or its display is another; everybody is told what it is now."""


class NoOutlet:
    """Of an engine that nobody listens to yet."""

    def deliver(self, picture: Picture, subscribers: Sequence[Subscriber]) -> Sequence[Subscriber]:
        """Deliver to nobody."""
        return ()

    def announce(
        self, picture: Picture, fence: int, subscribers: Sequence[Subscriber]
    ) -> Sequence[Subscriber]:
        """Announce to nobody."""
        return ()

    def attached(self) -> None:
        """Ignore it."""

    def detached(self) -> None:
        """Ignore it."""

    def pool_changed(self) -> None:
        """Ignore it."""

    def pool_freed(self, generation: int) -> None:
        """Ignore it."""

    def slot_replaced(self, slot: Slot) -> None:
        """Ignore it."""

    def capture_lost(self, sequence: int) -> None:
        """Ignore it."""

    def problem_changed(self, problem: CaptureError | None) -> None:
        """Ignore it."""

    def output_changed(self, kind: EventKind, news: CaptureError) -> None:
        """Ignore it."""
