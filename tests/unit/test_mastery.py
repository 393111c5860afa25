# SPDX-License-Identifier: MIT
"""captured.drm.mastery: who is master, for how long, and who is told of another."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureBusyError
from capturectl.fd import OwnedFd
from captured.drm import masters
from captured.drm.card import Card
from captured.drm.masters import Holder
from captured.drm.mastery import Mastery, master_hint
from tests.support.fake_card import FakeCard

if TYPE_CHECKING:
    from collections.abc import Iterator

SET_MASTER = "DRM_IOCTL_SET_MASTER"


@pytest.fixture
def card() -> Iterator[FakeCard]:
    with FakeCard() as made:
        yield made


@pytest.fixture
def mastery(card: FakeCard) -> Mastery:
    return Mastery(card)


def has_master(card: FakeCard, monkeypatch: pytest.MonkeyPatch, holder: Holder | None) -> None:
    """Let another program be the card's master."""
    card.refusals[SET_MASTER] = errno.EBUSY
    monkeypatch.setattr(masters, "find_master", lambda _path: holder)


def test_nobody_is_master_without_need(card: FakeCard, mastery: Mastery) -> None:
    assert not card.is_master


def test_a_moment_ends_as_it_began(card: FakeCard, mastery: Mastery) -> None:
    with mastery.for_a_moment():
        assert card.is_master
    assert not card.is_master


def test_a_moment_that_fails_ends_as_well(card: FakeCard, mastery: Mastery) -> None:
    with pytest.raises(KeyError), mastery.for_a_moment():
        raise KeyError
    assert not card.is_master


def test_a_moment_takes_nothing_from_who_is_master_for_longer(
    card: FakeCard, mastery: Mastery
) -> None:
    mastery.take()
    with mastery.for_a_moment():
        pass
    assert card.is_master
    mastery.leave()
    assert not card.is_master


def test_leaving_twice_asks_the_card_once(card: FakeCard, mastery: Mastery) -> None:
    mastery.take()
    mastery.leave()
    card.is_gone = True
    mastery.leave()


def test_a_kept_file_is_master_until_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Card, "open", lambda _path: FakeCard())
    with FakeCard(is_kept=True) as card:
        mastery = Mastery(card)
        with mastery.for_a_moment():
            pass
        assert card.is_kept
        mastery.leave()
        assert not card.is_kept


def test_a_card_that_is_gone_is_left_with_a_warning(
    card: FakeCard, mastery: Mastery, capsys: pytest.CaptureFixture[str]
) -> None:
    mastery.take()
    card.is_gone = True
    mastery.leave()
    assert "No such device" in capsys.readouterr().err


def test_another_master_is_named(
    card: FakeCard, mastery: Mastery, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_master(card, monkeypatch, Holder(1234, "weston", is_master=True))
    with pytest.raises(CaptureBusyError) as caught:
        mastery.take()
    assert caught.value.code == "another-master"
    assert caught.value.hint.startswith("weston (pid 1234) holds it")
    found = mastery.other_master()
    assert found
    assert found.as_dict() == caught.value.as_dict()


def test_a_master_whom_nobody_can_name_is_another_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(masters, "find_master", lambda _path: None)
    assert master_hint("/dev/dri/card0").startswith("another program holds it")


def test_there_is_no_other_master_of_a_free_card(card: FakeCard, mastery: Mastery) -> None:
    assert mastery.other_master() is None
    assert not card.is_master


def test_the_owner_of_a_shared_card_is_no_other_master(card: FakeCard, mastery: Mastery) -> None:
    card.share(OwnedFd(card.fileno(), "owner").duplicate())
    card.refusals[SET_MASTER] = errno.EBUSY
    assert mastery.other_master() is None
