# SPDX-License-Identifier: MIT
"""captured.capture.pool: slots and who holds them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from captured.capture.pool import NOWHERE, RESERVE, Pool, Slot, SlotState
from tests.support.fakes import GEOMETRY, FakeMemory, FakeSubscriber, FencedMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def lend(slot: Slot, now_ns: int = 1) -> FakeSubscriber:
    """Lend it to somebody new."""
    holder = FakeSubscriber()
    slot.lend([holder], now_ns)
    return holder


STEPS: dict[str, Callable[[Slot], object]] = {
    "take": Slot.take,
    "give_back": Slot.give_back,
    "written": Slot.written,
    "quarantine": Slot.quarantine,
    "lend": lend,
    "returned": Slot.returned,
    "free": Slot.free,
}

SIZE = 5

LEGAL = {
    (SlotState.FREE, "take"): SlotState.PENDING,
    (SlotState.PENDING, "give_back"): SlotState.FREE,
    (SlotState.PENDING, "written"): SlotState.READY,
    (SlotState.PENDING, "quarantine"): SlotState.QUARANTINED,
    (SlotState.PENDING, "lend"): SlotState.PENDING,
    (SlotState.READY, "lend"): SlotState.LENT,
    (SlotState.READY, "free"): SlotState.FREE,
    (SlotState.LENT, "lend"): SlotState.LENT,
    (SlotState.LENT, "returned"): SlotState.READY,
}

WAYS: dict[SlotState, tuple[str, ...]] = {
    SlotState.FREE: (),
    SlotState.PENDING: ("take",),
    SlotState.READY: ("take", "written"),
    SlotState.LENT: ("take", "written", "lend"),
    SlotState.QUARANTINED: ("take", "quarantine"),
}

ILLEGAL = [(state, step) for state in SlotState for step in STEPS if (state, step) not in LEGAL]


@pytest.fixture
def memory() -> Iterator[FencedMemory]:
    made = FencedMemory()
    yield made
    made.close()


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(GEOMETRY, 1, SIZE, FakeMemory)
    yield made
    made.close()


def slot_in(state: SlotState, memory: FakeMemory) -> Slot:
    slot = Slot(0, 1, memory)
    for step in WAYS[state]:
        STEPS[step](slot)
    return slot


def taken(pool: Pool) -> Slot:
    slot = pool.take()
    assert slot is not None
    return slot


def published(pool: Pool) -> Slot:
    slot = taken(pool)
    pool.publish(slot)
    return slot


# -- one slot ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "step"), LEGAL)
def test_a_legal_step_leads_to_the_next_state(
    memory: FakeMemory, state: SlotState, step: str
) -> None:
    slot = slot_in(state, memory)
    STEPS[step](slot)
    assert slot.state is LEGAL[state, step]


@pytest.mark.parametrize(("state", "step"), ILLEGAL)
def test_any_other_step_raises_and_changes_nothing(
    memory: FakeMemory, state: SlotState, step: str
) -> None:
    slot = slot_in(state, memory)
    with pytest.raises(RuntimeError, match=f"Slot 0.1 {state.name}.* cannot be"):
        STEPS[step](slot)
    assert slot.state is state


def test_a_slot_lent_to_two_is_lent_until_both_gave_it_back(memory: FakeMemory) -> None:
    slot = slot_in(SlotState.LENT, memory)
    lend(slot)
    states = []
    for _ in range(2):
        slot.returned()
        states.append(slot.state)
    assert states == [SlotState.LENT, SlotState.READY]


def test_a_slot_that_was_told_of_before_it_was_written_is_lent_then(memory: FakeMemory) -> None:
    slot = slot_in(SlotState.PENDING, memory)
    lend(slot)
    slot.written()
    assert slot.state is SlotState.LENT


def test_a_slot_that_was_given_back_before_it_was_written_is_ready_then(
    memory: FakeMemory,
) -> None:
    slot = slot_in(SlotState.PENDING, memory)
    lend(slot)
    slot.returned()
    slot.written()
    assert slot.state is SlotState.READY


def test_a_slot_is_lent_since_its_youngest_lease(memory: FakeMemory) -> None:
    slot = slot_in(SlotState.READY, memory)
    for now_ns in (10, 30):
        lend(slot, now_ns)
    assert slot.lent_at_ns == 30


def test_a_slot_is_idle_when_no_reader_has_a_fence_on_it(memory: FencedMemory) -> None:
    assert Slot(0, 1, memory).is_idle()


def test_a_slot_is_not_idle_while_a_reader_has_a_fence_on_it(memory: FencedMemory) -> None:
    memory.begin_reading()
    assert not Slot(0, 1, memory).is_idle()


def test_a_slot_is_idle_again_when_the_readers_fence_has_ended(memory: FencedMemory) -> None:
    memory.begin_reading()
    memory.end_reading()
    assert Slot(0, 1, memory).is_idle()


def test_memory_that_takes_no_fences_is_always_idle(memory: FencedMemory) -> None:
    memory.takes_fences = False
    memory.begin_reading()
    assert Slot(0, 1, memory).is_idle()


# -- the pool ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_a_pool_that_leaves_nothing_for_a_new_client_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="leaves none for a new client"):
        Pool(GEOMETRY, 1, size, FakeMemory)


def test_all_slots_are_allocated_at_once_and_free(pool: Pool) -> None:
    assert (len(pool), pool.count(SlotState.FREE)) == (SIZE, SIZE)


def test_memory_that_was_allocated_before_a_failure_is_freed() -> None:
    memories: list[FakeMemory] = []

    def allocate() -> FakeMemory:
        if len(memories) == 2:
            raise OSError(errno.ENOMEM, "Out of memory")
        memories.append(FakeMemory())
        return memories[-1]

    with pytest.raises(OSError, match="Out of memory"):
        Pool(GEOMETRY, 1, SIZE, allocate)
    assert [memory.is_closed for memory in memories] == [True, True]


def test_a_taken_slot_is_pending(pool: Pool) -> None:
    assert taken(pool).state is SlotState.PENDING


def test_each_slot_is_taken_once(pool: Pool) -> None:
    slots = {taken(pool).index for _ in range(SIZE)}
    assert slots == set(range(SIZE))
    assert pool.take() is None


def test_a_slot_that_a_reader_still_reads_is_passed_over() -> None:
    memories: list[FencedMemory] = []

    def allocate() -> FencedMemory:
        memories.append(FencedMemory())
        return memories[-1]

    pool = Pool(GEOMETRY, 1, SIZE, allocate)
    memories[0].begin_reading()
    assert taken(pool).index == 1
    pool.close()


def test_a_published_slot_is_the_newest(pool: Pool) -> None:
    slot = published(pool)
    assert pool.newest is slot
    assert [s for s in pool.slots if s.is_newest] == [slot]
    assert slot.state is SlotState.READY


def test_publishing_frees_the_picture_before_when_nobody_has_it(pool: Pool) -> None:
    older = published(pool)
    published(pool)
    assert older.state is SlotState.FREE


def test_publishing_leaves_the_picture_before_to_whoever_has_it(pool: Pool) -> None:
    older = published(pool)
    lend(older)
    published(pool)
    assert older.state is SlotState.LENT


def test_the_newest_picture_stays_when_it_comes_back(pool: Pool) -> None:
    slot = published(pool)
    lend(slot)
    pool.returned(slot)
    assert slot.state is SlotState.READY


def test_an_older_picture_is_freed_when_its_last_holder_gives_it_back(pool: Pool) -> None:
    older = published(pool)
    lend(older)
    lend(older)
    published(pool)
    states = []
    for _ in range(2):
        pool.returned(older)
        states.append(older.state)
    assert states == [SlotState.LENT, SlotState.FREE]


def test_a_quarantined_slot_is_never_taken_again(pool: Pool) -> None:
    lost = taken(pool)
    pool.quarantine(lost)
    for _ in range(6):
        assert published(pool) is not lost
    assert pool.count(SlotState.QUARANTINED) == 1


# -- lending ----------------------------------------------------------------------------------


def test_all_slots_but_the_reserve_are_to_spare(pool: Pool) -> None:
    published(pool)
    assert pool.spare == SIZE - 2


def test_a_held_slot_is_none_to_spare_once_there_is_a_newer_one(pool: Pool) -> None:
    lend(published(pool))
    before = pool.spare
    published(pool)
    assert (before, pool.spare) == (SIZE - 2, SIZE - 3)


def test_a_slot_that_comes_back_is_to_spare_again(pool: Pool) -> None:
    older = published(pool)
    lend(older)
    published(pool)
    pool.returned(older)
    assert pool.spare == SIZE - 2


def test_a_lost_slot_is_none_to_spare(pool: Pool) -> None:
    pool.quarantine(taken(pool))
    assert pool.spare == SIZE - 3


def test_the_slack_is_lent_to_all_when_quarantine_leaves_nothing_else(pool: Pool) -> None:
    slacks = [pool.slack]
    for _ in range(2):
        pool.quarantine(taken(pool))
        slacks.append(pool.slack)
    assert slacks == [1, 1, 0]
    assert pool.spare == 1


def test_while_something_is_to_spare_lending_leaves_a_slot_to_write_to(pool: Pool) -> None:
    for _ in range(2 * SIZE):
        slot = published(pool)
        if pool.spare > 0:
            lend(slot)
    assert pool.count(SlotState.LENT) == SIZE - 2


def lent_at(pool: Pool, *times: int) -> list[Slot]:
    """Lend a new picture at each of these times."""
    slots = []
    for now_ns in times:
        slots.append(published(pool))
        lend(slots[-1], now_ns)
    return slots


def test_leases_are_overdue_by_their_time_the_oldest_first(pool: Pool) -> None:
    first, second, _ = lent_at(pool, 20, 10, 30)
    published(pool)
    assert list(pool.overdue(30)) == [second, first]


def test_the_newest_slot_is_never_overdue(pool: Pool) -> None:
    (older, _) = lent_at(pool, 10, 20)
    assert list(pool.overdue(100)) == [older]


def test_a_slot_with_a_young_lease_is_not_overdue(pool: Pool) -> None:
    (older,) = lent_at(pool, 10)
    lend(older, 90)
    published(pool)
    assert list(pool.overdue(50)) == []


def test_a_revoked_slot_is_free_and_all_its_holders_hear_of_it(pool: Pool) -> None:
    slot = published(pool)
    holders = Listening(), Listening()
    slot.lend(holders, 10)
    published(pool)
    assert pool.revoke(slot, is_overdue=True) == 2
    assert slot.state is SlotState.FREE
    assert [holder.heard for holder in holders] == [[slot], [slot]]


def test_who_gave_a_slot_back_does_not_hear_that_it_is_revoked(pool: Pool) -> None:
    slot = published(pool)
    holder, other = Listening(), Listening()
    slot.lend([holder, other], 10)
    published(pool)
    other.has_it = False
    pool.returned(slot)
    assert pool.revoke(slot, is_overdue=True) == 1
    assert (holder.heard, other.heard) == ([slot], [])


def test_a_slot_is_replaced_by_a_free_one_with_a_new_number(pool: Pool) -> None:
    slot = taken(pool)
    fresh = pool.replace(slot, FakeMemory())
    assert (fresh.index, fresh.generation, fresh.state) == (SIZE, 1, SlotState.FREE)
    assert not slot.memory.planes[0].dmabuf
    assert len(pool) == SIZE


def test_what_was_lost_can_be_lent_again_once_it_is_replaced(pool: Pool) -> None:
    slot = taken(pool)
    spare = pool.spare
    pool.quarantine(slot)
    assert pool.lost == [slot]
    assert (pool.spare, pool.lendable) == (spare - 1, SIZE - RESERVE - 1)
    pool.replace(slot, FakeMemory())
    assert pool.lost == []
    assert (pool.spare, pool.lendable) == (spare, SIZE - RESERVE)


class Listening:
    """A holder that notes what is taken from it."""

    def __init__(self) -> None:
        self.heard: list[Slot] = []
        self.has_it = True

    def holds(self, slot: Slot) -> bool:
        return self.has_it

    def revoked(self, slot: Slot, *, is_overdue: bool) -> None:
        self.heard.append(slot)


# -- closing ----------------------------------------------------------------------------------


def test_closing_frees_the_memory_of_every_slot_and_lent_ones_too() -> None:
    memories = [FakeMemory() for _ in range(SIZE)]
    pool = Pool(GEOMETRY, 1, SIZE, iter(memories).__next__)
    lend(published(pool))
    pool.close()
    assert all(memory.is_closed for memory in memories)


def test_closing_twice_is_fine(pool: Pool) -> None:
    pool.close()
    pool.close()
    assert len(pool) == 0


# --- a pool that a former daemon made -----------------------------------------------------------


def adopted() -> Pool:
    slots = [Slot(index, 3, FakeMemory(), place) for place, index in enumerate((0, 7, 2, 3))]
    return Pool.adopt(GEOMETRY, slots)


def test_an_adopted_pool_has_its_slots_and_their_generation() -> None:
    pool = adopted()
    assert [slot.index for slot in pool.slots] == [0, 7, 2, 3]
    assert pool.generation == 3
    assert pool.count(SlotState.FREE) == 4
    pool.close()


def test_a_slot_that_is_replaced_in_an_adopted_pool_gets_a_number_that_none_had() -> None:
    pool = adopted()
    taken = pool.take()
    assert taken is not None
    assert pool.replace(taken, FakeMemory()).index == 8
    pool.close()


def test_a_slot_that_is_held_is_not_written_until_it_is_let_go() -> None:
    pool = adopted()
    for slot in pool.slots:
        slot.hold()
    assert pool.take() is None
    pool.returned(pool.slots[2])
    assert pool.take() is pool.slots[2]
    pool.close()


def test_what_clients_of_a_former_daemon_hold_is_not_to_spare() -> None:
    pool = adopted()
    pool.slots[1].adopt_loan(FakeSubscriber(), 1)
    pool.recount()
    assert pool.spare == 1
    pool.returned(pool.slots[1])
    assert pool.spare == 2
    pool.close()


def test_a_slot_keeps_its_place_and_one_that_has_left_has_none(pool: Pool) -> None:
    assert [slot.place for slot in pool.slots] == list(range(len(pool)))
    taken = pool.take()
    assert taken is not None
    place = taken.place
    fresh = pool.replace(taken, FakeMemory())
    assert (fresh.place, taken.place) == (place, NOWHERE)
    pool.close()
    assert fresh.place == NOWHERE
