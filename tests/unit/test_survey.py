# SPDX-License-Identifier: MIT
"""captured.drm.survey: what is said of each writeback connector with each CRTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capturectl.errors import CaptureUnsupportedError
from captured.drm.survey import pair_facts
from tests.support import topology

if TYPE_CHECKING:
    from captured.drm.resources import Resources
    from captured.drm.route import Route


class Driver:
    """Answers TEST_ONLY, and notes what it was asked."""

    def __init__(self, refusal: CaptureUnsupportedError | None = None) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self._refusal = refusal

    def prove(self, found: Resources, way: Route) -> None:
        del found
        self.asked.append((way.writeback.name, way.crtc.name, way.display.name))
        if self._refusal:
            raise self._refusal


def pairs(found: Resources, driver: Driver | None) -> dict[tuple[str, str], Any]:
    """Return the facts of every pair, by names."""
    prove = driver.prove if driver else None
    return {
        (writeback.name, crtc.name): pair_facts(found, writeback, crtc, prove)
        for writeback in found.writeback_connectors()
        for crtc in found.crtcs
    }


def test_a_card_with_clones_is_asked_and_agrees() -> None:
    driver = Driver()
    assert pairs(topology.vkms(), driver) == {
        ("Writeback-1", "crtc-0"): {
            "writeback": "Writeback-1", "crtc": "crtc-0", "displays": ["Virtual-1"],
            "possible_displays": ["Virtual-1"], "reaches": True, "clones": True,
            "is_attached": False, "is_tested": True, "refusal": None,
        }
    }  # fmt: skip
    assert driver.asked == [("Writeback-1", "crtc-0", "Virtual-1")]


def test_undeclared_clones_are_told_and_the_driver_is_asked_all_the_same() -> None:
    refusal = CaptureUnsupportedError("no", "mend it", code="clone-refused")
    (pair,) = pairs(topology.vkms(clones=None), Driver(refusal)).values()
    assert pair["clones"] is False
    assert pair["refusal"] == {"code": "clone-refused", "reason": "no", "hint": "mend it"}


def test_a_kernels_error_is_an_answer_as_well() -> None:
    def prove(found: Resources, way: Route) -> None:
        raise OSError(12, "Cannot allocate memory", "buffer 640x480")

    found = topology.vkms()
    facts = pair_facts(found, found.writeback_connectors()[0], found.crtcs[0], prove)
    assert facts["refusal"]["code"] == "failed"
    assert "Cannot allocate memory" in facts["refusal"]["reason"]


def test_nobody_is_asked_about_a_dark_display() -> None:
    driver = Driver()
    (pair,) = pairs(topology.vkms(active=False), driver).values()
    assert (pair["is_tested"], pair["displays"], pair["possible_displays"]) == (
        False,
        [],
        ["Virtual-1"],
    )
    assert driver.asked == []


def test_nobody_is_asked_where_another_is_master() -> None:
    (pair,) = pairs(topology.vkms(), None).values()
    assert (pair["is_tested"], pair["clones"]) == (False, True)


def test_vc4s_writeback_reaches_its_own_crtc_alone() -> None:
    driver = Driver()
    found = pairs(topology.vc4(), driver)
    assert {crtc: pair["reaches"] for (_, crtc), pair in found.items()} == {
        "crtc-0": False,
        "crtc-1": True,
    }
    assert found["Writeback-1", "crtc-1"]["clones"] is None, "no display can be there"
    assert driver.asked == []


def test_each_of_rcar_dus_connectors_is_asked_about_its_own_crtc() -> None:
    driver = Driver()
    pairs(topology.rcar(), driver)
    assert driver.asked == [
        ("Writeback-1", "crtc-0", "HDMI-A-1"),
        ("Writeback-2", "crtc-1", "LVDS-1"),
    ]
