# SPDX-License-Identifier: MIT
"""captured.drm.proof: what is asked of the driver, and what its refusals mean."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureBusyError, CaptureUnsupportedError, OutputOffError
from capturectl.fd import OwnedFd
from capturectl.fourcc import fourcc_code
from captured.drm import resources, uapi
from captured.drm.proof import choose_fourcc, prove_clone, prove_picture
from captured.drm.route import choose_route
from tests.support import topology
from tests.support.fake_card import FakeCard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from captured.drm.resources import Resources

ATOMIC = "DRM_IOCTL_MODE_ATOMIC"
TEST_WITH_MODESET = 0x500
CRTC_ID, WRITEBACK_FB_ID = 1000, 1001


def fourccs(*names: str) -> tuple[int, ...]:
    return tuple(map(fourcc_code, names))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCard]:
    """A card whose writeback connector writes XR24."""
    monkeypatch.setattr(resources, "writeback_fourccs", lambda *_: fourccs("XR24"))
    with FakeCard() as made:
        yield made


def prove(card: FakeCard, found: Resources, wanted: int = 0) -> tuple[int, ...]:
    return prove_clone(card, found, choose_route(found), wanted)


# -- the pixel format ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "chosen"),
    [
        (("RG16", "AR24", "XR24"), "XR24"),
        (("AR24", "RG16"), "AR24"),
        (("RG16", "XR48"), "RG16"),
        (("NV12", "XR48"), "XR48"),
    ],
)
def test_without_a_wish_the_best_known_format_is_taken(
    listed: tuple[str, ...], chosen: str
) -> None:
    assert choose_fourcc("Writeback-1", fourccs(*listed), 0) == fourcc_code(chosen)


def test_a_wish_comes_first() -> None:
    assert choose_fourcc("Writeback-1", fourccs("XR24", "RG16"), fourcc_code("RG16")) == (
        fourcc_code("RG16")
    )


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("RG16", "Writeback-1 cannot write RG16"),
        ("", "Writeback-1 writes no format that is known here"),
    ],
)
def test_no_format_says_what_there_is(wanted: str, reason: str) -> None:
    with pytest.raises(CaptureUnsupportedError) as caught:
        choose_fourcc("Writeback-1", fourccs("NV12", "P010"), fourcc_code(wanted) if wanted else 0)
    assert caught.value.code == "no-format"
    assert (caught.value.reason, caught.value.hint) == (reason, "it writes NV12, P010")


# -- the driver ---------------------------------------------------------------------------------


def test_the_attachment_is_tested_alone_and_then_with_a_picture(card: FakeCard) -> None:
    assert prove(card, topology.vkms())[:2] == (1920, 1080)
    assert [s.flags for s in card.submitted] == [TEST_WITH_MODESET] * 2
    alone, whole = (s.objects for s in card.submitted)
    assert alone == {31: {CRTC_ID: 50}}
    assert set(whole[31]) == {CRTC_ID, WRITEBACK_FB_ID}


def test_of_what_is_attached_the_picture_alone_is_tested(card: FakeCard) -> None:
    prove_picture(card, choose_route(topology.vkms()), 0)
    assert [set(s.objects[31]) for s in card.submitted] == [{WRITEBACK_FB_ID}]


def test_nothing_is_left_of_a_proof(card: FakeCard) -> None:
    prove(card, topology.vkms())
    assert not card.fb_ids
    assert not card.handles


def test_a_dark_display_is_not_asked_about(card: FakeCard) -> None:
    with pytest.raises(OutputOffError):
        prove(card, topology.vkms(active=False))
    assert not card.submitted


def test_a_display_that_shows_fields_is_not_asked_about(card: FakeCard) -> None:
    fields = topology.FULL_HD._replace(flags=1 << 4)
    found = topology.vkms()._replace(crtcs=(topology.crtc(0, mode=fields),))
    with pytest.raises(CaptureUnsupportedError, match="Virtual-1 shows an interlaced") as caught:
        prove(card, found)
    assert caught.value.code == "no-mode"
    with pytest.raises(CaptureUnsupportedError, match="interlaced"):
        prove_picture(card, choose_route(found), 0)
    assert not card.submitted


@pytest.mark.parametrize(("clones", "code"), [(None, "clone-refused"), (0b11, "attach-refused")])
def test_a_refusal_is_laid_to_the_clones_where_they_are_not_declared(
    card: FakeCard, clones: int | None, code: str
) -> None:
    card.refusals[ATOMIC] = errno.EINVAL
    with pytest.raises(CaptureUnsupportedError) as caught:
        prove(card, topology.vkms(clones=clones))
    assert caught.value.code == code


def test_undeclared_clones_that_the_driver_takes_are_proved(card: FakeCard) -> None:
    assert prove(card, topology.vkms(clones=None))[:2] == (1920, 1080)


def test_who_is_not_master_hears_that_another_is(card: FakeCard) -> None:
    card.refusals[ATOMIC] = errno.EACCES
    with pytest.raises(CaptureBusyError) as caught:
        prove(card, topology.vkms())
    assert caught.value.code == "another-master"


def test_who_is_master_no_more_hears_that_another_is(card: FakeCard) -> None:
    card.refusals[ATOMIC] = errno.EACCES
    with pytest.raises(CaptureBusyError) as caught:
        prove_picture(card, choose_route(topology.vkms()), 0)
    assert caught.value.code == "another-master"


def test_a_picture_that_is_refused_is_named_with_its_size(card: FakeCard) -> None:
    card.refusals[ATOMIC] = errno.EINVAL
    with pytest.raises(CaptureUnsupportedError) as caught:
        prove_picture(card, choose_route(topology.vkms()), 0)
    assert caught.value.code == "no-format"
    assert caught.value.reason == (
        "Writeback-1 refuses XR24 pictures of 1920x1080 (DRM_IOCTL_MODE_ATOMIC: Invalid argument)"
    )


# -- another program's card ---------------------------------------------------------------------


@pytest.fixture
def shared(card: FakeCard) -> FakeCard:
    card.share(OwnedFd(os.eventfd(0), "owner"))
    return card


def test_a_sharer_who_does_not_set_modes_atomically_is_named_as_the_reason(
    shared: FakeCard,
) -> None:
    shared.refusals[ATOMIC] = errno.EINVAL
    with pytest.raises(CaptureUnsupportedError, match="does not use atomic modesetting") as caught:
        prove(shared, topology.vkms())
    assert caught.value.code == "no-share"


def test_what_the_driver_refuses_to_an_atomic_sharer_is_the_driver_s(
    shared: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_all_but_nothing(argument: uapi.Atomic) -> None:
        if argument.count_objs:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(shared, "commit", refuse_all_but_nothing)
    with pytest.raises(CaptureUnsupportedError) as caught:
        prove(shared, topology.vkms(clones=None))
    assert caught.value.code == "clone-refused"
