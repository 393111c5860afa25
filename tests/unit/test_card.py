# SPDX-License-Identifier: MIT
"""captured.drm.card: an open file, which a former process may have been master through."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureUnsupportedError
from capturectl.fd import OwnedFd
from captured.drm import libdrm, uapi
from captured.drm.atomic import AtomicReq
from captured.drm.card import Card
from tests.support.fake_card import FakeCard

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def card() -> Iterator[FakeCard]:
    """A file that was kept: the kernel lets nobody drop what another process became."""
    with FakeCard(is_kept=True) as made:
        made.refusals["DRM_IOCTL_DROP_MASTER"] = errno.EACCES
        made.refusals["DRM_IOCTL_SET_MASTER"] = errno.EACCES
        yield made


def test_a_kept_file_is_master_without_asking(card: FakeCard) -> None:
    card.take_master()


def test_a_kept_file_is_given_up_for_a_new_one(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Card, "open", lambda _path: FakeCard())
    before = card.fileno()
    card.drop_master()
    assert card.fileno() != before
    assert not card.is_kept


def test_a_kept_file_stays_master_until_there_is_a_new_one(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> Card:
        raise CaptureUnsupportedError(f"{path} does not exist", code="no-card")

    monkeypatch.setattr(Card, "open", refuse)
    for _ in range(2):
        with pytest.raises(CaptureUnsupportedError):
            card.drop_master()
        card.take_master()


def test_a_duplicate_is_the_same_open_file_with_an_end_of_its_own() -> None:
    with Card(OwnedFd(os.memfd_create("card"), "card"), "/dev/dri/card0") as card:
        with card.duplicate() as other:
            os.lseek(card.fileno(), 7, os.SEEK_SET)
            assert os.lseek(other.fileno(), 0, os.SEEK_CUR) == 7
            assert other.path == "/dev/dri/card0"
        assert not other
        assert card


def test_a_kernel_without_writeback_connectors_is_not_taken_for_a_driver_without_modesetting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def set_cap(_: uapi.Request, argument: uapi.ClientCapability) -> None:
        if argument.capability == 5:  # DRM_CLIENT_CAP_WRITEBACK_CONNECTORS
            raise OSError(errno.EINVAL, "Invalid argument")

    with FakeCard() as card:
        monkeypatch.setattr(card, "ioctl", set_cap)
        with pytest.raises(CaptureUnsupportedError, match="knows no writeback") as caught:
            card.enable_client_capabilities()
    assert caught.value.code == "no-writeback"


def test_nothing_reaches_the_driver_of_a_card_that_was_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached: list[str] = []
    monkeypatch.setattr(libdrm, "ioctl", lambda _fd, request, *_: reached.append(request.name))
    with Card(OwnedFd(os.memfd_create("card"), "card"), "/dev/dri/card0") as card:
        card.ioctl(uapi.DROP_MASTER)
        card.removed()
        with pytest.raises(OSError, match="No such device") as caught:
            card.ioctl(uapi.DROP_MASTER)
        assert caught.value.errno == errno.ENODEV
        with pytest.raises(OSError, match="No such device") as caught:
            AtomicReq(card).commit()
        assert caught.value.errno == errno.ENODEV
    assert reached == ["DRM_IOCTL_DROP_MASTER"]
