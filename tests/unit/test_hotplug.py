# SPDX-License-Identifier: MIT
"""captured.hotplug: what the kernel's messages say, and how seldom they are read."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from captured import hotplug
from captured.hotplug import NO_NEWS, Hotplug, News, read_news
from tests.support.fakes import VirtualReactor

if TYPE_CHECKING:
    from collections.abc import Iterator

CARD = b"/devices/platform/vkms/drm/card0"


def message(action: bytes, path: bytes, *fields: bytes) -> bytes:
    """Return a uevent as Linux 6.12 sends it."""
    heading = b"%s@%s" % (action, path)
    return b"\0".join(
        (heading, b"ACTION=" + action, b"DEVPATH=" + path, *fields, b"SEQNUM=1", b"")
    )


def of_card(action: bytes, minor: int = 0) -> bytes:
    return message(
        action, b"/devices/platform/vkms/drm/card%d" % minor, b"SUBSYSTEM=drm", b"MAJOR=226",
        b"MINOR=%d" % minor, b"DEVNAME=dri/card%d" % minor, b"DEVTYPE=drm_minor",
    )  # fmt: skip


CONNECTOR = message(b"remove", CARD + b"/card0-DP-3", b"SUBSYSTEM=drm", b"DEVTYPE=drm_connector")
RENDER_NODE = message(
    b"add", b"/devices/platform/vkms/drm/renderD128", b"SUBSYSTEM=drm", b"MAJOR=226", b"MINOR=128"
)
ZERO = frozenset({0})
DISK = message(b"add", b"/devices/x/sda", b"SUBSYSTEM=block", b"MAJOR=8", b"MINOR=0")


@pytest.mark.parametrize(
    ("messages", "news"),
    [
        ([of_card(b"add")], News(added=ZERO)),
        ([of_card(b"remove", 1)], News(removed=frozenset({1}))),
        ([of_card(b"change", 12)], News(changed=frozenset({12}))),
        ([CONNECTOR], News(changed=ZERO)),
        ([RENDER_NODE], NO_NEWS),
        ([DISK], NO_NEWS),
        ([b"", b"\0\0", b"libudev\0\xfe\xed\xca\xfe", b"add@/x"], NO_NEWS),
        ([of_card(b"remove"), of_card(b"add")], News(removed=ZERO, added=ZERO)),
        ([of_card(b"add"), of_card(b"remove")], News(removed=ZERO)),
        ([of_card(b"change"), CONNECTOR, of_card(b"remove")], News(removed=ZERO)),
        ([of_card(b"change"), of_card(b"remove", 1)], News(frozenset({1}), changed=ZERO)),
        ([], NO_NEWS),
    ],
)  # fmt: skip
def test_messages_say_what_came_went_or_changed(messages: list[bytes], news: News) -> None:
    assert read_news(messages) == news


def test_what_changed_of_another_subsystem_is_no_news() -> None:
    assert not read_news([DISK]).is_any


class FakeNetlink:
    """A netlink socket that the test fills; readable while anything is in it."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.waiting: list[bytes | int] = []
        self.sender = 0

    def fileno(self) -> int:
        return self._fd

    def put(self, *messages: bytes | int) -> None:
        """Queue messages; a number is the errno that reading gives."""
        self.waiting.extend(messages)
        os.eventfd_write(self._fd, 1)

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        if not self.waiting:
            os.eventfd_read(self._fd)
            raise BlockingIOError
        found = self.waiting.pop(0)
        if isinstance(found, int):
            raise OSError(found, os.strerror(found))
        return found[:size], (self.sender, 1)

    def close(self) -> None:
        os.close(self._fd)
        self._fd = -1


@pytest.fixture
def netlink(monkeypatch: pytest.MonkeyPatch) -> FakeNetlink:
    made = FakeNetlink()
    monkeypatch.setattr(hotplug, "_listen", lambda: made)
    return made


@pytest.fixture
def reactor() -> Iterator[VirtualReactor]:
    with VirtualReactor() as made:
        yield made


@pytest.fixture
def told(reactor: VirtualReactor, netlink: FakeNetlink) -> Iterator[list[News]]:
    news: list[News] = []
    watch = Hotplug(reactor, news.append)
    yield news
    watch.close()
    watch.close()


def test_a_burst_is_told_once(
    reactor: VirtualReactor, netlink: FakeNetlink, told: list[News]
) -> None:
    netlink.put(of_card(b"add"))
    reactor.advance(0.02)
    netlink.put(of_card(b"change"), CONNECTOR, of_card(b"change"))
    reactor.advance(1)
    assert told == [News(added=ZERO, changed=ZERO)]


def test_a_message_is_told_within_a_tenth_of_a_second(
    reactor: VirtualReactor, netlink: FakeNetlink, told: list[News]
) -> None:
    netlink.put(of_card(b"remove"))
    reactor.advance(0.1)
    assert told == [News(removed=ZERO)]


def test_a_storm_is_told_twice_a_second_at_most(
    reactor: VirtualReactor, netlink: FakeNetlink, told: list[News]
) -> None:
    for _ in range(1000):
        netlink.put(of_card(b"change"))
        reactor.advance(0.002)
    assert 3 <= len(told) <= 5  # two seconds


def test_messages_are_left_alone_until_they_are_due(
    reactor: VirtualReactor, netlink: FakeNetlink, told: list[News]
) -> None:
    netlink.put(*[DISK] * 100)
    reactor.advance(0.02)
    assert len(netlink.waiting) == 100
    reactor.advance(0.1)
    assert (netlink.waiting, told) == ([], [])


def test_what_the_kernel_could_not_keep_is_told(
    reactor: VirtualReactor, netlink: FakeNetlink, told: list[News]
) -> None:
    netlink.put(errno.ENOBUFS, of_card(b"change"))
    reactor.advance(0.1)
    assert told == [News(changed=ZERO, is_incomplete=True)]


def test_what_a_program_sends_is_not_believed(
    reactor: VirtualReactor, netlink: FakeNetlink, told: list[News]
) -> None:
    netlink.sender = 4711
    netlink.put(of_card(b"remove"))
    reactor.advance(1)
    assert told == []


def test_nothing_happens_while_nothing_is_said(
    reactor: VirtualReactor, netlink: FakeNetlink, told: list[News]
) -> None:
    netlink.put(of_card(b"change"))
    reactor.advance(1)
    assert reactor._wait_time(None) == -1  # epoll sleeps for ever


def test_the_kernel_can_be_listened_to_without_privilege(reactor: VirtualReactor) -> None:
    Hotplug(reactor, lambda news: None).close()
