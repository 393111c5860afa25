# SPDX-License-Identifier: MIT
"""How drivers want their captures spaced: a table with reasons."""

from __future__ import annotations

from enum import Enum

from capturectl.typed import NamedTuple


class Pace(Enum):
    """What the next commit waits for."""

    FENCE = "fence"
    """The picture is written: one job at a time."""
    FLIP = "flip"
    """The vblank of the commit has passed: one job is written while the next one waits."""


class Policy(NamedTuple):
    """One driver's needs."""

    fence_deadline_s: float = 1.0
    """A fence that has not ended by then, and four frames long, belongs to a lost job."""
    proofs: int = 3
    """Captures that may fail, after a lost one, to prove that fences and jobs are in step."""
    settle_s: float = 0.0
    """Pause between a fence and the next commit."""
    pace: Pace = Pace.FENCE
    proves_each: bool = False
    """Fences may end well though nothing was written: every capture has to prove that it was.
    With `Pace.FLIP` each has to anyway."""


_DEFAULT = Policy()

_POLICIES: dict[str, Policy] = {
    # Quirk(vkms): before Linux counts the composer's users, a commit that follows a fence
    # closely loses its job when that of the one before is cleaned up later still
    # (vkms_writeback.c, vkms_wb_cleanup_job), and every later fence signals one job late. The
    # pause lets the cleaning up go first, unless the CPU is busy; it costs no frame at 60 Hz.
    "vkms": Policy(settle_s=0.003),
    # Quirk(rcar-du): the fence signals one vblank after the flip (vsp1_dl.c,
    # vsp1_dlm_irq_frame_end reports the list that was active before), so that waiting for it
    # halves the rate. The job's flag lives in its display list: two under way are safe.
    # A write that finds no display list to chain is dropped, and its fence ends well all the same
    # (vsp1_wpf.c, wpf_configure_writeback_chain), whatever the pace.
    "rcar-du": Policy(pace=Pace.FLIP, proves_each=True),
    # Quirk(msm): the driver forgets "the" job when that of the last capture is cleaned up, which
    # comes from a work queue after the fence (dpu_encoder_phys_wb.c,
    # dpu_encoder_phys_wb_cleanup_wb_job). A commit that was prepared before is not kicked off
    # then, or finds a null pointer. The pause is that of vkms, for the same reason, and costs no
    # frame: the commit after a fence waits for the next vblank anyway.
    # A write that takes longer than 84 ms ends well (_dpu_encoder_phys_wb_handle_wbdone_timeout).
    "msm": Policy(settle_s=0.003, proves_each=True),
    # Quirk(amdgpu): the fence ends when a frame's time has passed, in whole milliseconds, and not
    # when the hardware says so (amdgpu_dm.c, dm_crtc_high_irq): the last rows may be missing.
    "amdgpu": Policy(proves_each=True),
}


def policy_of(driver: str) -> Policy:
    """Return what a driver needs; the default for one that needs nothing special."""
    return _POLICIES.get(driver, _DEFAULT)
