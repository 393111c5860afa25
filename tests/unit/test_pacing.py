# SPDX-License-Identifier: MIT
"""captured.capture.pacing: what each driver needs."""

from __future__ import annotations

import pytest

from captured.capture.pacing import Pace, policy_of


def test_a_driver_that_is_not_listed_needs_no_pause() -> None:
    assert policy_of("some-new-driver").settle_s == 0


@pytest.mark.parametrize("driver", ["vkms", "msm"])
def test_a_driver_that_cleans_up_after_the_fence_gets_a_pause(driver: str) -> None:
    assert policy_of(driver).settle_s >= 0.0005


@pytest.mark.parametrize("driver", ["msm", "rcar-du", "amdgpu"])
def test_a_driver_whose_fences_may_lie_proves_each_capture(driver: str) -> None:
    assert policy_of(driver).proves_each
    assert policy_of(driver)._replace(pace=Pace.FENCE).proves_each


def test_other_drivers_need_not() -> None:
    drivers = ("vkms", "mali-dp", "komeda", "another")
    assert not any(policy_of(driver).proves_each for driver in drivers)


def test_rcar_du_does_not_wait_for_the_fence() -> None:
    assert policy_of("rcar-du").pace is Pace.FLIP


def test_every_other_driver_waits_for_the_fence() -> None:
    assert {policy_of(driver).pace for driver in ("vkms", "msm", "another")} == {Pace.FENCE}
