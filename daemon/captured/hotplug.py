# SPDX-License-Identifier: MIT
"""What the kernel says of cards that come and go, and of what is plugged into them."""

from __future__ import annotations

import _socket as socket  # as in capturectl.transport
import errno

from capturectl.typed import NamedTuple
from captured.capture.alarm import Alarm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from captured.reactor import Reactor


_NETLINK_KOBJECT_UEVENT = 15  # Kernel: include/uapi/linux/netlink.h
_FROM_KERNEL = 1
"""The group that the kernel itself tells. Group 2 is udevd's, in its own network alone."""
_LONGEST = 8192  # Kernel: include/linux/kobject.h, UEVENT_BUFFER_SIZE, and the heading
_MOST_AT_ONCE = 1024
_SETTLE_S = 0.05
"""A card that comes, goes or is plugged sends several messages; they are read together."""
_GAP_S = 0.5
"""Between two readings that said something, whatever the kernel sends meanwhile."""
_CARD = b"/drm/card"
"""Kernel: a card is named by its minor (drm_sysfs.c, drm_sysfs_minor_alloc)."""


class News(NamedTuple):
    """What some messages together say of cards, by minor."""

    removed: frozenset[int] = frozenset()
    """Cards that went; they may have come again since."""
    added: frozenset[int] = frozenset()
    """Cards that came, and have not gone since."""
    changed: frozenset[int] = frozenset()
    """Cards where something was plugged in or out, or has other modes; not those that went."""
    is_incomplete: bool = False
    """Whether there were more messages than the kernel kept: anything may have happened."""

    @property
    def is_any(self) -> bool:
        """Whether they say anything."""
        return self != NO_NEWS

    @property
    def may_bring(self) -> bool:
        """Whether a card may be there that was not before."""
        return bool(self.added or self.changed or self.is_incomplete)


NO_NEWS = News()


def read_news(messages: Iterable[bytes]) -> News:
    """Return what the kernel's messages say of cards; those of other subsystems say nothing.

    Kernel: lib/kobject_uevent.c: "ACTION@DEVPATH", NUL, then KEY=VALUE, each with its NUL.
    drm_sysfs.c, drm_sysfs_hotplug_event sends "change" for the card. Connectors come and go
    below their card: with it, or alone with MST.
    """
    removed, added, changed = set[int](), set[int](), set[int]()
    for message in messages:
        fields = dict(field.partition(b"=")[::2] for field in message.split(b"\0")[1:])
        below_card = fields.get(b"DEVPATH", b"").partition(_CARD)[2]
        number, is_connector, _ = below_card.partition(b"/")
        if fields.get(b"SUBSYSTEM") != b"drm" or not number.isdigit():
            continue
        minor = int(number)
        action = b"change" if is_connector else fields.get(b"ACTION")
        if action == b"remove":
            removed.add(minor)
            added.discard(minor)
            changed.discard(minor)
        elif action == b"add":
            added.add(minor)
        else:
            changed.add(minor)
    return News(frozenset(removed), frozenset(added), frozenset(changed))


class Hotplug:
    """Tells of cards and connectors, at most some times a second. Open until `close()`.

    After a message the socket is left alone until the next reading is due, so a storm of them
    costs the loop one wake-up a reading; what the kernel cannot keep meanwhile is told as
    `is_incomplete`.

    Ownership: owns its netlink socket, borrows the loop.
    Kernel: uevents reach every network namespace of the initial user namespace, private ones
    included, and need no privilege to be heard.
    """

    def __init__(self, reactor: Reactor, tell: Callable[[News], None]) -> None:
        """Listen.

        Args:
            reactor: The loop that watches.
            tell: Hears of what happened.

        Raises:
            OSError: EAFNOSUPPORT where the service manager allows no AF_NETLINK.
        """
        self._reactor = reactor
        self._tell = tell
        self._told_ns = 0
        self._alarm = Alarm(reactor, self._read)
        self._socket = _listen()
        self._watch()

    def _watch(self) -> None:
        self._reactor.watch(self._socket.fileno(), self._heard)

    def _heard(self, events: int) -> None:
        self._reactor.unwatch(self._socket.fileno())
        settled_ns = self._reactor.now_ns() + round(_SETTLE_S * 1e9)
        self._alarm.set_at(max(settled_ns, self._told_ns + round(_GAP_S * 1e9)))

    def _read(self) -> None:
        messages: list[bytes] = []
        is_complete = self._receive(messages)
        news = read_news(messages)._replace(is_incomplete=not is_complete)
        self._watch()
        if news.is_any:
            self._told_ns = self._reactor.now_ns()
            self._tell(news)

    def _receive(self, messages: list[bytes]) -> bool:
        """Take what is waiting; return whether that is all there was."""
        is_complete = True
        for _ in range(_MOST_AT_ONCE):
            try:
                message, (sender, _group) = self._socket.recvfrom(_LONGEST)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                is_complete = False
                continue
            if sender == 0:  # the kernel; a program's number is its own
                messages.append(message)
        return is_complete

    def close(self) -> None:
        """Stop listening. Twice is fine."""
        self._alarm.clear()
        if self._socket.fileno() >= 0:
            self._reactor.unwatch(self._socket.fileno())
            self._socket.close()


def _listen() -> socket.socket:
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    found = socket.socket(socket.AF_NETLINK, kind, _NETLINK_KOBJECT_UEVENT)
    try:
        found.bind((0, _FROM_KERNEL))
    except BaseException:
        found.close()
        raise
    return found
