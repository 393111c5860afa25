# SPDX-License-Identifier: MIT
"""How drivers want their captures spaced: a table with reasons."""

from __future__ import annotations

from typing import NamedTuple


class Policy(NamedTuple):
    """One driver's needs."""

    fence_deadline_s: float = 2.0
    """A fence that has not ended by then belongs to a lost job."""
    settle_s: float = 0.0
    """Pause between a fence and the next commit."""


_DEFAULT = Policy()

_POLICIES: dict[str, Policy] = {
    # Quirk(vkms): before Linux counts the composer's users, a commit that follows a fence
    # within about half a millisecond loses its job (vkms_writeback.c, vkms_wb_cleanup_job),
    # and every later fence signals one job late. The pause costs nothing that a frame misses.
    "vkms": Policy(settle_s=0.001),
}


def policy_of(driver: str) -> Policy:
    """Return what a driver needs; the default for one that needs nothing special."""
    return _POLICIES.get(driver, _DEFAULT)
