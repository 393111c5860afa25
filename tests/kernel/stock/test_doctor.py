# SPDX-License-Identifier: MIT
"""The doctor on a driver that does not let display and writeback share a CRTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.diagnosis import diagnose

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.processes import DaemonProcess, SceneProcess

REASON = (
    "Writeback-1 and Virtual-1 may not share crtc-0: their encoders are no possible clones"
)  # fmt: skip


@pytest.mark.slow
def test_the_masks_are_the_cause_and_what_the_daemon_says_follows(daemon: DaemonProcess) -> None:
    found = diagnose(daemon.socket)
    assert (found.status, found.cause, found.reason) == (4, ("clones", "clone-refused"), REASON)
    assert list(found.others().values()).count("fail") == 1


@pytest.mark.slow
def test_without_a_daemon_the_masks_are_the_first_cause(socket: Path, scene: SceneProcess) -> None:
    found = diagnose(socket)
    assert (found.status, found.cause) == (4, ("clones", "clone-refused"))


@pytest.mark.slow
def test_while_the_display_is_off_the_masks_are_a_warning(socket: Path) -> None:
    found = diagnose(socket)
    assert found.others()["clones"] == "warn"
    assert (found.status, found.cause) == (5, ("display", "output-off"))
