# SPDX-License-Identifier: MIT
"""captured.drm.route: which writeback connector reaches which display, on many cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureUnsupportedError, NoOutputError
from captured.drm.route import (
    check_clone,
    choose_crtc,
    choose_display,
    choose_route,
    possible_clones,
)
from tests.support import topology
from tests.support.topology import connector, crtc, encoder, writeback

if TYPE_CHECKING:
    from captured.drm.resources import Resources

# -- the display ------------------------------------------------------------------------------


def test_a_named_display_is_chosen() -> None:
    assert choose_display(topology.rcar(), "LVDS-1").name == "LVDS-1"


def test_a_name_that_the_card_does_not_have_is_an_error_that_lists_those_it_has() -> None:
    with pytest.raises(NoOutputError) as caught:
        choose_display(topology.rcar(), "DP-1")
    assert caught.value.code == "no-output"
    assert "DP-1" in caught.value.reason
    assert "HDMI-A-1, LVDS-1" in caught.value.hint


def test_a_writeback_connector_is_no_display() -> None:
    with pytest.raises(NoOutputError):
        choose_display(topology.vkms(), "Writeback-1")


def test_the_first_driven_display_is_chosen_where_none_is_named() -> None:
    found = topology.card(
        (
            connector(0, "HDMI-A-1", (0,)),
            connector(1, "HDMI-A-2", (0,), crtc_id=50),
            connector(2, "HDMI-A-3", (0,), crtc_id=51),
        ),
        (encoder(0, 0b11),),
        (crtc(0), crtc(1)),
    )
    assert choose_display(found).name == "HDMI-A-2"


def test_a_connected_display_is_chosen_where_none_is_driven() -> None:
    found = topology.card(
        (
            connector(0, "HDMI-A-1", (0,), connection=topology.DISCONNECTED),
            connector(1, "HDMI-A-2", (0,)),
        ),
        (encoder(0, 0b1),),
        (crtc(0, active=False),),
    )
    assert choose_display(found).name == "HDMI-A-2"


def test_a_card_without_displays_is_an_error() -> None:
    found = topology.card((writeback(0, "Writeback-1", (0,)),), (encoder(0, 0b1),), (crtc(0),))
    with pytest.raises(NoOutputError) as caught:
        choose_display(found)
    assert caught.value.code == "no-output"


# -- its CRTC ---------------------------------------------------------------------------------


def test_a_driven_displays_crtc_is_chosen() -> None:
    found = topology.rcar()
    assert choose_crtc(found, choose_display(found, "LVDS-1")).name == "crtc-1"


def test_a_dark_display_gets_a_crtc_that_shows_nothing_else() -> None:
    found = topology.card(
        (connector(0, "HDMI-A-1", (0,)),), (encoder(0, 0b11),), (crtc(0), crtc(1, active=False))
    )
    assert choose_crtc(found, found.connectors[0]).name == "crtc-1"


def test_a_dark_display_gets_only_a_crtc_that_its_encoder_can_use() -> None:
    found = topology.card(
        (connector(0, "HDMI-A-1", (0,)),),
        (encoder(0, 0b10),),
        (crtc(0, active=False), crtc(1, active=False)),
    )
    assert choose_crtc(found, found.connectors[0]).name == "crtc-1"


def test_a_display_that_no_crtc_can_drive_is_unsupported() -> None:
    found = topology.card(
        (connector(0, "HDMI-A-1", ()),), (encoder(0, 0b1),), (crtc(0, active=False),)
    )
    with pytest.raises(CaptureUnsupportedError) as caught:
        choose_crtc(found, found.connectors[0])
    assert caught.value.code == "wrong-crtc"


# -- the way to memory ------------------------------------------------------------------------


def test_a_display_and_a_writeback_connector_on_one_crtc_make_a_route() -> None:
    route = choose_route(topology.vkms())
    assert (route.display.name, route.crtc.name, route.writeback.name) == (
        "Virtual-1",
        "crtc-0",
        "Writeback-1",
    )


@pytest.mark.parametrize(
    ("display", "expected"), [("HDMI-A-1", "Writeback-1"), ("LVDS-1", "Writeback-2")]
)
def test_each_crtc_with_a_writeback_connector_of_its_own_gets_that_one(
    display: str, expected: str
) -> None:
    assert choose_route(topology.rcar(), display).writeback.name == expected


def test_a_card_without_writeback_connector_is_unsupported_and_named() -> None:
    found = topology.card(
        (connector(0, "HDMI-A-1", (0,), crtc_id=50),), (encoder(0, 0b1),), (crtc(0),)
    )
    with pytest.raises(CaptureUnsupportedError) as caught:
        choose_route(found, card="/dev/dri/card1")
    assert caught.value.code == "no-writeback"
    assert "/dev/dri/card1" in caught.value.reason


def test_a_missing_display_is_no_output_and_not_unsupported() -> None:
    with pytest.raises(NoOutputError):
        choose_route(topology.vkms(), "HDMI-A-1")


def test_a_writeback_connector_on_a_crtc_of_its_own_cannot_capture_a_display() -> None:
    with pytest.raises(CaptureUnsupportedError) as caught:
        choose_route(topology.vc4(), "HDMI-A-1")
    assert caught.value.code == "wrong-crtc"
    assert "crtc-0" in caught.value.reason
    assert caught.value.hint == "Writeback-1 can use crtc-1"


def test_a_writeback_connector_that_serves_another_output_is_not_taken() -> None:
    found = topology.vkms()
    with pytest.raises(CaptureUnsupportedError) as caught:
        choose_route(found, taken=(31,))
    assert caught.value.code == "wrong-crtc"


def test_of_two_writeback_connectors_the_free_one_is_taken() -> None:
    assert choose_route(shared_pair(), taken=(31,)).writeback.name == "Writeback-2"


def test_of_two_writeback_connectors_the_attached_one_is_taken() -> None:
    assert choose_route(shared_pair(attached=50)).writeback.name == "Writeback-2"


def test_a_writeback_connector_attached_elsewhere_is_not_preferred() -> None:
    assert choose_route(shared_pair(attached=51)).writeback.name == "Writeback-1"


def shared_pair(attached: int = 0) -> Resources:
    """One display; two writeback connectors that can use its CRTC and another."""
    return topology.card(
        (
            connector(0, "DSI-1", (0,), crtc_id=50),
            writeback(1, "Writeback-1", (1,)),
            writeback(2, "Writeback-2", (2,), crtc_id=attached),
        ),
        (encoder(0, 0b11, 0b111, 50), encoder(1, 0b11, 0b111), encoder(2, 0b11, 0b111)),
        (crtc(0), crtc(1)),
    )


# -- sharing a CRTC ---------------------------------------------------------------------------


def test_encoders_that_name_each_other_may_share_a_crtc() -> None:
    found = topology.rcar()
    check_clone(found, choose_route(found, "LVDS-1"))


@pytest.mark.parametrize("clones", [0, None])
def test_encoders_that_name_nobody_or_themselves_are_refused(clones: int | None) -> None:
    found = topology.vkms(clones=clones)
    with pytest.raises(CaptureUnsupportedError) as caught:
        check_clone(found, choose_route(found))
    assert caught.value.code == "clone-refused"


@pytest.mark.parametrize(("display", "memory"), [(0b11, 0b10), (0b01, 0b11)])
def test_one_encoder_that_does_not_name_the_other_is_enough_to_refuse(
    display: int, memory: int
) -> None:
    found = topology.card(
        (connector(0, "Virtual-1", (0,), crtc_id=50), writeback(1, "Writeback-1", (1,))),
        (encoder(0, 0b1, display, 50), encoder(1, 0b1, memory)),
        (crtc(0),),
    )
    with pytest.raises(CaptureUnsupportedError) as caught:
        check_clone(found, choose_route(found))
    assert caught.value.code == "clone-refused"


def test_the_encoder_that_drives_the_display_decides() -> None:
    found = topology.card(
        (connector(0, "DSI-1", (0, 1), crtc_id=50), writeback(1, "Writeback-1", (2,))),
        (encoder(0, 0b1, 0b101), encoder(1, 0b1, 0b010, 50), encoder(2, 0b1, 0b101)),
        (crtc(0),),
    )
    with pytest.raises(CaptureUnsupportedError) as caught:
        check_clone(found, choose_route(found))
    assert caught.value.code == "clone-refused"


def test_any_encoder_of_a_dark_display_may_clone() -> None:
    found = topology.card(
        (connector(0, "DSI-1", (0, 1)), writeback(1, "Writeback-1", (2,))),
        (encoder(0, 0b1), encoder(1, 0b1, 0b110), encoder(2, 0b1, 0b110)),
        (crtc(0, active=False),),
    )
    check_clone(found, choose_route(found))


def test_the_possible_clones_are_those_that_reach_the_crtc_and_may_share_it() -> None:
    found = topology.card(
        (
            connector(0, "HDMI-A-1", (0,), crtc_id=50),
            writeback(1, "Writeback-1", (1,)),
            writeback(2, "Writeback-2", (2,)),  # reaches the other CRTC only
            writeback(3, "Writeback-3", (3,)),  # names nobody
            writeback(4, "Writeback-4", (4,)),
        ),
        (
            encoder(0, 0b01, 0b10111, 50),
            encoder(1, 0b01, 0b00011),
            encoder(2, 0b10, 0b00101),
            encoder(3, 0b01),
            encoder(4, 0b11, 0b10001),
        ),
        (crtc(0), crtc(1)),
    )
    assert possible_clones(found, choose_route(found)) == ("Writeback-1", "Writeback-4")


def test_a_driver_that_declares_no_clones_has_none() -> None:
    found = topology.vkms(clones=None)
    assert possible_clones(found, choose_route(found)) == ()


# -- other boards ---------------------------------------------------------------------------------


def test_a_lit_display_is_preferred_to_one_whose_crtc_is_off() -> None:
    found = topology.card(
        (
            connector(0, "HDMI-A-1", (0,), crtc_id=50),
            connector(1, "HDMI-A-2", (1,), crtc_id=51),
        ),
        (encoder(0, 0b01), encoder(1, 0b10)),
        (crtc(0, active=False), crtc(1)),
    )
    assert choose_display(found).name == "HDMI-A-2"


def test_a_display_that_may_be_connected_is_preferred_to_one_that_is_not() -> None:
    found = topology.card(
        (
            connector(0, "HDMI-A-1", (0,), connection=topology.DISCONNECTED),
            connector(1, "DSI-1", (1,), connection=topology.UNKNOWN_CONNECTION),
        ),
        (encoder(0, 0b1), encoder(1, 0b1)),
        (crtc(0, active=False),),
    )
    assert choose_display(found).name == "DSI-1"


def one_crtc_for_two() -> Resources:
    """HDMI is lit on the only CRTC; DSI is dark and could use it as well."""
    return topology.card(
        (
            connector(0, "HDMI-A-1", (0,), crtc_id=50),
            connector(1, "DSI-1", (1,)),
            topology.writeback(2, "Writeback-1", (2,)),
        ),
        (encoder(0, 0b1, 0b111, 50), encoder(1, 0b1, 0b111), encoder(2, 0b1, 0b111)),
        (crtc(0),),
    )


def test_a_dark_display_is_not_lit_because_its_crtc_feeds_another() -> None:
    way = choose_route(one_crtc_for_two(), "DSI-1")
    assert way.crtc.is_active
    assert not way.is_lit
    assert way.mode is None


def test_a_display_is_lit_when_its_crtc_feeds_it() -> None:
    way = choose_route(one_crtc_for_two(), "HDMI-A-1")
    assert way.is_lit
    assert way.mode == topology.FULL_HD


def test_an_idle_writeback_connector_is_preferred_to_one_at_work_elsewhere() -> None:
    found = topology.card(
        (
            connector(0, "HDMI-A-1", (0,), crtc_id=50),
            topology.writeback(1, "Writeback-1", (1,), crtc_id=51),
            topology.writeback(2, "Writeback-2", (2,)),
        ),
        (encoder(0, 0b01, 0b111, 50), encoder(1, 0b11, 0b111, 51), encoder(2, 0b11, 0b111)),
        (crtc(0), crtc(1)),
    )
    assert choose_route(found, "HDMI-A-1").writeback.name == "Writeback-2"


def half_written(*, lit: bool) -> Resources:
    """Two displays and two CRTCs; the writeback connector can use the second CRTC alone."""
    return topology.card(
        (
            connector(0, "HDMI-A-1", (0,), crtc_id=50 if lit else 0),
            connector(1, "DSI-1", (1,), crtc_id=51 if lit else 0),
            writeback(2, "Writeback-1", (2,)),
        ),
        (
            encoder(0, 0b01 if lit else 0b11, 0b111),
            encoder(1, 0b10, 0b111),
            encoder(2, 0b10, 0b111),
        ),
        (crtc(0, active=lit), crtc(1, active=lit)),
    )


def test_a_dark_display_gets_a_crtc_that_can_be_written_to_memory() -> None:
    assert choose_route(half_written(lit=False), "HDMI-A-1").crtc.name == "crtc-1"


def test_of_two_lit_displays_the_one_that_can_be_captured_is_chosen() -> None:
    assert choose_display(half_written(lit=True)).name == "DSI-1"


def test_a_lit_display_that_cannot_be_captured_is_preferred_to_a_dark_one() -> None:
    found = half_written(lit=True)
    hdmi, dsi, memory = found.connectors
    dark = dsi._replace(properties=topology.properties("DSI-1", {"CRTC_ID": 0}))
    assert choose_display(found._replace(connectors=(hdmi, dark, memory))).name == "HDMI-A-1"


def test_of_two_idle_writeback_connectors_the_one_that_may_clone_is_taken() -> None:
    found = topology.card(
        (
            connector(0, "DSI-1", (0,), crtc_id=50),
            writeback(1, "Writeback-1", (1,)),
            writeback(2, "Writeback-2", (2,)),
        ),
        (encoder(0, 0b1, 0b101, 50), encoder(1, 0b1), encoder(2, 0b1, 0b101)),
        (crtc(0),),
    )
    assert choose_route(found).writeback.name == "Writeback-2"


@pytest.mark.parametrize("lit", [False, True])
def test_a_headset_is_taken_only_by_its_name(lit: bool) -> None:
    found = half_written(lit=lit)
    hdmi, dsi, memory = found.connectors
    values = {"CRTC_ID": hdmi.crtc_id, "non-desktop": 1}
    headset = hdmi._replace(properties=topology.properties("HDMI-A-1", values))
    dark = dsi._replace(properties=topology.properties("DSI-1", {"CRTC_ID": 0}))
    found = found._replace(connectors=(headset, dark, memory))
    assert choose_display(found).name == "DSI-1"
    assert choose_display(found, "HDMI-A-1").name == "HDMI-A-1"
