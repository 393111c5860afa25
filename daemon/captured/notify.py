# SPDX-License-Identifier: MIT
"""The service manager: what it gave us at the start, and what we tell it.

A datagram and some environment variables, sd_notify(3) and sd_listen_fds(3); no library is needed.
"""

from __future__ import annotations

import _socket as socket  # as in capturectl.transport
import array
import os

from capturectl.fd import OwnedFd
from capturectl.typed import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from captured.backlog import Backlog
    from captured.reactor import Reactor

FIRST_FD = 3
"""SD_LISTEN_FDS_START."""
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE",
              "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")  # fmt: skip
_STORE_SIZE = 512
"""Descriptors that we let the manager keep where it does not say how many it will."""
_MOST_DIGITS = 20
"""Of a number of 64 bits."""


class Holder(Protocol):
    """Has a descriptor that the manager is to keep."""

    def fileno(self) -> int:
        """Lend it.

        Raises:
            CaptureClosedError: It is closed.
        """


class Notifier:
    """Tells the service manager how we are. Without a manager it tells nobody.

    Never waits: a manager that does not listen must not stop the frames. What it does not hear is
    said again, in order, from the loop that `attend` names.

    Ownership: owns its socket; descriptors that are stored stay their holders'.
    """

    def __init__(self, address: str = "") -> None:
        """Talk to a manager.

        Args:
            address: $NOTIFY_SOCKET: a path, or an abstract name after "@". Empty for nobody.
        """
        self._socket: socket.socket | None = None
        self._reactor: Reactor | None = None
        self._backlog: Backlog | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def attend(self, reactor: Reactor) -> None:
        """Say from this loop what was not heard; it is borrowed."""
        self._reactor = reactor
        if self._backlog is not None:
            self._backlog.attend(reactor)

    def tell(self, *assignments: str) -> None:
        """Send one message, once: until it is heard, the same one is not sent again.

        Args:
            assignments: Lines such as "READY=1".
        """
        self._say("\n".join(assignments))

    def ready(self) -> None:
        """The start is done."""
        self.tell("READY=1")

    def stopping(self) -> None:
        """The end begins."""
        self.tell("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in a line how things stand; what was to be said before is not worth it any more."""
        self._say(f"STATUS={text}", key="STATUS")

    def store(self, name: str, holder: Holder) -> None:
        """Let the manager keep a descriptor over our end.

        FDPOLL=0: it would forget a socket whose peer has hung up, and a card that is unplugged,
        and the next of us would not learn what was held.

        Args:
            name: Of nothing else that it keeps.
            holder: Borrowed until it is heard, or `forget`; once closed, there is nothing to keep.
        """
        self._say(_storing(name), holder)

    def forget(self, name: str) -> None:
        """Let the manager close what it keeps under a name."""
        if self._backlog is None or not self._backlog.cancel(_storing(name)):
            self.tell("FDSTOREREMOVE=1", f"FDNAME={name}")

    def when_heard(self, callback: Callable[[], None], patience_s: float) -> None:
        """Call back once all was heard, or after so many seconds; at once where it was."""
        if self._backlog:
            self._backlog.when_heard(callback, patience_s)
        else:
            callback()

    def _say(self, text: str, holder: Holder | None = None, *, key: str = "") -> None:
        if self._socket is None:
            return
        if not self._backlog:
            try:
                self._send(text, holder)
            except OSError:
                pass  # whoever says it again says why
            else:
                return
        self._put_off(key or text, text, holder)

    def _put_off(self, key: str, text: str, holder: Holder | None) -> None:
        if self._backlog is None:
            from captured.backlog import Backlog  # a manager that listens needs none

            self._backlog = Backlog(self._send)
            if self._reactor is not None:
                self._backlog.attend(self._reactor)
        self._backlog.add(key, text, holder)

    def _send(self, text: str, holder: Holder | None) -> None:
        if self._socket is None:
            return
        fds = array.array("i", [] if holder is None else [holder.fileno()])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
        self._socket.sendmsg([text.encode()], rights, 0, self._address)

    def close(self) -> None:
        """Tell nobody any more. Twice is fine."""
        sock, self._socket = self._socket, None
        if self._backlog is not None:
            self._backlog.close()
        if sock is not None:
            sock.close()


def _storing(name: str) -> str:
    return f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0"


class Received(NamedTuple):
    """What the service manager gave us."""

    notifier: Notifier
    fds: list[OwnedFd]
    """In order; the name of each is its FDNAME. Owned by whoever asked."""
    watchdog_s: float
    """We are killed when the manager hears nothing for so long; 0: never."""
    store_size: int
    """How many descriptors it keeps."""


def receive(environment: MutableMapping[str, str] = os.environ) -> Received:
    """Take over what the manager gave, once: the variables are gone after that.

    Programs that we start must not take them for theirs.
    """
    found = {name: environment.pop(name, "") for name in _VARIABLES}
    watches_us = found["WATCHDOG_PID"] in {"", str(os.getpid())}
    microseconds = _number(found, "WATCHDOG_USEC") if watches_us else 0
    return Received(
        Notifier(found["NOTIFY_SOCKET"]),
        list(_received_fds(found)),
        microseconds / 1e6,
        _number(found, "FDSTORE", _STORE_SIZE),
    )


def _number(found: dict[str, str], name: str, default: int = 0) -> int:
    """Return what a variable says, or the default when that is nothing, or no number."""
    text = found[name]
    if text.isdecimal() and len(text) <= _MOST_DIGITS:
        return int(text)
    if text:
        from captured import log  # managers know what a number is

        log.warning("%s=%s does not count: it is no number", name, text)
    return default


def _received_fds(found: dict[str, str]) -> list[OwnedFd]:
    if found["LISTEN_PID"] != str(os.getpid()):
        return []
    count = _number(found, "LISTEN_FDS")
    names = found["LISTEN_FDNAMES"].split(":") if found["LISTEN_FDNAMES"] else []
    fds = []
    for place in range(count):
        os.set_inheritable(FIRST_FD + place, False)
        fds.append(OwnedFd(FIRST_FD + place, names[place] if place < len(names) else "unknown"))
    return fds


class Watchdog:
    """Says that the loop turns, from the loop itself: one that hangs says nothing.

    Borrows the loop and the notifier.
    """

    def __init__(
        self, reactor: Reactor, notifier: Notifier, limit_s: float, also: Callable[[], None]
    ) -> None:
        """Speak twice as often as is wanted.

        Args:
            reactor: The loop.
            notifier: To the manager.
            limit_s: How long the manager waits; 0 when it does not.
            also: Called at each turn.
        """
        self._reactor = reactor
        self._notifier = notifier
        self._gap_s = limit_s / 2
        self._also = also
        if limit_s:
            self._tick()

    def _tick(self) -> None:
        self._notifier.tell("WATCHDOG=1")
        self._also()
        self._reactor.call_later(self._gap_s, self._tick)
