# SPDX-License-Identifier: MIT
"""Waiting for a fence: every number of seconds ends, and a fence that was read is not asked."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureTimeoutError
from capturectl.fd import OwnedFd
from capturectl.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fence() -> Iterator[Fence]:
    """A fence that has not ended."""
    begun = Fence(OwnedFd(os.eventfd(0), "fence"))
    yield begun
    begun.close()


@pytest.mark.parametrize("timeout", [0, 0.0001, -0.0001, -1, -math.inf])
def test_a_fence_that_does_not_end_in_time_is_a_timeout(fence: Fence, timeout: float) -> None:
    with pytest.raises(CaptureTimeoutError):
        fence.wait(timeout)


@pytest.mark.parametrize("timeout", [None, 0, 10.0**9, 1e300, math.inf])
def test_a_fence_that_has_ended_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    monkeypatch.setattr(Fence, "_read", lambda _: (1, 5))
    ended = Fence(OwnedFd(os.eventfd(1), "fence"))
    assert ended.wait(timeout) == 5
    ended.close()


def test_a_timeout_that_is_no_number_is_refused(fence: Fence) -> None:
    with pytest.raises(ValueError, match="NaN"):
        fence.wait(math.nan)
