# SPDX-License-Identifier: MIT
"""captured.capture.job: the states of one capture."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from captured.capture.job import JobState, WritebackJob
from captured.capture.pool import Slot
from tests.support.fakes import FakeFence, FakeMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

EBADMSG = 74

STEPS = ("prepare", "committed", "refused", "ended", "lost")

LEGAL = {
    (JobState.IDLE, "prepare"): JobState.PREPARED,
    (JobState.PREPARED, "committed"): JobState.COMMITTED,
    (JobState.PREPARED, "refused"): JobState.FAILED,
    (JobState.COMMITTED, "ended"): JobState.SIGNALLED,
    (JobState.COMMITTED, "lost"): JobState.LOST,
}

WAYS: dict[JobState, tuple[str, ...]] = {
    JobState.IDLE: (),
    JobState.PREPARED: ("prepare",),
    JobState.COMMITTED: ("prepare", "committed"),
    JobState.SIGNALLED: ("prepare", "committed", "ended"),
    JobState.FAILED: ("prepare", "refused"),
    JobState.LOST: ("prepare", "committed", "lost"),
}


class Bench:
    """A job, and what its steps need."""

    def __init__(self) -> None:
        self.fence = FakeFence()
        self.memory = FakeMemory()
        self.slot = Slot(0, 1, self.memory)
        self.job = WritebackJob(1)

    def step(self, name: str) -> None:
        {
            "prepare": lambda: self.job.prepare(self.slot),
            "committed": lambda: self.job.committed(self.fence, 11),
            "refused": self.job.refused,
            "ended": lambda: self.job.ended(1, 22),
            "lost": self.job.lost,
        }[name]()

    def bring_to(self, state: JobState) -> None:
        for name in WAYS[state]:
            self.step(name)

    def close(self) -> None:
        self.fence.close()
        self.memory.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_new_job_is_idle(bench: Bench) -> None:
    assert bench.job.state is JobState.IDLE


def test_a_job_that_is_made_with_its_slot_is_prepared(bench: Bench) -> None:
    job = WritebackJob(1, bench.slot)
    assert (job.state, job.slot) == (JobState.PREPARED, bench.slot)


@pytest.mark.parametrize(("state", "step"), LEGAL)
def test_a_legal_step_leads_to_the_next_state(bench: Bench, state: JobState, step: str) -> None:
    bench.bring_to(state)
    bench.step(step)
    assert bench.job.state is LEGAL[state, step]


@pytest.mark.parametrize(
    ("state", "step"),
    [pair for pair in itertools.product(JobState, STEPS) if pair not in LEGAL],
)
def test_any_other_step_raises_and_changes_nothing(
    bench: Bench, state: JobState, step: str
) -> None:
    bench.bring_to(state)
    with pytest.raises(RuntimeError, match=f"WritebackJob 1 {state.name}.* cannot become"):
        bench.step(step)
    assert bench.job.state is state


def test_a_fence_with_an_error_fails_the_job(bench: Bench) -> None:
    bench.bring_to(JobState.COMMITTED)
    bench.job.ended(-EBADMSG, 22)
    assert bench.job.state is JobState.FAILED


def test_a_job_knows_when_it_was_committed_and_done(bench: Bench) -> None:
    bench.bring_to(JobState.SIGNALLED)
    assert (bench.job.time_commit_ns, bench.job.time_done_ns) == (11, 22)


@pytest.mark.parametrize("state", [JobState.SIGNALLED, JobState.LOST])
def test_the_end_of_a_job_closes_its_fence(bench: Bench, state: JobState) -> None:
    bench.bring_to(state)
    assert bench.fence.is_closed


def test_a_fence_that_is_for_the_next_job_too_stays_open(bench: Bench) -> None:
    bench.fence.is_lasting = True
    bench.bring_to(JobState.SIGNALLED)
    assert not bench.fence.is_closed


def test_a_committed_job_keeps_its_fence_open(bench: Bench) -> None:
    bench.bring_to(JobState.COMMITTED)
    assert not bench.fence.is_closed
