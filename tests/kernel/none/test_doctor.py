# SPDX-License-Identifier: MIT
"""The doctor on a machine without a display driver, or with cards that display nothing."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.diagnosis import diagnose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULES = "/run/modules"


@pytest.mark.slow
def test_no_card_is_the_one_cause(socket: Path) -> None:
    found = diagnose(socket)
    assert (found.status, found.cause) == (4, ("card", "no-card"))
    assert found.reason == "there is no card under /dev/dri"
    assert list(found.others().values()).count("fail") == 1


@pytest.fixture
def _vgem() -> Iterator[None]:
    subprocess.run(["insmod", f"{MODULES}/drm_shmem_helper.ko"], check=False)
    subprocess.run(["insmod", f"{MODULES}/vgem.ko"], check=True)
    yield
    subprocess.run(["rmmod", "vgem"], check=True)


@pytest.mark.slow
@pytest.mark.usefixtures("_vgem")
def test_a_card_without_modesetting_is_the_cause(socket: Path) -> None:
    found = diagnose(socket)
    assert (found.status, found.cause) == (4, ("capabilities", "unsupported"))
    assert "vgem" in found.reason


@pytest.mark.slow
@pytest.mark.usefixtures("_vgem")
def test_of_two_cards_the_one_that_displays_is_judged(socket: Path) -> None:
    subprocess.run(["insmod", f"{MODULES}/vkms.ko", "enable_writeback=0"], check=True)
    try:
        found = diagnose(socket)
    finally:
        subprocess.run(["rmmod", "vkms"], check=True)
    assert (found.status, found.cause) == (4, ("writeback", "no-writeback"))
    assert found.reason == "/dev/dri/card1 (vkms) has no writeback connector"
