# SPDX-License-Identifier: MIT
"""captured.drm.writeback: which connector is attached, written to and taken off, and as whom."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureLostError, CaptureUnsupportedError, NotAllowedError
from capturectl.fd import OwnedFd
from capturectl.fourcc import fourcc_code
from captured.drm import resources
from captured.drm.card import Card
from captured.drm.flips import FlipQueue
from captured.drm.writeback import Wishes, WritebackSource
from tests.support import topology
from tests.support.fake_card import FakeCard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from captured.drm.resources import Resources

CRTC_ID, WRITEBACK_FB_ID = 1000, 1001
TEST_ONLY, ALLOW_MODESET = 0x100, 0x400


def machine(display: int = 0, one: int = 0, other: int = 0) -> Resources:
    """HDMI-A-1 on CRTC 50 or 51, and two writeback connectors, which can both use either.

    Args:
        display: Index of the CRTC that feeds the display.
        one: The CRTC that Writeback-1, connector 31, is attached to; 0 for none.
        other: The same of Writeback-2, connector 32.
    """
    return topology.card(
        (
            topology.connector(0, "HDMI-A-1", (0,), crtc_id=50 + display),
            topology.writeback(1, "Writeback-1", (1,), one),
            topology.writeback(2, "Writeback-2", (2,), other),
        ),
        tuple(topology.encoder(index, 0b11, 0b111) for index in range(3)),
        (topology.crtc(0), topology.crtc(1)),
    )


class World:
    """A source, and what it finds on its card."""

    def __init__(self, card: FakeCard, found: Resources) -> None:
        self.card, self.found = card, found
        self.source = WritebackSource(card, FlipQueue(card), Wishes())

    def committed(self) -> list[dict[int, dict[int, int]]]:
        """Return what was committed, without what was only tested."""
        return [s.objects for s in self.card.submitted if not s.flags & TEST_ONLY]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """Make a source on a card that holds what is given, and is changed by hand."""
    worlds: list[World] = []

    def start_one(found: Resources, *, is_kept: bool = False) -> World:
        worlds.append(World(FakeCard(is_kept=is_kept), found))
        return worlds[-1]

    monkeypatch.setattr(resources, "read_resources", lambda *_, **__: worlds[-1].found)
    monkeypatch.setattr(resources, "writeback_fourccs", lambda *_: (fourcc_code("XR24"),))
    yield start_one
    for world in worlds:
        world.card.close()


@pytest.fixture
def world(start: Callable[..., World]) -> World:
    """A source that is attached through Writeback-1 to CRTC 50."""
    made = start(machine())
    made.source.attach()
    made.found = machine(one=50)
    return made


# -- attaching ----------------------------------------------------------------------------------


def test_attaching_commits_the_attachment_alone(world: World) -> None:
    assert [(s.flags, s.objects) for s in world.card.submitted[-1:]] == [
        (ALLOW_MODESET, {31: {CRTC_ID: 50}})
    ]


@pytest.mark.parametrize("step", ["attach", "prove"])
def test_memory_that_would_show_torn_pictures_is_refused_before_the_display_is_disturbed(
    start: Callable[..., World], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    world = start(machine())
    source = WritebackSource(world.card, FlipQueue(world.card), Wishes(is_sealed=True))
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="aarch64"))
    with pytest.raises(CaptureUnsupportedError) as caught:
        getattr(source, step)()
    assert caught.value.code == "no-udmabuf"
    assert not world.card.submitted


def test_detaching_takes_the_connector_off_and_gives_the_card_back(world: World) -> None:
    assert world.card.is_master
    world.source.detach()
    assert world.committed()[-1] == {31: {CRTC_ID: 0}}
    assert not world.card.is_master


def test_what_was_tested_with_is_freed(world: World) -> None:
    world.source.attach()
    assert not world.card.fb_ids
    assert not world.card.handles


# -- another look at what is attached -----------------------------------------------------------


def test_another_look_proves_the_picture_and_commits_nothing(world: World) -> None:
    before = len(world.committed())
    assert world.source.attach()[:2] == (1920, 1080)
    assert len(world.committed()) == before
    (written,) = world.card.submitted[-1].objects.values()
    assert list(written) == [WRITEBACK_FB_ID]


def test_a_connector_that_was_taken_off_is_lost(world: World) -> None:
    world.found = machine()
    with pytest.raises(CaptureLostError, match="Writeback-1 is not on crtc-0"):
        world.source.attach()


def test_a_display_that_moved_leaves_its_connector_behind(world: World) -> None:
    world.found = machine(display=1, one=50, other=51)
    with pytest.raises(CaptureLostError, match="Writeback-1 is not on crtc-1"):
        world.source.attach()
    world.source.detach()
    assert world.committed()[-1] == {31: {CRTC_ID: 0}}, "it, and not the other's"


def test_pictures_come_through_the_connector_that_was_attached(
    start: Callable[..., World],
) -> None:
    world = start(machine(one=51))
    world.source.attach()
    assert world.committed() == [{32: {CRTC_ID: 50}}], "the other serves somebody else"
    world.found = machine(one=50, other=50)
    world.source.attach()
    memory = world.source.allocate()
    world.card.fence = os.eventfd(0)
    world.source.commit(memory, 1).close()
    assert set(world.committed()[-1]) == {32}
    memory.close()


# -- what a crash left --------------------------------------------------------------------------


def shown(found: Resources, *crtc_ids: int) -> Resources:
    """Add a picture on each of these CRTCs: who shows it is alive."""
    return found._replace(planes=tuple(topology.plane(i, crtc) for i, crtc in enumerate(crtc_ids)))


def test_what_is_left_attached_is_taken_off(start: Callable[..., World]) -> None:
    world = start(shown(machine(one=50), 50))
    assert world.source.reconcile()
    assert world.committed() == [{31: {CRTC_ID: 0}}]
    assert not world.card.is_master


def test_where_nothing_is_left_nobody_becomes_master(start: Callable[..., World]) -> None:
    world = start(shown(machine(), 50))
    world.card.refusals["DRM_IOCTL_SET_MASTER"] = errno.EBUSY
    assert not world.source.reconcile()
    assert world.committed() == []


def test_what_the_output_before_this_one_left_attached_is_taken_off_as_well(
    start: Callable[..., World],
) -> None:
    world = start(shown(machine(other=51), 50, 51))
    assert world.source.reconcile()
    assert world.committed() == [{32: {CRTC_ID: 0}}]


def test_what_that_one_left_lit_is_put_out(start: Callable[..., World]) -> None:
    found = shown(machine(other=51), 50)
    second = topology.connector(3, "DSI-1", (0,), crtc_id=51)
    world = start(found._replace(connectors=(*found.connectors, second)))
    world.source.reconcile()
    assert [set(objects) for objects in world.committed()] == [{32}, {33, 51}]


def test_a_display_is_put_out_when_nothing_is_attached_to_its_crtc_any_more(
    start: Callable[..., World],
) -> None:
    # Before, the kernel refuses: the CRTC would be off with a connector on it.
    world = start(machine(one=50, other=50))
    world.source.reconcile()
    assert [set(objects) for objects in world.committed()] == [{31}, {32}, {30, 50}]


def test_what_is_on_the_outputs_own_crtc_is_taken_off_first(start: Callable[..., World]) -> None:
    world = start(shown(machine(one=51, other=50), 50, 51))
    world.source.reconcile()
    assert [set(objects) for objects in world.committed()] == [{32}, {31}]


def test_on_a_shared_card_another_crtc_s_may_be_a_sibling_s(start: Callable[..., World]) -> None:
    world = start(shown(machine(other=51), 50, 51))
    world.card.share(OwnedFd(os.eventfd(0), "owner"))
    assert not world.source.reconcile()
    assert world.committed() == []


# -- giving the card back -----------------------------------------------------------------------


@pytest.mark.parametrize("error", [CaptureUnsupportedError, NotAllowedError])
def test_a_kept_card_that_cannot_be_opened_anew_is_no_error(
    start: Callable[..., World],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[Exception],
) -> None:
    world = start(machine(one=50), is_kept=True)
    world.card.refusals["DRM_IOCTL_DROP_MASTER"] = errno.EACCES

    def refuse(path: str) -> Card:
        raise error(f"{path} is gone")

    monkeypatch.setattr(Card, "open", refuse)
    world.source.leave()
    assert "/dev/dri/card0 is gone" in capsys.readouterr().err
