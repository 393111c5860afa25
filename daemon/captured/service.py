# SPDX-License-Identifier: MIT
"""This daemon as a service: what its manager hears of it, and keeps for the next one."""

from __future__ import annotations

import os

from captured import notify
from captured.handover import estate
from captured.handover.keeper import STATE, Keeper
from captured.handover.state import State
from captured.handover.succession import succeed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capturectl.fd import OwnedFd
    from captured.capture.alarm import Cancellable
    from captured.handover.succession import Output
    from captured.reactor import Reactor
    from captured.server.hub import Hub

_IDLE_S = 1.0
"""So long after the start the loop has time for what that left out."""
_STATUS_GAP_S = 1.0
_PATIENCE_S = 5.0
"""How long a manager that must hear something before we leave may take to listen."""


class Service:
    """The ties to the service manager; without one, a daemon that was started by hand.

    Ownership: owns what the manager gave until it is taken, and the state that is kept.
    """

    def __init__(self, received: notify.Received) -> None:
        """Take over what the manager gave.

        Args:
            received: Its descriptors are owned from here on.
        """
        self.notifier = received.notifier
        self._received = received
        self.listening, self.estate = estate.sort(received.fds, received.notifier)
        random = int.from_bytes(os.urandom(8), "little")
        self.instance = self.estate.state.instance if self.estate else random
        self._keeper: Keeper | None = None
        self._status: StatusLine | None = None

    @property
    def is_kept(self) -> bool:
        """Whether a next daemon may go on where this one stops.

        Decision 0016: that the unit lets the manager keep nothing cannot be seen.
        """
        return self._keeper is not None

    def take_socket(self) -> OwnedFd | None:
        """Give the activation socket away, if there is one."""
        return self.listening.pop(0) if self.listening else None

    def begin(self, output: Output, hub: Hub) -> bool:
        """Go on where a former daemon stopped, or start afresh; and keep it for the next one.

        Returns:
            Whether clients wait for the start to be over.
        """
        former, self.estate = self.estate, None
        if self.notifier:
            self.notifier.attend(hub.reactor)
            state = former.state if former else State.create(self.instance)
            size = self._received.store_size
            self._keeper = hub.keeper = Keeper(state, self.notifier, size, output.keep)
            output.stream.engine.ledger = state
        if former and self._keeper:
            succeed(former, output, hub, self._keeper)
            former.close()
        else:
            output.start()
        return bool(hub.sessions)

    def ready(self, reactor: Reactor, hub: Hub, describe: Callable[[], str]) -> None:
        """Say that clients are served from now on, and keep saying how things stand."""
        if not self.notifier:
            return
        self._status = StatusLine(reactor, self.notifier, describe)
        hub.on_change = self._status.touch
        self._status.touch()
        self.notifier.ready()
        if self._keeper is not None:
            self._keeper.state.succeeded()
        notify.Watchdog(reactor, self.notifier, self._received.watchdog_s, self._status.touch)
        reactor.call_later(_IDLE_S, _load_the_rest)

    def ask_whether_restart(self, reactor: Reactor, answered: Callable[[bool], None]) -> None:
        """Find out what the end that is asked for is for; call back with it."""
        self.notifier.stopping()
        if not self.is_kept:
            answered(False)
        else:
            from captured.handover.stop import StopQuestion  # a start has no time for it

            StopQuestion(reactor, lambda is_restart: self._pass_on(is_restart, answered))

    def _pass_on(self, is_restart: bool, answered: Callable[[bool], None]) -> None:
        """Call back with the answer, before a restart not until all is stored that can be."""
        if is_restart:
            self.notifier.when_heard(lambda: answered(True), _PATIENCE_S)
        else:
            answered(False)

    def forget(self) -> None:
        """Keep nothing for a next daemon."""
        if self._keeper is not None:
            self.notifier.forget(STATE)

    def close(self) -> None:
        """Untie. Twice is fine."""
        for fd in self.listening:
            fd.close()
        if self._keeper is not None:
            self._keeper.close()
        self.notifier.close()


def _load_the_rest() -> None:
    """Load what only the end needs, and a manager that does not listen.

    A start has no time for it, and at the end the files may be those of another version.
    """
    import captured.backlog
    import captured.handover.stop  # noqa: F401 - loaded is what it should be


class StatusLine:
    """What `systemctl status` shows: sent when it has changed, and at most once a second.

    Borrows the loop and the notifier.
    """

    def __init__(
        self, reactor: Reactor, notifier: notify.Notifier, describe: Callable[[], str]
    ) -> None:
        """Show nothing yet."""
        self._reactor = reactor
        self._notifier = notifier
        self._describe = describe
        self._shown = ""
        self._rests_until_ns = 0
        self._timer: Cancellable | None = None

    def touch(self) -> None:
        """It may have changed."""
        if self._timer is None:
            self._timer = self._reactor.call_at(self._rests_until_ns, self._show)

    def _show(self) -> None:
        self._timer = None
        text = self._describe()
        if text != self._shown:
            self._shown = text
            self._rests_until_ns = self._reactor.now_ns() + round(_STATUS_GAP_S * 1e9)
            self._notifier.status(text)
