# SPDX-License-Identifier: MIT
"""Which card is open: opened when it comes, let go of when it goes."""

from __future__ import annotations

import contextlib

from capturectl.errors import CaptureError, CaptureLostError, CaptureUnsupportedError
from capturectl.typed import Protocol
from captured import log
from captured.capture.alarm import Alarm
from captured.capture.replaceable import is_gone
from captured.cards import open_card
from captured.drm.borrow import borrow_card
from captured.hotplug import Hotplug
from captured.probe import Prober

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.config import Config
    from captured.drm.card import Card
    from captured.drm.resources import Plug
    from captured.hotplug import News
    from captured.reactor import Reactor


_FIRST_RETRY_S, _LAST_RETRY_S = 0.1, 6.4
"""A new card's node is root's alone until udev has given it to its group. The kernel's next
message begins anew."""
_UNTOLD_RETRY_S = 2.0
"""Where the kernel's messages are not heard, a card that is missing is looked for so often."""


class CardUser(Protocol):
    """Whoever captures with the card."""

    @property
    def is_capturing(self) -> bool:
        """Whether commits are under way that a probe would hold up."""

    def card_came(self, card: Card) -> None:
        """Use a card from now on; borrowed until `card_went`.

        Raises:
            CaptureError: There is nothing on it to capture; it may be plugged in later.
            OSError: The card is gone already.
        """

    def card_went(self, problem: CaptureError) -> None:
        """Use it no more, and say why when asked. Again and without a card it is fine."""

    def connectors_read(self, plugs: tuple[Plug, ...]) -> None:
        """Hear what is plugged into the card, after something has changed."""


class CardWatch:
    """Keeps one card open for its user, whenever there is one. Open until `close()`.

    Ownership: owns the card, whether opened here or handed in; borrows the loop and the user.
    """

    def __init__(self, settings: Config, reactor: Reactor, user: CardUser) -> None:
        """Do nothing yet; `start` opens."""
        self._settings = settings
        self._reactor = reactor
        self._user = user
        self._card: Card | None = None
        self._is_fit = False
        """Whether the user has found on the card what it looks for."""
        self._was_shared = False
        self._death: Exception | None = None
        self._hotplug: Hotplug | None = None
        self._prober = Prober(reactor, self._connectors_read)
        self._retry = Alarm(reactor, self._try_again)
        self._retry_s = _FIRST_RETRY_S

    @property
    def card(self) -> Card | None:
        """The card that is open; None while there is none. Borrowed."""
        return self._card

    def start(self, card: Card | None = None) -> None:
        """Open the card that the settings name, or take one that is open.

        Args:
            card: With the client capabilities enabled; owned from here on.

        Raises:
            CaptureError: There is none, or none of use; and the settings say not to wait.
        """
        self._hotplug = self._listen()  # first, so that no card comes in between
        try:
            self._use(card or self._open())
        except (CaptureError, OSError) as error:
            if self._settings.missing != "wait":
                raise
            self._lack(error)

    def _listen(self) -> Hotplug | None:
        try:
            return Hotplug(self._reactor, self._heard)
        except OSError as error:
            log.warning("hotplug is not noticed: %s (allow AF_NETLINK)", error.strerror)
            return None

    # -- coming -------------------------------------------------------------------------------

    def _open(self) -> Card:
        settings = self._settings
        card = open_card(settings.card)
        try:
            if settings.share:
                self._share(card, settings.share)
        except BaseException:
            card.close()
            raise
        return card

    def _share(self, card: Card, where: str) -> None:
        # An inherited descriptor is of the card that went; another process may have a new one.
        if self._was_shared and ":" not in where:
            raise CaptureUnsupportedError(
                f"the card that was shared as {where} is gone",
                "start the daemon again with another", code="no-share",
            )  # fmt: skip
        card.share(borrow_card(where))
        self._was_shared = True

    def _use(self, card: Card) -> None:
        self._card, self._is_fit = card, False
        self._user.card_came(card)
        self._is_fit = True

    def _try_again(self) -> None:
        try:
            self._use(self._card or self._open())
        except (CaptureError, OSError) as error:
            self._lack(error)

    def _lack(self, error: CaptureError | OSError) -> None:
        """Go on without a card, or without anything on it that could be captured."""
        if self._card is not None and is_gone(error):
            self._let_go(error)
        self._user.card_went(_problem_of(error))
        self._try_later()

    def _try_later(self) -> None:
        if self._hotplug is None:
            self._retry.set_in(_UNTOLD_RETRY_S)
        elif self._card is None and self._retry_s <= _LAST_RETRY_S:
            self._retry.set_in(self._retry_s)
            self._retry_s *= 2

    # -- going --------------------------------------------------------------------------------

    def card_died(self, error: Exception) -> None:
        """Hear from anywhere that the card does not answer any more; acts in the next turn."""
        if self._death is None:
            self._death = error
            self._reactor.call_later(0, self._bury)

    def _bury(self) -> None:
        error, self._death = self._death, None
        if self._card is not None and error is not None:
            self._let_go(error)
            self._try_later()  # nobody has said that it is being removed

    def _let_go(self, error: Exception | None = None) -> None:
        """Close the card: a driver waits for that before it can be unloaded."""
        card, self._card = self._card, None
        self._death = None  # of this one; another may come before the next turn
        if card is None:
            return
        card.removed()
        log.warning("%s is gone", card.path)
        gone = CaptureUnsupportedError(
            f"{card.path} is gone", "it is captured again when it is back", code="no-card"
        )
        gone.__cause__ = error
        try:
            self._user.card_went(gone)
        finally:
            card.close()
        if self._hotplug is None:
            self._retry.set_in(_UNTOLD_RETRY_S)

    # -- hearing ------------------------------------------------------------------------------

    def _heard(self, news: News) -> None:
        card = self._card
        if card is not None and (card.minor in news.removed or not _answers(card)):
            self._let_go()
        if self._card is not None:
            if self._card.minor in news.changed or news.is_incomplete:
                self._prober.ask(self._card, probe=not self._user.is_capturing)
        elif news.may_bring:
            self._retry_s = _FIRST_RETRY_S
            self._try_again()

    def _connectors_read(self, card: Card, plugs: tuple[Plug, ...] | None) -> None:
        if card is not self._card:
            return
        if plugs is None:
            if not _answers(card):
                self._let_go()
        elif self._is_fit:
            self._user.connectors_read(plugs)
        else:
            self._try_again()

    def close(self) -> None:
        """Close the card; its user must be done with it. Twice is fine."""
        self._retry.clear()
        self._prober.close()
        if self._hotplug is not None:
            self._hotplug.close()
        card, self._card = self._card, None
        if card is not None:
            card.close()


def _answers(card: Card) -> bool:
    with contextlib.suppress(OSError):
        card.capability(0)
        return True
    return False


def _problem_of(error: CaptureError | OSError) -> CaptureError:
    if isinstance(error, CaptureError):
        return error
    name = error.filename or "the card"
    if is_gone(error):
        return CaptureUnsupportedError(
            f"{name} does not answer", "it is captured again when it is back", code="no-card"
        )
    return CaptureLostError(f"{name}: {error.strerror}", "is it gone?")
