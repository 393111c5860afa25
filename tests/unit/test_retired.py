# SPDX-License-Identifier: MIT
"""captured.capture.retired: memory that was given up, as its references are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from captured.capture import retired
from captured.capture.retired import Retired
from tests.support.fakes import FakeMemory
from tests.support.fds import open_fds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
    kept.add(with_fd)
    with_fd.close()
    assert kept.size == 0


def test_memory_that_a_client_has_is_counted_until_it_is_let_go_of(
    kept: Retired, count: Callable[[int], None]
) -> None:
    memory = FakeMemory()
    count(2)
    kept.add(memory)
    memory.close()
    kept.reap()
    assert kept.size == memory.size
    count(1)
    kept.reap()
    assert kept.size == 0


def test_memory_whose_references_nobody_counts_is_left_alone(kept: Retired) -> None:
    memory = FakeMemory()  # a memfd
    kept.add(memory)
    memory.close()
    assert kept.size == 0


def test_what_is_forgotten_is_closed(count: Callable[[int], None]) -> None:
    before = open_fds()
    memory, kept = FakeMemory(), Retired()
    count(2)
    kept.add(memory)
    memory.close()
    kept.close()
    kept.close()
    assert open_fds() == before
