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
from captured.capture.pool import Pool, Slot
from captured.capture.source import Geometry
from captured.drm.framebuffer import DumbBuffer, DumbFramebuffer
from captured.drm.ids import FbId, GemHandle
from captured.drm.memory import DumbMemory
from captured.drm.writeback import FlipQueue, Outlook, Wishes, WritebackSource
from captured.handover.keeper import Keepsake
from captured.handover.records import MOST_PATH, LitRecord, OutputRecord, SlotRecord
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
        self._settings = settings
        self._problem: CaptureError | None = None
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
        self._source.leave()
        self._try(self._source.prove)

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
            log.warning("%s: %s", error.filename or self._card.path, error.strerror)

    def summary(self) -> str:
        """Say in a few words what is captured, or what is in the way; looks at nothing."""
        problem = self._engine.problem
        if self._engine.pool is None and problem is None:
            problem = self._problem
        if problem is not None:
            return str(problem)
        card, mode = self._card.path.rpartition("/")[2], self._last.mode
        shape = self._engine.geometry or (
            mode and _geometry(mode.width, mode.height, mode.refresh_mhz)
        )
        return f"{card} {self._last.name} {_shape(shape) if shape else 'off'}"

    # -- from one daemon to the next ----------------------------------------------------------

    def keep(self) -> Keepsake | None:
        """Say what there is to keep; None when that is nothing, or cannot be kept."""
        pool = self._engine.pool
        if pool is None or self._card.is_shared or len(self._card.path) > MOST_PATH:
            return None
        memories = [slot.memory for slot in pool.slots]
        slots = tuple(
            SlotRecord(slot.index, memory.fb_id, memory.gem_handle, memory.planes[0].pitch,
                       memory.size, slot.is_tainted)
            for slot, memory in zip(pool.slots, memories, strict=True)
            if isinstance(memory, DumbMemory)
        )  # fmt: skip
        if len(slots) != len(pool):
            return None  # what is sealed can be mapped once only
        head = self._last.name, self._card.path, pool.generation
        record = OutputRecord(*head, *pool.geometry, self._lit_record(), slots)
        return Keepsake(record, self._card.fileno(), pool.slots)

    def _lit_record(self) -> LitRecord:
        lit = self._source.lit
        if lit is None:
            return LitRecord(0, 0, 0)
        fb = lit.fb
        return LitRecord(1, fb.fb_id, fb.buffer.gem_handle) if fb else LitRecord(1, 0, 0)

    def adopt(self, record: OutputRecord) -> Pool:
        """Go on with what was kept, through the same open file of the card; nothing is touched.

        Raises:
            CaptureError: The settings have changed, or the connector was taken off.
            OSError: The card is gone, or another.
        """
        geometry = Geometry(*record[3:8])
        fourcc = self._source.choose_fourcc(self._last.fourccs)
        wanted = self._last.name, fourcc, self._settings.buffers, "dumb"
        kept = record.name, record.fourcc, len(record.slots), self._settings.memory
        if wanted != kept or not self._card.is_kept:
            raise CaptureLostError("the settings have changed")
        self._source.adopt(geometry, self._black(record), is_lit=bool(record.lit.is_lit))
        slots: list[Slot] = []
        try:
            for place, row in enumerate(record.slots):
                memory = DumbMemory(self._framebuffer(geometry, row))
                slots.append(Slot(row.buffer, record.generation, memory, place))
                slots[-1].is_tainted = row.is_tainted
        except BaseException:
            for slot in slots:
                slot.memory.close()
            self._source.detach()
            raise
        return Pool.adopt(geometry, slots)

    def _framebuffer(self, geometry: Geometry, kept: SlotRecord) -> DumbFramebuffer:
        handle = GemHandle(kept.gem_handle)
        buffer = DumbBuffer.adopt(self._card, handle, kept.pitch, kept.size)
        shape = geometry.width, geometry.height, geometry.fourcc
        return DumbFramebuffer.adopt(buffer, FbId(kept.fb_id), *shape)

    def _black(self, record: OutputRecord) -> DumbFramebuffer | None:
        if not record.lit.fb_id:
            return None
        buffer = DumbBuffer.adopt(self._card, GemHandle(record.lit.gem_handle), 0, 0)
        return DumbFramebuffer.adopt(buffer, FbId(record.lit.fb_id), *record[3:5], record.fourcc)

    # -- what clients ask for -----------------------------------------------------------------

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

    def summary(self) -> str:
        """Say in a few words what is captured."""
        return f"pattern {_shape(self._geometry)}"

    def keep(self) -> Keepsake | None:
        """Nothing: its memory can be mapped for drawing only once."""
        return None

    def adopt(self, record: OutputRecord) -> Pool:
        """Refuse; nothing was kept."""
        raise CaptureLostError(f"{record.name} is another output")

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


def _shape(geometry: Geometry) -> str:
    return f"{geometry.width}x{geometry.height}@{geometry.refresh_mhz / 1000:.4g}"


def _geometry(width: int, height: int, refresh_mhz: int) -> Geometry:
    return Geometry(width, height, refresh_mhz, 0, MODIFIER_LINEAR)
