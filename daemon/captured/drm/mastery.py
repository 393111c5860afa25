# SPDX-License-Identifier: MIT
"""Being the master of a card for as long as that is needed, and saying who else is."""

from __future__ import annotations

import contextlib

from capturectl.errors import CaptureBusyError, CaptureError
from captured import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from captured.drm.card import Card


class Mastery:
    """Whether a card's file is its master: only while its owner wants that.

    A file that was kept is master from the start, until `leave()`.

    Ownership: borrows the card. One owner decides for a card.
    Kernel: drivers/gpu/drm/drm_auth.c.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._is_master = card.is_kept

    def take(self) -> None:
        """Become master, or stay it.

        Raises:
            CaptureBusyError: Another program is; the hint says which.
            OSError: Any errno but EBUSY and EACCES.
        """
        try:
            self._card.take_master()
        except CaptureBusyError as error:
            raise another_master(self._card.path) from error
        self._is_master = True

    def leave(self) -> None:
        """Stop being master; a card that is gone is left alone, with a warning. Twice is fine."""
        if self._is_master:
            self._is_master = False
            unless_gone(self._card.path, self._card.drop_master)

    @contextlib.contextmanager
    def for_a_moment(self) -> Iterator[None]:
        """Be master within, and after it whatever was before; errors as of `take`."""
        was_master = self._is_master
        self.take()
        try:
            yield
        finally:
            if not was_master:
                self.leave()

    def other_master(self) -> CaptureError | None:
        """Say who else is master, if anybody is; by asking to be it for a moment."""
        if self._card.is_shared:
            return None
        try:
            with self.for_a_moment():
                return None
        except CaptureError as error:
            return error


def another_master(path: str) -> CaptureBusyError:
    """Return the error that names the program that is master of a card."""
    return CaptureBusyError(f"{path} has another master", master_hint(path), code="another-master")


def master_hint(path: str) -> str:
    """Say who holds a card, and what to do about it."""
    from captured.drm import masters  # seldom asked for

    holder = masters.find_master(path)
    who = str(holder) if holder else "another program"
    return f"{who} holds it; stop it, or let it share the card with the daemon"


def unless_gone(name: str, step: Callable[[], None]) -> None:
    """Do one step of tidying up; the card may be gone, or another's, by now."""
    try:
        step()
    except CaptureError as error:
        log.warning("%s: cannot tidy up: %s", name, error)
    except OSError as error:
        log.warning("%s: cannot tidy up: %s", name, error.strerror)
