# SPDX-License-Identifier: MIT
"""One captured output, put together: source, engine, and the stream that clients see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl import protocol
from capturectl.errors import CaptureError, CaptureLostError, CaptureUnsupportedError
from capturectl.fourcc import MODIFIER_LINEAR
from captured import log
from captured.capture.engine import Engine, Settings
from captured.capture.pacing import Pace, Policy, policy_of
from captured.capture.pattern import PatternSource, parse_geometry
from captured.capture.source import Geometry
from captured.drm.writeback import FlipQueue, Outlook, Wishes, WritebackSource
from captured.server.stream import OutputLook, Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.config import Config
    from captured.drm.card import Card
    from captured.drm.shown import ShownPlane
    from captured.reactor import Reactor


_PATTERN_NAME = "Pattern-1"


class WritebackOutput:
    """A display, captured through a writeback connector. Open until `close()`.

    Ownership: owns the engine; borrows the card and the loop.
    """

    def __init__(self, stream_id: int, card: Card, settings: Config, reactor: Reactor) -> None:
        """Find the display and build what captures it; nothing is touched.

        Raises:
            NoOutputError: The card has no such display.
            CaptureUnsupportedError: No writeback connector can serve it.
        """
        self._card = card
        self.driver = card.version().name
        is_sealed = settings.memory == "sealed"
        wishes = Wishes(settings.output, settings.fourcc, settings.modeset, is_sealed)
        self._source = WritebackSource(card, FlipQueue(card), wishes, stream_id)
        self._last = self._source.look()
        self._source.pin(self._last.name)
        self._engine = Engine(
            self._last.name,
            self._source,
            reactor,
            _engine_settings(settings),
            _policy(self.driver, settings),
        )
        self.stream = Stream(
            stream_id,
            self._engine,
            self._source.kind,
            card.path,
            self.look,
            self._fourcc,
            self._planes,
            has_fences=self._source.has_fences,
        )

    def start(self) -> None:
        """Clean up after a crash, and prove that the driver lets us capture.

        What stands in the way is logged: it may pass, and every client is told.
        """
        last = self._last
        path, name = self._card.path, last.name
        log.info("%s (%s): %s through %s", path, self.driver, name, last.writeback)
        self._try(self._source.reconcile)
        self._try(self._source.prove)

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except CaptureUnsupportedError as error:
            log.warning("%s", error)
        except CaptureError as error:
            log.info("%s", error)
        except OSError as error:
            log.warning("%s: %s", error.filename or self._card.path, error.strerror)

    def look(self) -> OutputLook:
        """Say how the output is now; a problem is part of that, never raised."""
        try:
            self._last = self._source.look()
        except CaptureError as error:
            return self._describe(self._last._replace(mode=None, problem=error))
        except OSError as error:
            lost = CaptureLostError(f"{self._card.path}: {error.strerror}", "is the card gone?")
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
        return geometry.fourcc if geometry else self._source.choose_fourcc(self._last.fourccs)

    def _planes(self) -> list[protocol.PlaneStatus]:
        try:
            return [_plane_status(shown) for shown in self._source.shown_planes()]
        except (CaptureError, OSError):
            return []  # `look` says what is wrong

    def close(self) -> None:
        """Give the display back. Twice is fine."""
        self._engine.close()


class PatternOutput:
    """The test picture, as an output. Open until `close()`; owns its engine."""

    def __init__(self, stream_id: int, settings: Config, reactor: Reactor) -> None:
        """Build it.

        Raises:
            UsageError: The setting is no geometry.
        """
        self.driver = "pattern"
        self._geometry = parse_geometry(settings.pattern)
        source = PatternSource(self._geometry)
        self._engine = Engine(_PATTERN_NAME, source, reactor, _engine_settings(settings), Policy())
        self.stream = Stream(
            stream_id, self._engine, source.kind, "", self.look, lambda: self._geometry.fourcc
        )

    def start(self) -> None:
        """Nothing is in its way."""
        log.info("pattern: %dx%d, no display involved", *self._geometry[:2])

    def look(self) -> OutputLook:
        """Say how it is, which is always the same."""
        geometry = self._geometry
        return OutputLook(_PATTERN_NAME, 0, 0, "", geometry, (geometry.fourcc,), None)

    def close(self) -> None:
        """End it. Twice is fine."""
        self._engine.close()


def _engine_settings(settings: Config) -> Settings:
    return Settings(settings.buffers, settings.linger, protocol.LEASE_MS / 1000)


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
