# SPDX-License-Identifier: MIT
"""A machine without a display driver, or with a card that displays nothing."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.processes import captured

MODULES = "/run/modules"


def test_no_card_at_all_has_its_own_message_and_exit_status_4() -> None:
    done = captured()
    assert done.returncode == 4
    assert done.stderr == (
        "captured: there is no card under /dev/dri: load the display driver of this machine\n"
    )


def test_a_card_that_does_not_exist_is_named() -> None:
    done = captured("--card", "/dev/dri/card7")
    assert done.returncode == 4
    assert done.stderr == (
        "captured: /dev/dri/card7 does not exist: there is no card under /dev/dri\n"
    )


def test_a_file_that_is_no_card_is_refused() -> None:
    done = captured("--card", "/dev/null")
    assert done.returncode == 4
    assert "/dev/null is not a DRM card" in done.stderr


@pytest.fixture
def _vgem() -> None:
    for module in ("drm_shmem_helper", "vgem"):
        subprocess.run(["insmod", f"{MODULES}/{module}.ko"], check=False)


@pytest.mark.usefixtures("_vgem")
def test_a_card_without_modesetting_is_told_from_one_without_writeback() -> None:
    done = captured("--card", "/dev/dri/card0")
    assert done.returncode == 4
    assert "/dev/dri/card0 (vgem) has no atomic modesetting" in done.stderr


@pytest.mark.usefixtures("_vgem")
def test_a_driver_without_a_writeback_connector_is_told_so() -> None:
    subprocess.run(["insmod", f"{MODULES}/vkms.ko", "enable_writeback=0"], check=True)
    try:
        done = captured()
    finally:
        subprocess.run(["rmmod", "vkms"], check=True)
    assert done.returncode == 4
    assert done.stderr.startswith("captured: none of the 2 cards has a writeback connector: ")
    assert "/dev/dri/card1 has no writeback connector" in done.stderr
