# SPDX-License-Identifier: MIT
"""The slots that pictures are written to, and who holds them."""

from __future__ import annotations

import select
from enum import Enum, auto

from capturectl.typed import Protocol
from captured import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from captured.capture.source import Geometry, Memory


RESERVE = 2
"""Slots that always belong to the daemon: one being written, and the newest."""

SLACK = 1
"""Lendable slots that are kept for clients who give frames back soon."""


MINIMUM = RESERVE + SLACK + 1
"""The smallest pool from which a new client gets a frame."""

MAXIMUM = 64
"""The largest pool."""

NOWHERE = MAXIMUM
"""The place of a slot that is in no pool any more."""


class Holder(Protocol):
    """Whoever a slot is lent to."""

    def holds(self, slot: Slot) -> bool:
        """Whether it has a slot now."""

    def revoked(self, slot: Slot, *, is_overdue: bool) -> None:
        """Hear that a slot it holds is taken back: held for too long, or never written."""


class SlotState(Enum):
    """Whose a slot is."""

    FREE = auto()
    """Nobody's; may be written to once its readers' fences have ended."""
    PENDING = auto()
    """A job's; its content is undefined."""
    READY = auto()
    """Holds a picture that nobody has."""
    LENT = auto()
    """Clients read it."""
    QUARANTINED = auto()
    """A lost job may still write to it; never used again in this generation."""


# Each look through the class costs a call, and these are looked at for every frame.
_FREE, _PENDING, _READY, _LENT = (
    SlotState.FREE, SlotState.PENDING, SlotState.READY, SlotState.LENT,
)  # fmt: skip
_TAKEN = (SlotState.LENT, SlotState.QUARANTINED)


class Slot:
    """One buffer of the pool. Changes hands only through its methods.

    Ownership: owns its memory.
    """

    __slots__ = (
        "_poller", "generation", "index", "is_newest", "is_tainted", "knowers", "lent_at_ns",
        "memory", "place", "readers", "state", "told",
    )  # fmt: skip

    def __init__(self, index: int, generation: int, memory: Memory, place: int = NOWHERE) -> None:
        self.index = index
        self.generation = generation
        self.place = place
        """Where it is in its pool; another slot may come there after it."""
        self.memory = memory
        self.state = _FREE
        self.readers = 0
        """How many clients have it, or wait for its fence."""
        self.lent_at_ns = 0
        """When the youngest of its leases began; the slot is overdue a lease after that."""
        self.told: list[Sequence[Holder]] = []
        """Everybody who had it since it was written; some may have given it back."""
        self.is_newest = False
        """Whether it holds the newest picture of its pool."""
        self.is_tainted = False
        """Whether somebody may read it who may not any more: it wants to be replaced."""
        self.knowers: frozenset[int] = frozenset()
        """Users who were sent its descriptors, and may have them for ever."""
        self._poller = None
        """Looks at its readers' fences; None where there can be none."""
        if memory.takes_fences:
            self._poller = select.poll()
            for plane in memory.planes:
                self._poller.register(plane.dmabuf.fileno(), select.POLLOUT)

    def take(self) -> None:
        """FREE -> PENDING: a job is going to write."""
        if self.state is not _FREE:
            raise self._cannot_become(_PENDING)
        self.state = _PENDING

    def give_back(self) -> None:
        """PENDING -> FREE: the job wrote nothing."""
        self._step(_PENDING, _FREE)

    def written(self) -> None:
        """PENDING -> READY, or LENT where some were told before: it holds a picture."""
        if self.state is not _PENDING:
            raise self._cannot_become(_READY)
        self.state = _LENT if self.readers else _READY

    def quarantine(self) -> None:
        """PENDING -> QUARANTINED: its job was lost."""
        self._step(_PENDING, SlotState.QUARANTINED)

    def lend(self, holders: Sequence[Holder], now_ns: int) -> None:
        """READY or LENT -> LENT, PENDING stays: clients more read it, or wait for its fence."""
        state = self.state
        if state is _READY:
            self.state = _LENT
        elif state is not _LENT and state is not _PENDING:
            raise RuntimeError(f"{self!r} cannot be lent")
        self.readers += len(holders)
        self.told.append(holders)
        self.lent_at_ns = now_ns

    def returned(self) -> None:
        """LENT -> LENT or READY, PENDING stays: one client less."""
        if not self.readers:
            raise RuntimeError(f"{self!r} cannot be returned")
        self.readers -= 1
        if not self.readers:
            self.told.clear()
            if self.state is _LENT:
                self.state = _READY

    def adopt_loan(self, holder: Holder, now_ns: int) -> None:
        """FREE or LENT -> LENT: a former daemon lent it."""
        self.hold()
        self.told.append([holder])
        self.lent_at_ns = now_ns

    def hold(self) -> None:
        """FREE or LENT -> LENT: the daemon itself is a reader, until `returned`."""
        if self.state is _FREE:
            self.state = _LENT
        elif self.state is not _LENT:
            raise RuntimeError(f"{self!r} cannot be held")
        self.readers += 1

    def free(self) -> None:
        """READY -> FREE: a newer picture exists."""
        self._step(_READY, _FREE)

    def is_idle(self) -> bool:
        """Whether every reader's fence on the memory has ended.

        Kernel: a dma-buf polls writable when all its fences have signalled
        (drivers/dma-buf/dma-buf.c, dma_buf_poll); no writeback driver waits for them.
        """
        poller = self._poller
        return poller is None or len(poller.poll(0)) == len(self.memory.planes)

    def _step(self, expected: SlotState, new: SlotState) -> None:
        if self.state is not expected:
            raise self._cannot_become(new)
        self.state = new

    def _cannot_become(self, new: SlotState) -> RuntimeError:
        return RuntimeError(f"{self!r} cannot become {new.name}")

    def __repr__(self) -> str:
        return f"<Slot {self.index}.{self.generation} {self.state.name}>"


class Pool:
    """A fixed number of slots of one geometry. Open until `close()`.

    Ownership: owns its slots. Slots that clients still hold at `close()` lose their memory
    here; the clients' own dma-buf fds keep the pages.
    """

    def __init__(
        self, geometry: Geometry, generation: int, size: int, allocate: Callable[[], Memory]
    ) -> None:
        """Allocate all slots.

        Args:
            geometry: Of every slot.
            generation: The number that goes with every slot of this pool.
            size: How many; at least `MINIMUM`.
            allocate: Makes the memory of one.

        Raises:
            ValueError: The size leaves nothing for a new client.
            OSError: ENOMEM; what was allocated is freed again.
        """
        if not MINIMUM <= size <= MAXIMUM:
            raise ValueError(f"a pool of {size} buffers leaves none for a new client, or is none")
        self.geometry = geometry
        self.generation = generation
        self.newest: Slot | None = None
        self.spare = size - RESERVE
        """How many more slots may be held before the reserve is touched.

        At 0 or less the newest may not be lent: it would be missing when the next is written.
        """
        self.slack = SLACK
        """Of those, how many are kept; none when quarantine leaves no other."""
        self._next_index = size
        self._slots: list[Slot] = []
        try:
            for index in range(size):
                self._slots.append(Slot(index, generation, allocate(), index))
        except BaseException:
            self.close()
            raise

    @classmethod
    def adopt(cls, geometry: Geometry, slots: list[Slot]) -> Pool:
        """Make a pool of slots that a former daemon made; they are in the order of their places.

        Ownership: the pool owns them from here on.
        """
        pool = cls.__new__(cls)
        pool.geometry = geometry
        pool.generation = slots[0].generation
        pool.newest = None
        pool._next_index = 1 + max(slot.index for slot in slots)
        pool._slots = slots
        pool.recount()
        return pool

    # -- writing ------------------------------------------------------------------------------

    def take(self) -> Slot | None:
        """Return a slot for the next job, now PENDING; None when none is free."""
        for slot in self._slots:
            if slot.state is _FREE and slot.is_idle():
                slot.take()
                return slot
        return None

    def taint(self, keys: Collection[tuple[int, int]]) -> None:
        """Mark buffers, by (generation, buffer), for replacement as soon as they are free."""
        for slot in self._slots:
            if (slot.generation, slot.index) in keys:
                slot.is_tainted = True

    def replace(self, slot: Slot, memory: Memory) -> Slot:
        """Put new memory, owned from here on, in the place of a slot that nobody reads.

        Kernel: what may still write to the old one has a reference of its own.
        """
        fresh = Slot(self._next_index, self.generation, memory, slot.place)
        self._next_index += 1
        self._slots[slot.place], slot.place = fresh, NOWHERE
        slot.memory.close()
        self.recount()
        return fresh

    def publish(self, slot: Slot) -> None:
        """Make a written slot the newest; the one before is freed if nobody has it."""
        slot.written()
        slot.is_newest = True
        before, self.newest = self.newest, slot
        if before is None:
            return
        before.is_newest = False
        if before.state is _READY:
            before.free()
        elif before.state is _LENT:
            self.spare -= 1

    # -- lending ------------------------------------------------------------------------------

    def recount(self) -> None:
        """Count anew what there is to spare, when slots have changed hands beside the pool."""
        taken = [s for s in self._slots if s.state in _TAKEN and not s.is_newest]
        self.spare = len(self._slots) - RESERVE - len(taken)
        self._settle_slack()

    def _settle_slack(self) -> None:
        self.slack = SLACK if self.lendable > SLACK else 0

    @property
    def lendable(self) -> int:
        """How many slots may be lent when none is."""
        return len(self._slots) - RESERVE - self.count(SlotState.QUARANTINED)

    @property
    def lost(self) -> list[Slot]:
        """Those whose jobs were lost."""
        return [slot for slot in self._slots if slot.state is SlotState.QUARANTINED]

    def returned(self, slot: Slot) -> None:
        """A client gave a slot back; it is freed when it was the last and a newer one exists."""
        slot.returned()
        if slot.state is _READY and not slot.is_newest:
            slot.free()
            self.spare += 1

    def quarantine(self, slot: Slot) -> None:
        """Never use a slot again whose job was lost."""
        slot.quarantine()
        self.spare -= 1
        self._settle_slack()

    def revoke(self, slot: Slot, *, is_overdue: bool) -> int:
        """Take a slot back from all who hold it, and tell them; return how many those were."""
        revoked = 0
        for holder in [holder for told in slot.told for holder in told]:
            if holder.holds(slot):
                self.returned(slot)
                holder.revoked(slot, is_overdue=is_overdue)
                revoked += 1
        return revoked

    def overdue(self, before_ns: int) -> Iterator[Slot]:
        """Yield the slots, but the newest, whose leases all began before a time; oldest first."""
        lent = (s for s in self._slots if s.state is SlotState.LENT and s is not self.newest)
        for slot in sorted(lent, key=lambda slot: slot.lent_at_ns):
            if slot.lent_at_ns < before_ns:
                yield slot

    @property
    def patience(self) -> int:
        """How many newer captures a frame may see before it comes back, and still soon.

        Clients who all keep to it hold so many slots together that the slack is not touched:
        nobody waits because of them.
        """
        return len(self._slots) - RESERVE - SLACK - 1

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them, by place."""
        return tuple(self._slots)

    @property
    def bytes(self) -> int:
        """Memory of all slots."""
        return sum(slot.memory.size for slot in self._slots)

    def count(self, state: SlotState) -> int:
        """How many slots are in a state."""
        return sum(slot.state is state for slot in self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def close(self) -> None:
        """Free the memory of every slot. Twice is fine."""
        slots, self._slots = self._slots, []
        for slot in reversed(slots):
            slot.place = NOWHERE
            slot.told.clear()  # who knows the slot would otherwise be known to it: a cycle
            try:
                slot.memory.close()
            except OSError as error:  # the card is gone, and its memory with it
                log.warning("%r: %s", slot, error)
