# SPDX-License-Identifier: MIT
"""captured.drm.sealed: nothing is left of a buffer, whatever fails; the fixture counts fds."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from capturectl.errors import CaptureUnsupportedError
from capturectl.fourcc import fourcc_code
from captured.drm import libdrm, sealed
from captured.drm.sealed import SealedFramebuffer
from tests.support.fake_card import FakeCard

if TYPE_CHECKING:
    from collections.abc import Iterator

XR24 = fourcc_code("XR24")
F_SEAL_FUTURE_WRITE = 0x10


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCard]:
    """A card, on a machine with udmabuf."""
    set_machine(monkeypatch, "x86_64")
    monkeypatch.setattr(sealed, "DEVICE", "/dev/null")
    monkeypatch.setattr(libdrm, "ioctl", lambda *_: os.memfd_create("udmabuf"))
    with FakeCard() as made:
        yield made


def set_machine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=name))


def is_empty(card: FakeCard) -> bool:
    return not card.handles and not card.fb_ids


def test_a_closed_buffer_leaves_nothing(card: FakeCard) -> None:
    framebuffer = SealedFramebuffer(card, 640, 480, XR24)
    assert not is_empty(card)
    framebuffer.close()
    framebuffer.close()
    assert is_empty(card)


def test_a_receiver_can_neither_map_nor_write_it(card: FakeCard) -> None:
    with SealedFramebuffer(card, 640, 480, XR24) as framebuffer:
        with pytest.raises(PermissionError):
            mmap.mmap(framebuffer.memfd.fileno(), framebuffer.size)
        with pytest.raises(PermissionError):
            os.pwrite(framebuffer.memfd.fileno(), b"x", 0)


def test_the_memory_of_a_card_that_is_gone_is_let_go(card: FakeCard) -> None:
    framebuffer = SealedFramebuffer(card, 640, 480, XR24)
    card.is_gone = True
    with pytest.raises(OSError, match="GEM_CLOSE") as caught:
        framebuffer.close()
    assert caught.value.errno == errno.ENODEV


def test_memory_that_cannot_be_mapped_is_let_go(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, size: int) -> mmap.mmap:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(OSError, match="memory") as caught:
        SealedFramebuffer(card, 640, 480, XR24)
    assert caught.value.errno == errno.ENOMEM


@pytest.mark.parametrize("ioctl", ["PRIME_FD_TO_HANDLE", "MODE_ADDFB2"])
def test_memory_that_the_driver_does_not_take_is_let_go_with_a_word(
    card: FakeCard, ioctl: str
) -> None:
    card.refusals[f"DRM_IOCTL_{ioctl}"] = errno.EINVAL
    with pytest.raises(CaptureUnsupportedError, match="card0 takes no sealed memory") as caught:
        SealedFramebuffer(card, 640, 480, XR24)
    assert caught.value.code == "no-udmabuf"
    assert is_empty(card)


def test_a_lack_of_memory_is_not_laid_to_the_driver(card: FakeCard) -> None:
    card.refusals["DRM_IOCTL_MODE_ADDFB2"] = errno.ENOMEM
    with pytest.raises(OSError, match="ADDFB2") as caught:
        SealedFramebuffer(card, 640, 480, XR24)
    assert caught.value.errno == errno.ENOMEM
    assert is_empty(card)


@pytest.mark.parametrize("machine", ["aarch64", "armv7l", "riscv64", "mips64"])
def test_where_dma_goes_past_the_caches_there_is_no_sealed_memory(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    set_machine(monkeypatch, machine)
    with pytest.raises(CaptureUnsupportedError, match=machine) as caught:
        SealedFramebuffer(card, 640, 480, XR24)
    assert caught.value.code == "no-udmabuf"
    assert 'memory = "dumb"' in caught.value.hint
    assert is_empty(card)


def test_memory_that_cannot_be_sealed_leaves_no_framebuffer(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = fcntl.fcntl

    def refuse(fd: int, command: int, argument: int = 0) -> Any:
        if argument & F_SEAL_FUTURE_WRITE:
            raise OSError(errno.EINVAL, "Invalid argument")
        return control(fd, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with pytest.raises(OSError, match="Invalid argument") as caught:
        SealedFramebuffer(card, 640, 480, XR24)
    assert caught.value.errno == errno.EINVAL
    assert is_empty(card)


def test_without_udmabuf_the_reason_says_what_it_needs(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "DEVICE", "/dev/null/udmabuf")
    with pytest.raises(CaptureUnsupportedError) as caught:
        SealedFramebuffer(card, 640, 480, XR24)
    assert caught.value.code == "no-udmabuf"
