# SPDX-License-Identifier: MIT
"""captured.output: a display whose card comes and goes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureUnsupportedError, NoOutputError, OutputOffError
from capturectl.fd import OwnedFd
from capturectl.protocol import EventKind
from capturectl.protocol import Source as SourceKind
from captured import output as module
from captured.config import Config
from captured.drm.card import Card, Version
from captured.drm.mode import Mode
from captured.drm.resources import Plug
from captured.drm.writeback import Outlook
from captured.output import WritebackOutput
from tests.support.fakes import FakeOutlet, FakeSource, FakeSubscriber, VirtualReactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capturectl.errors import CaptureError
    from captured.capture.engine import Engine
    from captured.capture.source import Geometry
    from captured.drm.writeback import Wishes

MODE = Mode("640x480", 25175, 640, 656, 752, 800, 0, 480, 490, 492, 525, 0, 60, 0, 0)
CONNECTED, DISCONNECTED, UNKNOWN = 1, 2, 3  # Kernel: drm_mode.h, DRM_MODE_CONNECTED and so on
GONE = CaptureUnsupportedError("/dev/dri/card0 is gone", code="no-card")


class FakeDisplay(FakeSource):
    """A writeback source over one of the displays that the card has."""

    displays: tuple[str, ...] = ("HDMI-A-1",)
    problem: CaptureError | None = None
    made: list[FakeDisplay]

    def __init__(self, card: Card, flips: object, wishes: Wishes, stream: int) -> None:
        super().__init__()
        self.name = wishes.name
        self.pinned = ""
        self.done: list[str] = []
        FakeDisplay.made.append(self)

    def look(self) -> Outlook:
        if self.name and self.name not in self.displays:
            raise NoOutputError(f"there is no output {self.name}")
        name = self.name or self.displays[0]
        return Outlook(name, 31, 51, "Writeback-1", MODE, (1, 2), self.problem)

    def pin(self, name: str) -> None:
        self.pinned = name

    def reconcile(self) -> None:
        self.done.append("reconcile")

    def leave(self) -> None:
        self.done.append("leave")

    def prove(self) -> None:
        self.done.append("prove")

    def attach(self) -> Geometry:
        self.done.append("attach")
        return super().attach()


class NewsOutlet(FakeOutlet):
    """Notes what everybody is told."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self.names: list[str] = []
        """The output's at each of them."""

    def output_changed(self, kind: EventKind, news: CaptureError) -> None:
        self.news.append((kind.name, news.code))
        self.names.append(self._engine.name)


class World:
    """An output, and the card that the test brings and takes away."""

    def __init__(self, settings: Config) -> None:
        self.reactor = VirtualReactor()
        self.output = WritebackOutput(1, settings, self.reactor)
        self.engine = self.output.stream.engine
        self.outlet = NewsOutlet(self.engine)
        self.engine.outlet = self.outlet
        self._card = Card(OwnedFd(os.memfd_create("card"), "card"), "/dev/dri/card0")

    def come(self, path: str = "/dev/dri/card0") -> FakeDisplay:
        self._card.path = path
        self.output.card_came(self._card)
        return FakeDisplay.made[-1]

    def told(self) -> list[object]:
        """Return what everybody was told of the output since the last call."""
        news = (news for news in self.outlet.news if isinstance(news, tuple))
        told = list[object](each for each in news if each[0] != "freed")
        self.outlet.news.clear()
        return told

    def plug(self, connection: int, *modes: Mode, name: str = "HDMI-A-1") -> list[object]:
        self.output.connectors_read((Plug("DP-7", CONNECTED, ()), Plug(name, connection, modes)))
        return self.told()

    def close(self) -> None:
        self.output.close()
        self._card.close()
        self.reactor.close()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    monkeypatch.setattr(FakeDisplay, "made", [], raising=False)
    monkeypatch.setattr(module, "WritebackSource", FakeDisplay)
    FakeDisplay.kind = SourceKind.WRITEBACK
    monkeypatch.setattr(module, "read_plugs", lambda card: (Plug("HDMI-A-1", CONNECTED, (MODE,)),))
    monkeypatch.setattr(Card, "version", lambda card: Version("vkms", 1, 0, 0, ""))
    worlds: list[World] = []

    def build(**settings: str) -> World:
        worlds.append(World(Config(**settings)))  # type: ignore[arg-type]  # those that are texts
        return worlds[-1]

    yield build
    for world in worlds:
        world.close()


@pytest.fixture
def world(make: Callable[..., World]) -> World:
    """An output that is started, without a card."""
    made = make()
    made.output.start()
    made.told()
    return made


# -- without a card -----------------------------------------------------------------------------


def test_before_a_card_came_the_output_has_no_name_and_is_blocked(world: World) -> None:
    look = world.output.look()
    assert (look.name, look.geometry, look.connector_id) == ("", None, 0)
    assert look.problem is not None
    assert look.problem.code == "no-card"


def test_an_output_that_the_settings_name_has_its_name_without_a_card(
    make: Callable[..., World],
) -> None:
    assert make(output="DP-3").output.look().name == "DP-3"


def test_without_a_card_a_subscriber_is_told_why(world: World) -> None:
    with pytest.raises(CaptureUnsupportedError, match="there is no card"):
        world.engine.subscribe(FakeSubscriber())


# -- a card comes -------------------------------------------------------------------------------


def test_a_card_that_comes_before_the_start_is_no_news(make: Callable[..., World]) -> None:
    world = make()
    display = world.come()
    assert world.told() == []
    assert display.done == []
    world.output.start()
    assert display.done == ["reconcile", "leave", "prove"]


def test_what_gives_back_proves_nothing(make: Callable[..., World]) -> None:
    world = make()
    display = world.come()
    world.output.give_back()
    assert display.done == ["reconcile"]


def test_without_a_card_there_is_nothing_to_give_back(make: Callable[..., World]) -> None:
    make().output.give_back()


def test_a_card_that_comes_later_is_cleaned_up_and_told_of_and_left_to_its_master(
    world: World,
) -> None:
    display = world.come()
    assert display.done == ["reconcile"]
    assert world.told() == [("OUTPUT_ADDED", "card-came")]
    assert world.outlet.names == ["HDMI-A-1"]
    look = world.output.look()
    assert (look.name, look.connector_id, look.problem) == ("HDMI-A-1", 31, None)
    assert (world.output.driver, world.output.stream.card) == ("vkms", "/dev/dri/card0")
    assert world.output.stream.name == "HDMI-A-1"


def test_the_display_that_was_captured_before_is_captured_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.come()
    world.output.card_went(GONE)
    monkeypatch.setattr(FakeDisplay, "displays", ("eDP-1", "HDMI-A-1"))
    assert world.come().pinned == "HDMI-A-1"


def test_another_display_is_taken_where_that_one_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.come()
    world.output.card_went(GONE)
    monkeypatch.setattr(FakeDisplay, "displays", ("eDP-1",))
    assert world.come().pinned == "eDP-1"
    assert world.output.look().name == "eDP-1"


def test_no_other_display_is_taken_than_the_settings_name(make: Callable[..., World]) -> None:
    world = make(output="DP-3")
    with pytest.raises(NoOutputError):
        world.come()
    assert world.output.look().name == "DP-3"


# -- a card goes --------------------------------------------------------------------------------


def test_what_is_left_of_an_output_whose_card_went_is_its_name_and_the_reason(
    world: World,
) -> None:
    world.come()
    world.told()
    world.output.card_went(GONE)
    assert world.told() == [("OUTPUT_REMOVED", "no-card")]
    look = world.output.look()
    assert (look.name, look.connector_id, look.writeback, look.fourccs) == ("HDMI-A-1", 0, "", ())
    assert look.problem is GONE
    assert world.output.stream.card == ""


def test_another_reason_for_the_lack_is_told_and_the_same_is_not(world: World) -> None:
    world.come()
    world.output.card_went(GONE)
    world.told()
    world.output.card_went(GONE)
    assert world.told() == []
    world.output.card_went(CaptureUnsupportedError("not ours", code="not-allowed"))
    assert world.told() == [("OUTPUT_CHANGED", "not-allowed")]


def test_a_subscriber_gets_frames_again_of_the_card_that_came_back(world: World) -> None:
    display, subscriber = world.come(), FakeSubscriber(credits=4)
    world.engine.subscribe(subscriber)
    display.finish()
    world.reactor.turn()
    world.output.card_went(GONE)
    assert all(memory.is_closed for memory in display.memories)
    again = world.come("/dev/dri/card1")
    again.finish()
    world.reactor.turn()
    assert [picture.slot.generation for picture in subscriber.pictures] == [1, 2]
    assert subscriber.states == ["no-card", "reshaped", ""]
    assert again.done == ["reconcile", "attach"]


# -- something is plugged -----------------------------------------------------------------------


def test_a_display_that_is_plugged_out_and_in_is_news_each_time(world: World) -> None:
    world.come()
    world.told()
    assert world.plug(DISCONNECTED) == [("OUTPUT_CHANGED", "unplugged")]
    assert world.plug(DISCONNECTED) == []
    assert world.plug(CONNECTED, MODE) == [("OUTPUT_CHANGED", "plugged")]
    assert world.plug(CONNECTED, MODE) == []


def test_other_modes_are_news(world: World) -> None:
    world.come()
    world.told()
    other = MODE._replace(name="800x600", hdisplay=800, vdisplay=600)
    assert world.plug(CONNECTED, MODE, other) == [("OUTPUT_CHANGED", "modes-changed")]
    assert world.plug(CONNECTED, MODE, other) == []


def test_a_display_of_which_the_driver_cannot_tell_counts_as_plugged_in(world: World) -> None:
    world.come()
    world.told()
    assert world.plug(UNKNOWN, MODE) == []


def test_a_connector_that_is_not_there_any_more_is_unplugged(world: World) -> None:
    world.come()
    world.told()
    assert world.plug(CONNECTED, MODE, name="HDMI-A-2") == [("OUTPUT_CHANGED", "unplugged")]


def test_an_output_that_is_off_stays_so_when_it_is_described_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = OutputOffError("HDMI-A-1 is off")
    world.come()
    monkeypatch.setattr(FakeDisplay, "problem", off)
    world.plug(DISCONNECTED)
    assert world.output.look().problem is off
