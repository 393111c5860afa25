# SPDX-License-Identifier: MIT
"""Who writes down what the next daemon has to know of the clients of this one."""

from __future__ import annotations

from capturectl.typed import Protocol
from captured.capture.pool import NOWHERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.server.session import Session

UNKNOWN, KNOWN, LENT = 0, 1, 2
"""A mark: what a client has of a slot. Nothing, its descriptor, the picture in it."""

Marks = bytearray | memoryview
"""What a client has, by a slot's place."""


class Keeper(Protocol):
    """Keeps sessions, and the pool whose frames they hold."""

    def take_in(self, session: Session) -> None:
        """Keep a new session."""

    def marks_of(self, session: Session) -> Marks:
        """Return a session's marks, by place; its loans set them."""

    def changed(self, session: Session) -> None:
        """Write anew what there is to know of a session."""

    def left(self, session: Session) -> None:
        """Keep a session no more."""

    def pool_changed(self) -> None:
        """There is a pool, or another buffer in it."""

    def detached(self) -> None:
        """There is no pool any more, and the output is as it was found."""


_NO_MARKS = bytearray(NOWHERE + 1)


class NoKeeper:
    """Of a daemon that nobody goes on from."""

    def take_in(self, session: Session) -> None:
        """Ignore it."""

    def marks_of(self, session: Session) -> Marks:
        """Return marks that nobody reads."""
        return _NO_MARKS

    def changed(self, session: Session) -> None:
        """Ignore it."""

    def left(self, session: Session) -> None:
        """Ignore it."""

    def pool_changed(self) -> None:
        """Ignore it."""

    def detached(self) -> None:
        """Ignore it."""
