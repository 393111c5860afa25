# SPDX-License-Identifier: MIT
"""A display as an output, put together: card, source, engine, and the stream that clients see."""

from __future__ import annotations

from capturectl import protocol
from capturectl.errors import (
    CaptureError,
    CaptureLostError,
    CaptureUnsupportedError,
    NoOutputError,
)
from capturectl.fourcc import MODIFIER_LINEAR
from capturectl.protocol import EventKind
from captured import keepsake, log
from captured.capture.engine import Engine, Settings
from captured.capture.pacing import Pace, Policy, policy_of
from captured.capture.replaceable import ReplaceableSource, is_gone
from captured.capture.source import Geometry
from captured.cards import no_card
from captured.cardwatch import CardWatch
from captured.drm.flips import FlipQueue
from captured.drm.resources import read_plugs
from captured.drm.writeback import Outlook, Wishes, WritebackSource
from captured.plugged import news_of, plug_of
from captured.server.stream import OutputLook, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.capture.pool import Pool
    from captured.config import Config
    from captured.drm.card import Card
    from captured.drm.resources import Plug
    from captured.drm.shown import ShownPlane
    from captured.handover.keeper import Keepsake
    from captured.handover.records import OutputRecord
    from captured.reactor import Reactor


class WritebackOutput:
    """A display, captured through a writeback connector. Open until `close()`.

    Its card may come and go: then it is blocked, and its subscribers wait.

    Ownership: owns the engine and the watch over the card; borrows the loop.
    """

    def __init__(self, stream_id: int, settings: Config, reactor: Reactor) -> None:
        """Build what captures it; nothing is touched, and there is no card yet."""
        self.driver = ""
        self._settings = settings
        self._wishes = Wishes(
            settings.output, settings.fourcc, settings.modeset, settings.memory == "sealed"
        )
        self._is_started = False
        self._problem: CaptureError | None = None
        """What the last look before anybody asked has found in the way."""
        self._watch = CardWatch(settings, reactor, self)
        self._writeback: WritebackSource | None = None
        self._last = _unseen(settings.output)
        self._plug = plug_of(settings.output, ())
        source = ReplaceableSource(WritebackSource.kind, no_card(), self._watch.card_died)
        self._source = source
        self._engine = Engine(
            settings.output, source, reactor, Settings(settings.buffers, settings.linger), Policy()
        )
        self.stream = Stream(
            stream_id, self._engine, source.kind, "", self.look, self._fourcc, self._planes,
            has_fences=source.has_fences,
        )  # fmt: skip

    def open(self, card: Card | None = None) -> None:
        """Find the card and the display.

        Args:
            card: One that is open already, instead of the one that the settings name; with the
                client capabilities enabled. Owned from here on.

        Raises:
            NoOutputError: The card has no such display.
            CaptureUnsupportedError: No card, or no writeback connector can serve the display.
            CaptureError: Any other reason; nothing is raised where the settings say to wait.
        """
        self._watch.start(card)

    def start(self) -> None:
        """Clean up after a crash, and prove that the driver lets us capture.

        What stands in the way is logged: it may pass, and every client is told.
        """
        self._is_started = True
        if self._writeback is None:
            log.warning("waiting: %s", self._last.problem)
            return
        self._clean_up(self._writeback)
        self._writeback.leave()
        self._try(self._writeback.prove)

    def give_back(self) -> None:
        """Clean up after a crash where nobody is going to capture, so that nothing need be proved.

        Where another program is master, it is for that one to decide, which may be a daemon.
        """
        if self._writeback is not None:
            self._clean_up(self._writeback)

    def _clean_up(self, source: WritebackSource) -> None:
        path, last = self.stream.card, self._last
        log.info("%s (%s): %s through %s", path, self.driver, last.name, last.writeback)
        self._try(source.reconcile)

    def _try(self, step: Callable[[], object]) -> None:
        self._problem = None
        try:
            step()
        except CaptureUnsupportedError as error:
            self._problem = error
            log.warning("%s", error)
        except CaptureError as error:
            self._problem = error
            log.info("%s", error)
        except OSError as error:
            log.warning("%s: %s", error.filename or self.stream.card, error.strerror)

    # -- its card, as captured.cardwatch.CardUser ---------------------------------------------

    @property
    def is_capturing(self) -> bool:
        """Whether anybody gets frames."""
        return self._engine.pool is not None and self._engine.subscriber_count > 0

    def card_came(self, card: Card) -> None:
        """Capture with a card from now on.

        Raises:
            CaptureError: It has no such display, or no way to capture it.
            OSError: It is gone already.
        """
        self.driver, self.stream.card = card.version().name, card.path
        source = self._find(card)
        self._writeback = source
        self._source.put(source)
        self._engine.name = self._last.name  # of which the news below are
        if self._is_started:
            # No proof now: a compositor that has waited for the card wants to be its master.
            self._clean_up(source)
            self._tell(EventKind.OUTPUT_ADDED, _came(self._last.name, card.path))
        self._engine.source_came(self._last.name, _policy(self.driver, self._settings))

    def _find(self, card: Card) -> WritebackSource:
        """Return what captures the display that was captured before, or the one to begin with."""
        known, wanted = self._last.name, self._settings.output
        try:
            return self._find_display(card, known)
        except NoOutputError:
            if known == wanted:
                raise
            return self._find_display(card, wanted)

    def _find_display(self, card: Card, name: str) -> WritebackSource:
        wishes = self._wishes._replace(name=name)
        source = WritebackSource(card, FlipQueue(card), wishes, self.stream.stream_id)
        self._last = source.look()
        source.pin(self._last.name)
        self._plug = plug_of(self._last.name, read_plugs(card))
        return source

    def card_went(self, problem: CaptureError) -> None:
        """Capture no more, until another card comes."""
        had_one, before = self._writeback is not None, self._last.problem
        self._engine.source_went(problem)
        self._source.take_out(problem)
        self._writeback, self.stream.card = None, ""
        self._last = _unseen(self._last.name)._replace(problem=problem)
        if had_one:
            self._tell(EventKind.OUTPUT_REMOVED, problem)
        elif before is None or before.code != problem.code:
            self._tell(EventKind.OUTPUT_CHANGED, problem)

    def connectors_read(self, plugs: tuple[Plug, ...]) -> None:
        """See whether what is plugged in is other than clients were told, and tell them."""
        before, self._plug = self._plug, plug_of(self._last.name, plugs)
        news = news_of(before, self._plug)
        if news is not None:
            log.info("%s", news)
            self._tell(EventKind.OUTPUT_CHANGED, news)

    def _tell(self, kind: EventKind, news: CaptureError) -> None:
        if self._is_started:
            self._engine.outlet.output_changed(kind, news)

    # -- how it is ----------------------------------------------------------------------------

    def summary(self) -> str:
        """Say in a few words what is captured, or what is in the way; looks at nothing."""
        problem = self._engine.problem
        if self._engine.pool is None and problem is None:
            problem = self._problem if self._writeback else self._last.problem
        if problem is not None:
            return str(problem)
        card, mode = self.stream.card.rpartition("/")[2], self._last.mode
        shape = self._engine.geometry or (
            mode and _geometry(mode.width, mode.height, mode.refresh_mhz)
        )
        return f"{card} {self._last.name} {shape or 'off'}"

    # -- from one daemon to the next ----------------------------------------------------------

    def keep(self) -> Keepsake | None:
        """Say what there is to keep; None when that is nothing, or cannot be kept."""
        pool, card, source = self._engine.pool, self._watch.card, self._writeback
        if pool is None or card is None or source is None:
            return None
        return keepsake.keep(self._last.name, card, source, pool)

    def adopt(self, record: OutputRecord) -> Pool:
        """Go on with what was kept, through the same open file of the card; nothing is touched.

        Raises:
            CaptureError: The settings have changed, or the connector was taken off.
            OSError: The card is gone, or another.
        """
        card, source = self._watch.card, self._writeback
        if card is None or source is None or not card.is_kept:
            raise CaptureLostError("its card was not kept")
        fourcc = source.choose_fourcc(self._last.fourccs)
        wanted = self._last.name, fourcc, self._settings.buffers, "dumb"
        if wanted != (record.name, record.fourcc, len(record.slots), self._settings.memory):
            raise CaptureLostError("the settings have changed")
        pool = keepsake.adopt(record, card, source)
        self._is_started = True
        return pool

    def hand_over(self) -> None:
        """Leave everything as it is to the next daemon, which has the card's file as well."""
        self._watch.close()

    # -- what clients ask for -----------------------------------------------------------------

    def look(self) -> OutputLook:
        """Say how the output is now; a problem is part of that, never raised."""
        if self._writeback is None:
            return self._describe(self._last)
        try:
            self._last = self._writeback.look()
        except CaptureError as error:
            return self._describe(self._last._replace(mode=None, problem=error))
        except OSError as error:
            if is_gone(error):
                self._watch.card_died(error)
            lost = CaptureLostError(f"{self.stream.card}: {error.strerror}", "is the card gone?")
            return self._describe(self._last._replace(mode=None, problem=lost))
        return self._describe(self._last)

    def _describe(self, outlook: Outlook) -> OutputLook:
        mode = outlook.mode
        return OutputLook(
            outlook.name,
            outlook.connector_id,
            outlook.crtc_id,
            outlook.writeback,
            mode
            and (self._engine.geometry or _geometry(mode.width, mode.height, mode.refresh_mhz)),
            outlook.fourccs,
            outlook.problem,
            outlook.clones,
        )

    def _fourcc(self) -> int:
        geometry = self._engine.geometry
        if geometry is not None:
            return geometry.fourcc
        if self._writeback is None:
            raise self._last.problem or no_card()
        return self._writeback.choose_fourcc(self._last.fourccs)

    def _planes(self) -> list[protocol.PlaneStatus]:
        if self._writeback is None:
            return []
        try:
            return [_plane_status(shown) for shown in self._writeback.shown_planes()]
        except (CaptureError, OSError):
            return []  # `look` says what is wrong

    def close(self) -> None:
        """Give the display back, then close the card. Twice is fine."""
        self._engine.close()
        self._watch.close()


def _policy(driver: str, settings: Config) -> Policy:
    policy = policy_of(driver)
    if settings.settle is not None:
        policy = policy._replace(settle_s=settings.settle)
    return policy._replace(pace=Pace(settings.pace)) if settings.pace else policy


def _plane_status(shown: ShownPlane) -> protocol.PlaneStatus:
    plane = shown.plane
    where = shown.x, shown.y, shown.width, shown.height, shown.zpos
    return protocol.PlaneStatus(
        plane.plane_id, plane.fb_id, shown.fourcc, *where, plane.plane_type, shown.maker
    )


def _geometry(width: int, height: int, refresh_mhz: int) -> Geometry:
    return Geometry(width, height, refresh_mhz, 0, MODIFIER_LINEAR)


def _unseen(name: str) -> Outlook:
    """Return what there is to say of a display without a card."""
    return Outlook(name, 0, 0, "", None, (), no_card())


def _came(name: str, path: str) -> CaptureError:
    return CaptureLostError(f"{name} is on {path}", code="card-came")
