# SPDX-License-Identifier: MIT
"""Who tries again when."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace

import pytest

from capturectl import errors
from capturectl.reach import Comeback, may_come_back, pauses

LOST = errors.CaptureLostError("gone")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time in seconds, as `now`; it stands still."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("capturectl.reach.time.monotonic", lambda: clock.now)
    return clock


def test_pauses_double_up_to_two_seconds() -> None:
    assert list(islice(pauses(), 8)) == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (errors.CaptureLostError("hung up"), True),
        (errors.CaptureLostError("the driver loses captures", code="lost"), True),
        (errors.UnreachableError("nobody answers"), True),
        (errors.CaptureTimeoutError("no answer"), True),
        (errors.NoOutputError("no such output"), False),
        (errors.CaptureUnsupportedError("no card yet", code="no-card"), False),
        (errors.CaptureLostError("cut off by hand", code="disconnected"), False),
        (errors.NotAllowedError("not yours"), False),
        (errors.ProtocolError("nonsense"), False),
        (errors.CaptureClosedError("closed"), False),
    ],
    ids=lambda value: getattr(value, "reason", None),
)
def test_whether_to_come_back_depends_on_what_happened(
    error: errors.CaptureError, *, may: bool
) -> None:
    assert may_come_back(error) is may


def test_what_runs_is_not_to_begin_again() -> None:
    assert Comeback().error is None


def test_each_failure_makes_the_pause_longer(clock: SimpleNamespace) -> None:
    comeback = Comeback()
    seconds = []
    for _ in range(3):
        comeback.after(LOST)
        seconds.append(comeback.seconds())
        comeback.has_begun()
    assert seconds == pytest.approx([0.05, 0.1, 0.2])


def test_a_frame_makes_the_pauses_short_again(clock: SimpleNamespace) -> None:
    comeback = Comeback()
    for _ in range(5):
        comeback.after(LOST)
    comeback.frame_came()
    comeback.after(LOST)
    assert comeback.seconds() == pytest.approx(0.05)


def test_a_pause_becomes_shorter_as_time_goes_by_and_is_over_then(clock: SimpleNamespace) -> None:
    comeback = Comeback()
    comeback.after(LOST)
    clock.now += 0.04
    assert comeback.seconds() == pytest.approx(0.01)
    clock.now += 1
    assert comeback.seconds() == 0
