# SPDX-License-Identifier: MIT
"""captured.drm.atomic: what reaches the kernel in one atomic ioctl."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from captured.drm.atomic import AtomicReq
from captured.drm.ids import ConnectorId, PlaneId
from tests.support.fake_card import FakeCard, Submitted
from tests.support.topology import properties

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTOR, PLANE = ConnectorId(31), PlaneId(33)
CONNECTOR_PROPERTIES = properties(
    "Writeback-1", {"CRTC_ID": 0, "WRITEBACK_FB_ID": 0, "WRITEBACK_OUT_FENCE_PTR": 0}
)
PLANE_PROPERTIES = properties("plane 33", {"CRTC_X": 0})


@pytest.fixture
def card() -> Iterator[FakeCard]:
    with FakeCard() as made:
        yield made


@pytest.fixture
def request_(card: FakeCard) -> AtomicReq:
    return AtomicReq(card)


def test_properties_reach_the_kernel_by_object(card: FakeCard, request_: AtomicReq) -> None:
    request_.add(CONNECTOR, CONNECTOR_PROPERTIES, "CRTC_ID", 51)
    request_.add(PLANE, PLANE_PROPERTIES, "CRTC_X", 16)
    request_.add(CONNECTOR, CONNECTOR_PROPERTIES, "WRITEBACK_FB_ID", 77)
    request_.commit()
    assert card.submitted == [Submitted(0, {31: {1000: 51, 1001: 77}, 33: {1000: 16}}, 0)]


def test_the_second_value_of_a_property_replaces_the_first(
    card: FakeCard, request_: AtomicReq
) -> None:
    request_.add(CONNECTOR, CONNECTOR_PROPERTIES, "WRITEBACK_FB_ID", 77)
    request_.add(CONNECTOR, CONNECTOR_PROPERTIES, "WRITEBACK_FB_ID", 78)
    request_.commit()
    assert card.submitted[0].objects == {31: {1001: 78}}


def test_a_negative_value_is_twos_complement(card: FakeCard, request_: AtomicReq) -> None:
    request_.add(PLANE, PLANE_PROPERTIES, "CRTC_X", -1)
    request_.commit()
    assert card.submitted[0].objects == {33: {1000: 0xFFFF_FFFF_FFFF_FFFF}}


def test_a_property_that_the_object_does_not_have_is_an_error(request_: AtomicReq) -> None:
    with pytest.raises(KeyError, match="plane 33 has no property FB_ID"):
        request_.add(PLANE, PLANE_PROPERTIES, "FB_ID", 1)


def test_each_kind_of_commit_has_its_flags(card: FakeCard, request_: AtomicReq) -> None:
    request_.test()
    request_.test(allow_modeset=True)
    request_.commit()
    request_.commit(allow_modeset=True)
    request_.commit_nowait()
    request_.commit_nowait(user_data=5)
    assert [s.flags for s in card.submitted] == [0x100, 0x500, 0, 0x400, 0x200, 0x201]
    assert [s.user_data for s in card.submitted] == [0, 0, 0, 0, 0, 5]


def test_a_commit_leaves_its_fence_in_the_slot(card: FakeCard, request_: AtomicReq) -> None:
    slot = request_.add_out_fence(CONNECTOR, CONNECTOR_PROPERTIES, "WRITEBACK_OUT_FENCE_PTR")
    card.fence = os.eventfd(0)
    request_.commit_nowait()
    with slot.take() or pytest.fail("no fence") as fence:
        assert fence.fileno() == card.fence


def test_a_fence_is_taken_once(card: FakeCard, request_: AtomicReq) -> None:
    slot = request_.add_out_fence(CONNECTOR, CONNECTOR_PROPERTIES, "WRITEBACK_OUT_FENCE_PTR")
    card.fence = os.eventfd(0)
    request_.commit_nowait()
    with slot.take() or pytest.fail("no fence"):
        assert slot.take() is None


def test_a_commit_that_makes_no_fence_leaves_the_slot_empty(request_: AtomicReq) -> None:
    slot = request_.add_out_fence(CONNECTOR, CONNECTOR_PROPERTIES, "WRITEBACK_OUT_FENCE_PTR")
    request_.test()
    assert slot.take() is None


def test_a_request_can_be_described_by_the_kernels_names(request_: AtomicReq) -> None:
    request_.add(CONNECTOR, CONNECTOR_PROPERTIES, "CRTC_ID", 51)
    assert request_.describe() == "object 31: CRTC_ID=0x33"
