# SPDX-License-Identifier: MIT
"""What is known of single drivers and shows when capturing: a table with reasons, for doctors.

docs/kernel-notes.md has the same with the kernel's symbols. What the daemon does about pace is in
`pacing`.
"""

from __future__ import annotations

from capturectl.typed import NamedTuple

LOSES = "loses-captures"
HALF_RATE = "half-rate"
FALSE_SUCCESS = "false-success"
NO_CLONES = "no-clones"
OWN_CRTC = "own-crtc"
FREEZES = "freezes-flips"
STOPS = "stops-writes"
SLOW = "slow"


class Quirk(NamedTuple):
    """One driver's deviation."""

    word: str
    sentence: str
    """What it does; not every kernel's version of the driver may."""
    remedy: str = ""
    """What the daemon does about it, or a user can."""
    is_warning: bool = False
    """Whether it does harm that no other check would show."""


_FALSE_SUCCESS = "a capture that failed may be reported as good, with an old picture"
_PROVED = "captured looks at each picture, and hands none out that was not written from end to end"
_NO_CLONES = "many of its versions do not let display and writeback share a CRTC"

_QUIRKS: dict[str, tuple[Quirk, ...]] = {
    "vkms": (
        Quirk(
            LOSES,
            "some of its versions lose a capture that follows another closely",
            "captured pauses after each fence; where captures are lost all the same, use a kernel "
            "whose vkms counts its composer's users",
        ),
    ),
    "rcar-du": (
        Quirk(HALF_RATE, "its fence comes a vblank late", "captured keeps two captures under way"),
        Quirk(FALSE_SUCCESS, _FALSE_SUCCESS, _PROVED, is_warning=True),
        Quirk(NO_CLONES, _NO_CLONES),
    ),
    "msm": (
        Quirk(
            LOSES,
            "it loses a capture that follows another closely",
            "captured pauses after each fence",
        ),
        Quirk(FALSE_SUCCESS, _FALSE_SUCCESS, _PROVED, is_warning=True),
        Quirk(
            FREEZES, "a compositor's flips may not show while the writeback is attached",
            is_warning=True,
        ),
        Quirk(NO_CLONES, _NO_CLONES, "later kernels let a DSI display be captured"),
    ),
    "mali-dp": (
        Quirk(
            STOPS, "a flip of another program stops a write that is under way", is_warning=True
        ),
    ),
    "komeda": (Quirk(NO_CLONES, _NO_CLONES),),
    "amdgpu": (
        Quirk(NO_CLONES, _NO_CLONES),
        Quirk(
            FALSE_SUCCESS, "its fence goes by the clock, and may come before the last rows",
            _PROVED, is_warning=True,
        ),
        Quirk(
            SLOW, "each capture waits for a whole frame in the interrupt handler", is_warning=True
        ),
    ),
    "vc4": (
        Quirk(OWN_CRTC, "its writeback has a CRTC of its own and sees no HDMI or DSI display"),
    ),
}  # fmt: skip


def quirks_of(driver: str) -> tuple[Quirk, ...]:
    """Return what is known of a driver, by its short name; often nothing."""
    return _QUIRKS.get(driver, ())
