# SPDX-License-Identifier: MIT
"""captured.drm.borrow: which descriptors are taken for another program's card."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace

import pytest

from capturectl.errors import CaptureUnsupportedError
from capturectl.fd import OwnedFd
from captured.drm.borrow import borrow_card

DRM, NULL = 226, 1  # Documentation/admin-guide/devices.txt


def borrow_node(
    monkeypatch: pytest.MonkeyPatch, fd: int, kind: int, major: int, minor: int
) -> OwnedFd:
    """Borrow a descriptor that looks like one of a node of these numbers."""
    status = SimpleNamespace(st_mode=kind | 0o660, st_rdev=os.makedev(major, minor))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", lambda _: status)
        return borrow_card(str(fd))


@pytest.mark.parametrize("minor", [0, 63])
def test_an_inherited_card_is_the_same_open_file(
    monkeypatch: pytest.MonkeyPatch, minor: int
) -> None:
    with (
        OwnedFd(os.memfd_create("card")) as owner,
        borrow_node(monkeypatch, owner.fileno(), stat.S_IFCHR, DRM, minor) as card,
    ):
        os.lseek(owner.fileno(), 7, os.SEEK_SET)
        assert os.lseek(card.fileno(), 0, os.SEEK_CUR) == 7


@pytest.mark.parametrize(
    ("kind", "major", "minor"),
    [(stat.S_IFCHR, DRM, 128), (stat.S_IFCHR, NULL, 3), (stat.S_IFBLK, DRM, 0)],
    ids=["render node", "null", "disk"],
)
def test_what_is_no_card_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: int, major: int, minor: int
) -> None:
    with (
        OwnedFd(os.memfd_create("other")) as owner,
        pytest.raises(CaptureUnsupportedError, match="it is not an open card") as caught,
    ):
        borrow_node(monkeypatch, owner.fileno(), kind, major, minor)
    assert caught.value.code == "no-share"


def test_a_number_that_is_not_open_is_refused() -> None:
    with pytest.raises(CaptureUnsupportedError, match="Bad file descriptor") as caught:
        borrow_card("1000000")
    assert caught.value.code == "no-share"
