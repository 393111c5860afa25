# SPDX-License-Identifier: MIT
"""Whatever happens in whatever order, the pool knows who has what, and what there is to spare."""

from __future__ import annotations

import contextlib

from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from hypothesis.strategies import booleans, integers

from capturectl.errors import CaptureError
from captured.capture.engine import Engine, Settings
from captured.capture.pacing import Policy
from captured.capture.pool import MINIMUM, RESERVE, SlotState
from tests.support.fakes import FakeClock, FakeOutlet, FakeSource, FakeSubscriber

LEASE_S, DEADLINE_S = 0.25, 1.0
HELD = {SlotState.LENT, SlotState.QUARANTINED}
MOST = 6


class Walk(RuleBasedStateMachine):
    """An engine, its clients, and all that they and the driver may do."""

    @initialize(size=integers(MINIMUM, 8))
    def begin(self, size: int) -> None:
        self.clock, self.source = FakeClock(), FakeSource()
        policy = Policy(fence_deadline_s=DEADLINE_S)
        self.engine = Engine("x", self.source, self.clock, Settings(size, 30.0, LEASE_S), policy)
        self.engine.outlet = FakeOutlet()
        self.subscribers: list[FakeSubscriber] = []

    def some(self, number: int) -> FakeSubscriber:
        return self.subscribers[number % len(self.subscribers)]

    # -- clients ------------------------------------------------------------------------------

    @precondition(lambda self: len(self.subscribers) < MOST)
    @rule(credits=integers(1, 4), is_prompt=booleans(), is_early=booleans())
    def subscribe(self, credits: int, is_prompt: bool, is_early: bool) -> None:  # noqa: A002
        subscriber = FakeSubscriber(credits, is_prompt=is_prompt, is_early=is_early)
        with contextlib.suppress(CaptureError):
            self.engine.subscribe(subscriber)
            self.subscribers.append(subscriber)

    @precondition(lambda self: any(one.pictures for one in self.subscribers))
    @rule(number=integers(0, MOST))
    def release(self, number: int) -> None:
        holders = [one for one in self.subscribers if one.pictures]
        holders[number % len(holders)].release(self.engine)

    @precondition(lambda self: self.subscribers)
    @rule(number=integers(0, MOST), is_cut_off=booleans())
    def leave(self, number: int, is_cut_off: bool) -> None:
        leaving = self.some(number)
        keys = {(p.slot.generation, p.slot.index) for p in leaving.pictures}
        self.engine.unsubscribe(leaving)
        while leaving.pictures:
            leaving.release(self.engine)
        self.subscribers.remove(leaving)
        if is_cut_off:
            self.engine.taint(keys)

    @precondition(lambda self: self.subscribers)
    @rule(number=integers(0, MOST))
    def stop_or_start_reading(self, number: int) -> None:
        self.some(number).takes ^= True

    # -- the driver, and time -----------------------------------------------------------------

    @precondition(lambda self: self.source.under_way)
    @rule(is_good=booleans())
    def end_capture(self, is_good: bool) -> None:
        self.source.finish(1 if is_good else -5)
        self.clock.advance()

    @precondition(lambda self: self.source.under_way)
    @rule(count=integers(2, 6))
    def end_captures(self, count: int) -> None:
        for _ in range(count):
            if self.source.under_way:
                self.source.finish()
            self.clock.advance(0.016)

    @rule()
    def outlast_a_lease(self) -> None:
        self.clock.advance(1.2 * LEASE_S)

    @rule()
    def outlast_a_fence(self) -> None:
        self.clock.advance(1.1 * DEADLINE_S)

    @rule()
    def forget_to_write(self) -> None:
        self.source.forgets_to_write ^= True

    @rule(width=integers(1, 2))
    def change_mode(self, width: int) -> None:
        self.source.geometry = self.source.geometry._replace(width=64 * width)
        self.source.refusals = 1

    # -- what must hold -----------------------------------------------------------------------

    @invariant()
    def the_pool_is_right(self) -> None:
        pool = self.engine.pool
        if pool is None:
            return
        for slot in pool.slots:
            assert slot.readers == sum(one.holds(slot) for one in self.subscribers)
            assert slot.is_newest == (slot is pool.newest)
        taken = sum(slot.state in HELD and slot is not pool.newest for slot in pool.slots)
        assert pool.spare == len(pool) - RESERVE - taken

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        while self.subscribers:
            self.leave(0, is_cut_off=False)
        self.the_pool_is_right()
        self.engine.close()
        for job in self.source.jobs:
            job.fence.close()
        for memory in self.source.memories:
            memory.close()


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, derandomize=True
)
