# SPDX-License-Identifier: MIT
"""captured.drm.modeset: which mode lights a dark display."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureUnsupportedError, OutputOffError
from captured.drm.modeset import choose_mode
from captured.drm.route import Route, choose_route
from tests.support import topology
from tests.support.topology import FULL_HD

if TYPE_CHECKING:
    from captured.drm.mode import Mode

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
