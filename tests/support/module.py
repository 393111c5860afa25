# SPDX-License-Identifier: MIT
"""The test card comes, goes and is plugged, as the kernel tells it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.processes import Lost, wait_until

CARD_EVENT = Path("/sys/class/drm/card0/uevent")
CONNECTOR = Path("/sys/class/drm/card0-Virtual-1/status")
_MODULE = "/run/modules/vkms.ko"
_PLUGGED = "change 0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e HOTPLUG=1"


def announce_removal() -> None:
    """Tell everybody that the card is going, as a bus does before its driver is unbound.

    Kernel: VKMS has no bus, and cannot be unloaded while it is open.
    """
    CARD_EVENT.write_text("remove")


def remove() -> None:
    """Unload the card's driver; whoever has the card open is given time to close it."""
    announce_removal()
    wait_until(lambda: _rmmod() == "", "everybody closes the card")


def _rmmod() -> str:
    return subprocess.run(["rmmod", "vkms"], check=False, capture_output=True, text=True).stderr


def insert() -> None:
    """Load the card's driver."""
    done = subprocess.run(
        ["insmod", _MODULE, "enable_overlay=1"], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise Lost(f"the driver cannot be loaded: {done.stderr}")


def tell_hotplug() -> None:
    """Say that something about the connectors has changed."""
    CARD_EVENT.write_text(_PLUGGED)


def plug(*, is_in: bool) -> None:
    """Plug the display in or out.

    Kernel: drm_sysfs.c, status_store. VKMS polls no connector, so nobody is told by it.
    """
    CONNECTOR.write_text("on" if is_in else "off")
    tell_hotplug()
