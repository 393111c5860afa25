# SPDX-License-Identifier: MIT
"""captured.capture.retired: memory that was given up, as its references are counted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from captured.capture import retired
from captured.capture.retired import Retired
from tests.support.fakes import FakeMemory
from tests.support.fds import open_fds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANN, BEN, CYD = 1000, 1001, 1002
BOTH = frozenset({ANN, BEN})


@pytest.fixture
def kept() -> Iterator[Retired]:
    made = Retired()
    yield made
    made.close()


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the kernel count so many references; only a real dma-buf's fdinfo has a number."""

    def say(references: int) -> None:
        monkeypatch.setattr(retired, "_references", lambda fd: references)

    return say


def test_memory_that_nobody_else_has_is_not_kept(
    kept: Retired, count: Callable[[int], None]
) -> None:
    count(1)
    with_fd = FakeMemory()
    kept.add(with_fd, BOTH)
    with_fd.close()
    assert kept.size == 0


def test_memory_that_a_client_has_is_counted_until_it_is_let_go_of(
    kept: Retired, count: Callable[[int], None]
) -> None:
    memory = FakeMemory()
    count(2)
    kept.add(memory, BOTH)
    memory.close()
    kept.reap()
    assert kept.size == memory.size
    count(1)
    kept.reap()
    assert kept.size == 0


def test_memory_counts_against_each_user_who_knows_it(
    kept: Retired, count: Callable[[int], None]
) -> None:
    count(2)
    for knowers in (BOTH, frozenset({ANN}), frozenset[int]()):
        memory = FakeMemory()
        kept.add(memory, knowers)
        memory.close()
    assert [kept.count_of(uid) for uid in (ANN, BEN, CYD)] == [2, 1, 0]


def test_memory_of_two_planes_is_kept_while_a_client_has_one_of_them(
    kept: Retired, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, other = FakeMemory(), FakeMemory()
    monkeypatch.setattr(memory, "planes", (*memory.planes, *other.planes))
    lent = [memory.size]

    def say(fd: int) -> int:
        return 1 + (bool(lent) and os.fstat(fd).st_ino == second)

    second = os.fstat(other.dmabuf.fileno()).st_ino
    monkeypatch.setattr(retired, "_references", say)
    kept.add(memory, BOTH)
    memory.close()
    other.close()
    kept.reap()
    assert kept.size == memory.size
    lent.clear()
    kept.reap()
    assert kept.size == 0


def test_memory_whose_references_nobody_counts_is_left_alone(kept: Retired) -> None:
    memory = FakeMemory()  # a memfd
    kept.add(memory, BOTH)
    memory.close()
    assert kept.size == 0


def test_what_is_forgotten_is_closed(count: Callable[[int], None]) -> None:
    before = open_fds()
    memory, kept = FakeMemory(), Retired()
    count(2)
    kept.add(memory, BOTH)
    memory.close()
    kept.close()
    kept.close()
    assert open_fds() == before
