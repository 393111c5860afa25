# SPDX-License-Identifier: MIT
"""Reading what is plugged into a card outside the loop: who probes a display holds locks long."""

from __future__ import annotations

import os

from capturectl.errors import CaptureError
from capturectl.fd import OwnedFd
from capturectl.typed import NamedTuple
from captured import log
from captured.drm.resources import read_plugs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.drm.card import Card
    from captured.drm.resources import Plug
    from captured.reactor import Reactor


class _Wish(NamedTuple):
    card: Card
    probe: bool


class Prober:
    """Reads a card's connectors in a thread, one reading at a time. Open until `close()`.

    A probe reads EDIDs, which takes 100s of milliseconds; and whoever else does so, as a
    compositor does at every hotplug, makes all readers wait.

    Ownership: owns an eventfd; each reading has a descriptor of its own of the card's file.
    Synchronization: the thread touches its wish, `_result` and the eventfd; the loop looks at
    `_result` only after it has heard the eventfd.
    Kernel: drm_probe_helper.c, drm_helper_probe_single_connector_modes, under mode_config.mutex.
    """

    def __init__(
        self,
        reactor: Reactor,
        tell: Callable[[Card, tuple[Plug, ...] | None], None],
        read: Callable[..., tuple[Plug, ...]] = read_plugs,
    ) -> None:
        """Do nothing yet.

        Args:
            reactor: The loop; `tell` is called in it.
            tell: Hears of which card what was read; None when it could not be.
            read: As `read_plugs`.
        """
        self._reactor = reactor
        self._tell = tell
        self._read = read
        self._busy: _Wish | None = None
        self._next: _Wish | None = None
        self._result: tuple[Plug, ...] | None = None
        self._done = OwnedFd(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), "probe")
        reactor.watch(self._done.fileno(), self._finished)

    def ask(self, card: Card, *, probe: bool) -> None:
        """Read a card; while a reading is under way, once more after it.

        Args:
            card: Open; borrowed until this returns.
            probe: Whether displays are asked anew. Not while this card is captured through this
                file: the probe would hold what the captures' commits need.

        Kernel: who is not master is answered with the last knowledge, which is the master's
        (drm_connector.c, drm_mode_getconnector).
        """
        if self._busy is not None:
            self._next = _Wish(card, probe)
            return
        self._start(_Wish(card, probe))

    def _start(self, wish: _Wish) -> None:
        import _thread  # `threading` costs 0.2 MB more, for what is not needed here

        path = wish.card.path
        try:
            own = wish.card.duplicate()
        except OSError as error:
            log.warning("%s cannot be read: %s", path, error.strerror)
            return
        try:
            _thread.start_new_thread(self._work, (own, wish.probe, self._done.fileno()))
        except RuntimeError as error:  # as many as the service may have
            log.warning("%s cannot be read: %s", path, error)
            own.close()
        else:
            self._busy = wish

    def _work(self, card: Card, probe: bool, done: int) -> None:
        try:
            self._result = self._read(card, probe=probe)
        except (OSError, CaptureError):
            self._result = None
        finally:
            card.close()
            os.eventfd_write(done, 1)

    def _finished(self, events: int) -> None:
        os.eventfd_read(self._done.fileno())
        wish, self._busy = self._busy, None
        result, self._result = self._result, None
        again, self._next = self._next, None
        if again is not None and again.card:
            self._start(again)
        if wish is not None and wish.card:
            self._tell(wish.card, result)

    def close(self) -> None:
        """Stop hearing of it. Twice is fine.

        A reading that is under way ends with the process: its thread has the eventfd still.
        """
        if not self._done:
            return
        self._next = None
        self._reactor.unwatch(self._done.fileno())
        if self._busy is None:
            self._done.close()
