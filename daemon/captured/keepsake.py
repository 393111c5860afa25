# SPDX-License-Identifier: MIT
"""A captured display as one daemon keeps it for the next, and as that takes it over."""

from __future__ import annotations

from captured.capture.pool import Pool, Slot
from captured.capture.source import Geometry
from captured.drm.framebuffer import DumbBuffer, DumbFramebuffer
from captured.drm.ids import FbId, GemHandle
from captured.drm.memory import DumbMemory
from captured.handover.keeper import Keepsake
from captured.handover.records import MOST_PATH, LitRecord, OutputRecord, SlotRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.drm.card import Card
    from captured.drm.writeback import WritebackSource


def keep(name: str, card: Card, source: WritebackSource, pool: Pool) -> Keepsake | None:
    """Say what there is to keep of a display; None when it cannot be kept.

    Ownership: the card in it is borrowed.
    """
    if card.is_shared or len(card.path) > MOST_PATH:
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
    head = name, card.path, pool.generation
    record = OutputRecord(*head, *pool.geometry, _lit_record(source), slots)
    return Keepsake(record, card, pool.slots)


def _lit_record(source: WritebackSource) -> LitRecord:
    lit = source.lit
    if lit is None:
        return LitRecord(0, 0, 0)
    fb = lit.fb
    return LitRecord(1, fb.fb_id, fb.buffer.gem_handle) if fb else LitRecord(1, 0, 0)


def adopt(record: OutputRecord, card: Card, source: WritebackSource) -> Pool:
    """Take a display over, attached as it is.

    Args:
        record: What was kept.
        card: The same open file.
        source: Of the same display; attached from here on.

    Returns:
        The pool; owned by the caller.

    Raises:
        CaptureError: The connector was taken off.
        OSError: The card is gone, or another.
    """
    geometry = Geometry(*record[3:8])
    source.adopt(geometry, _black(record, card), is_lit=bool(record.lit.is_lit))
    slots: list[Slot] = []
    try:
        for place, row in enumerate(record.slots):
            memory = DumbMemory(_framebuffer(card, geometry, row))
            slots.append(Slot(row.buffer, record.generation, memory, place))
            slots[-1].is_tainted = row.is_tainted
    except BaseException:
        for slot in slots:
            slot.memory.close()
        source.detach()
        raise
    return Pool.adopt(geometry, slots)


def _framebuffer(card: Card, geometry: Geometry, kept: SlotRecord) -> DumbFramebuffer:
    buffer = DumbBuffer.adopt(card, GemHandle(kept.gem_handle), kept.pitch, kept.size)
    shape = geometry.width, geometry.height, geometry.fourcc
    return DumbFramebuffer.adopt(buffer, FbId(kept.fb_id), *shape)


def _black(record: OutputRecord, card: Card) -> DumbFramebuffer | None:
    if not record.lit.fb_id:
        return None
    buffer = DumbBuffer.adopt(card, GemHandle(record.lit.gem_handle), 0, 0)
    return DumbFramebuffer.adopt(buffer, FbId(record.lit.fb_id), *record[3:5], record.fourcc)
