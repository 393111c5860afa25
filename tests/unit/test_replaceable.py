# SPDX-License-Identifier: MIT
"""captured.capture.replaceable: a source that goes with its card."""

from __future__ import annotations

import errno

import pytest

from capturectl.errors import CaptureUnsupportedError
from capturectl.protocol import Source as SourceKind
from captured.capture.replaceable import ReplaceableSource
from captured.capture.source import NO_VBLANK, Vblank
from tests.support.fakes import GEOMETRY, START_NS, FakeMemory, FakeSource

NO_CARD = CaptureUnsupportedError("there is no card", code="no-card")


class Socket:
    """A replaceable source, and what it has said of deaths."""

    def __init__(self) -> None:
        self.deaths: list[Exception] = []
        self.source = ReplaceableSource(SourceKind.WRITEBACK, NO_CARD, self.deaths.append)


@pytest.fixture
def socket() -> Socket:
    return Socket()


def test_without_a_source_attaching_says_why(socket: Socket) -> None:
    with pytest.raises(CaptureUnsupportedError) as caught:
        socket.source.attach()
    assert caught.value is NO_CARD
    assert not socket.source.is_attached


def test_without_a_source_nothing_else_is_an_error(socket: Socket) -> None:
    socket.source.detach()
    assert socket.source.flip_fd() is None
    assert socket.source.vblank_of(1) == NO_VBLANK


def test_it_does_what_the_source_does_that_was_put_in(socket: Socket) -> None:
    inner = FakeSource()
    socket.source.put(inner)
    assert socket.source.attach() == GEOMETRY
    assert socket.source.is_attached
    memory = socket.source.allocate()
    fence = socket.source.commit(memory, 1)
    assert inner.jobs[0].memory is memory
    assert socket.source.vblank_of(1) == Vblank(7001, START_NS + 1)
    fence.close()
    memory.close()
    socket.source.detach()
    assert not inner.is_attached


def test_the_next_source_takes_the_place_of_the_one_before(socket: Socket) -> None:
    first, second = FakeSource(), FakeSource()
    socket.source.put(first)
    socket.source.take_out(NO_CARD)
    socket.source.put(second)
    socket.source.attach()
    assert (first.attach_count, second.attach_count) == (0, 1)


def test_the_reason_for_the_lack_may_change(socket: Socket) -> None:
    socket.source.take_out(CaptureUnsupportedError("no right", code="not-allowed"))
    with pytest.raises(CaptureUnsupportedError, match="no right"):
        socket.source.attach()


@pytest.mark.parametrize("code", [errno.ENODEV, errno.ENXIO])
def test_an_error_of_a_card_that_is_gone_is_told_and_raised(socket: Socket, code: int) -> None:
    inner = FakeSource()
    inner.is_attached = True
    inner.commit_error = inner.attach_error = OSError(code, "gone")
    socket.source.put(inner)
    memory = FakeMemory()
    with pytest.raises(OSError, match="gone"):
        socket.source.commit(memory, 1)
    with pytest.raises(OSError, match="gone"):
        socket.source.attach()
    memory.close()
    assert socket.deaths == [inner.commit_error, inner.attach_error]


def test_another_error_is_raised_alone(socket: Socket) -> None:
    inner = FakeSource()
    inner.attach_error = OSError(errno.EINVAL, "no")
    socket.source.put(inner)
    with pytest.raises(OSError, match="no"):
        socket.source.attach()
    assert socket.deaths == []


def test_a_refusal_because_the_card_is_gone_is_told_as_well(socket: Socket) -> None:
    inner = FakeSource()
    inner.attach_error = CaptureUnsupportedError("the driver refuses", code="attach-refused")
    inner.attach_error.__cause__ = OSError(errno.ENODEV, "No such device")
    socket.source.put(inner)
    with pytest.raises(CaptureUnsupportedError, match="the driver refuses"):
        socket.source.attach()
    assert socket.deaths == [inner.attach_error]


def test_a_lack_that_is_known_is_no_death(socket: Socket) -> None:
    gone = CaptureUnsupportedError("gone", code="no-card")
    gone.__cause__ = OSError(errno.ENODEV, "No such device")
    socket.source.take_out(gone)
    memory = FakeMemory()
    with pytest.raises(CaptureUnsupportedError):
        socket.source.attach()
    with pytest.raises(CaptureUnsupportedError):
        socket.source.commit(memory, 1)
    memory.close()
    assert socket.deaths == []
