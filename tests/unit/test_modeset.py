# SPDX-License-Identifier: MIT
"""captured.drm.modeset: which mode lights a dark display."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureUnsupportedError, OutputOffError
from captured.drm.ids import CrtcId
from captured.drm.modeset import LitOutput, choose_mode
from captured.drm.route import Route, choose_route
from tests.support import topology
from tests.support.fake_card import FakeCard
from tests.support.topology import FULL_HD

if TYPE_CHECKING:
    from captured.drm.mode import Mode
    from captured.drm.resources import Plane

INTERLACE = 1 << 4
HD = FULL_HD._replace(name="1280x720", hdisplay=1280, vdisplay=720, mode_type=0)


def dark(*modes: Mode) -> Route:
    found = topology.card(
        (
            topology.connector(0, "HDMI-A-1", (0,), modes=modes),
            topology.writeback(1, "Writeback-1", (1,)),
        ),
        (topology.encoder(0, 0b1), topology.encoder(1, 0b1)),
        (topology.crtc(0, active=False),),
    )
    return choose_route(found)


def test_a_display_that_is_to_stay_dark_is_off() -> None:
    with pytest.raises(OutputOffError) as caught:
        choose_mode(dark(FULL_HD), "keep")
    assert caught.value.code == "output-off"
    assert "HDMI-A-1" in caught.value.reason


def test_the_preferred_mode_is_the_one_that_the_display_prefers() -> None:
    assert choose_mode(dark(HD, FULL_HD), "preferred") == FULL_HD


def test_the_first_mode_is_taken_where_the_display_prefers_none() -> None:
    plain = FULL_HD._replace(mode_type=0)
    assert choose_mode(dark(HD, plain), "preferred") == HD


def test_a_mode_may_be_asked_for_by_its_size() -> None:
    assert choose_mode(dark(FULL_HD, HD), "1280x720") == HD


def test_an_interlaced_mode_lights_nothing() -> None:
    fields = FULL_HD._replace(flags=FULL_HD.flags | INTERLACE)
    assert choose_mode(dark(fields, HD), "preferred") == HD
    with pytest.raises(CaptureUnsupportedError) as caught:
        choose_mode(dark(fields, HD), "1920x1080")
    assert caught.value.code == "no-mode"


def test_a_mode_that_the_display_does_not_have_is_an_error_that_lists_those_it_has() -> None:
    with pytest.raises(CaptureUnsupportedError) as caught:
        choose_mode(dark(FULL_HD), "800x600")
    assert caught.value.code == "no-mode"
    assert "1920x1080@60" in caught.value.hint


def test_a_display_without_modes_cannot_be_lit() -> None:
    with pytest.raises(CaptureUnsupportedError) as caught:
        choose_mode(dark(), "preferred")
    assert caught.value.code == "no-mode"


# -- lighting -----------------------------------------------------------------------------------


def light(*planes: Plane) -> set[int]:
    """Light HDMI-A-1 on CRTC 50, which has these planes; return the planes that were used."""
    found = topology.card(
        (
            topology.connector(0, "HDMI-A-1", (0,)),
            topology.connector(1, "DSI-1", (1,), crtc_id=51),
            topology.writeback(2, "Writeback-1", (2,)),
        ),
        (topology.encoder(0, 0b01), topology.encoder(1, 0b10), topology.encoder(2, 0b11)),
        (topology.crtc(0, active=False), topology.crtc(1)),
    )._replace(planes=planes)
    with FakeCard() as card:
        lit = LitOutput(card, found, choose_route(found, "HDMI-A-1"), "preferred")
        (shown,) = card.submitted
        lit.close()
    return set(shown.objects) - {30, 50}


def test_a_plane_that_another_crtc_shows_is_left_there() -> None:
    assert light(topology.plane(0, 51), topology.plane(1)) == {61}


def test_the_plane_that_is_on_the_crtc_already_is_taken() -> None:
    assert light(topology.plane(0), topology.plane(1)._replace(crtc_id=CrtcId(50))) == {61}


def test_of_free_planes_the_one_is_taken_that_others_need_least() -> None:
    assert light(topology.plane(0, crtcs=0b11), topology.plane(1, crtcs=0b01)) == {61}


def test_where_all_primary_planes_are_in_use_nothing_is_lit() -> None:
    overlay = topology.plane(1, kind="Overlay")
    with pytest.raises(CaptureUnsupportedError, match="crtc-0 has no free primary plane"):
        light(topology.plane(0, 51), overlay)
