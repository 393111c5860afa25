# SPDX-License-Identifier: MIT
"""The buffers of one output: the pool there is, and what clients keep of former ones."""

from __future__ import annotations

from capturectl.errors import CaptureError
from captured import log
from captured.capture.alarm import Alarm
from captured.capture.pool import Pool
from captured.capture.retired import MOST_POOLS, Retired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.capture.alarm import Clock
    from captured.capture.outlet import Outlet
    from captured.capture.pool import Slot
    from captured.capture.source import Geometry, Memory


_RENEW_GAP_NS = 1_000_000_000
"""Between two replacements: making memory takes longer than anything else in the loop."""
_REAP_S = 2.0
"""Between two looks at whether clients have former buffers still."""


class Holdings:
    """Makes the pool, renews it, and gives it up. Open until `close()`.

    Ownership: owns the pool, and a descriptor of what clients keep of former ones.
    """

    def __init__(self, clock: Clock, size: int, allocate: Callable[[], Memory]) -> None:
        """Have nothing yet.

        Args:
            clock: The loop; borrowed.
            size: Of a pool.
            allocate: Makes the memory of one slot.
        """
        self.pool: Pool | None = None
        """None while nothing is attached."""
        self.generation = 0
        """Of the last pool."""
        self.retired = Retired()
        self._clock = clock
        self._size = size
        self._allocate = allocate
        self._renewed_ns = 0
        self._reaping = Alarm(clock, self._reap)

    # -- the pool -----------------------------------------------------------------------------

    def make(self, geometry: Geometry) -> None:
        """Make a pool.

        Raises:
            OSError: ENOMEM; there is none then.
        """
        self.generation += 1
        self.pool = Pool(geometry, self.generation, self._size, self._allocate)

    def adopt(self, pool: Pool) -> None:
        """Go on with a former daemon's pool, owned from here on; clients have some of it."""
        pool.recount()
        self.pool, self.generation = pool, pool.generation

    def free(self, outlet: Outlet) -> None:
        """Give the pool up, and tell. Twice is fine."""
        pool, self.pool = self.pool, None
        if pool is None:
            return
        for slot in pool.slots:
            self._retire(slot)
        pool.close()
        outlet.pool_freed(pool.generation)

    def renew(self, slot: Slot, pool: Pool, outlet: Outlet) -> Slot:
        """Replace a slot that was taken to be written, unless clients keep too much already.

        Returns:
            What is there to be written now.
        """
        now_ns = self._clock.now_ns()
        if now_ns - self._renewed_ns < _RENEW_GAP_NS:
            return slot
        self.retired.reap()
        if self.are_too_many_kept:
            return slot
        self._renewed_ns = now_ns
        fresh = self._replace(slot, pool, outlet)
        if fresh is None:
            return slot
        fresh.take()
        return fresh

    def replace_lost(self, pool: Pool, outlet: Outlet) -> None:
        """Replace what was lost, as far as there is memory: else the pool would be used up."""
        self.retired.reap()
        for slot in () if self.are_too_many_kept else pool.lost:
            self._replace(slot, pool, outlet)

    def _replace(self, slot: Slot, pool: Pool, outlet: Outlet) -> Slot | None:
        try:
            memory = self._allocate()
        except (OSError, CaptureError) as error:
            log.warning("%r is not replaced: %s", slot, error)
            return None
        self._retire(slot)
        outlet.slot_replaced(slot)
        fresh = pool.replace(slot, memory)
        outlet.pool_changed()
        return fresh

    # -- former ones --------------------------------------------------------------------------

    @property
    def are_too_many_kept(self) -> bool:
        """Whether all clients together keep too many former buffers, as of the last look."""
        return len(self.retired) > MOST_POOLS * self._size

    def kept_beyond_share(self, uid: int) -> int:
        """How many former buffers a user may have still, if more than a pool has; else 0."""
        if self.retired.count_of(uid) > self._size:
            self.retired.reap()  # it may have let go since the last look
        kept = self.retired.count_of(uid)
        return kept if kept > self._size else 0

    def _retire(self, slot: Slot) -> None:
        try:
            self.retired.add(slot.memory, slot.knowers)
        except OSError as error:  # EMFILE: it goes all the same
            log.warning("%r is not counted: %s", slot, error)
        self._reaping.set_in(_REAP_S)

    def _reap(self) -> None:
        self.retired.reap()
        if self.retired.size:
            self._reaping.set_in(_REAP_S)

    def close(self) -> None:
        """Forget what clients keep; the pool is freed before. Twice is fine."""
        self._reaping.clear()
        self.retired.close()
