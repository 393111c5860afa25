# SPDX-License-Identifier: MIT
"""captured.capture.pacing: what each driver needs."""

from __future__ import annotations

from captured.capture.pacing import Pace, policy_of


def test_a_driver_that_is_not_listed_needs_no_pause() -> None:
    assert policy_of("some-new-driver").settle_s == 0


def test_vkms_gets_a_pause_between_a_fence_and_the_next_commit() -> None:
    assert policy_of("vkms").settle_s >= 0.0005


def test_rcar_du_does_not_wait_for_the_fence() -> None:
    assert policy_of("rcar-du").pace is Pace.FLIP


def test_every_other_driver_waits_for_the_fence() -> None:
    assert {policy_of(driver).pace for driver in ("vkms", "msm", "another")} == {Pace.FENCE}
