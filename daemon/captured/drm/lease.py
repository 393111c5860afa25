# SPDX-License-Identifier: MIT
"""Leases: some objects of a master, lent to another open file.

For who owns a display and lends its CRTC, a writeback connector and a plane to be captured. The
daemon itself lends nothing.
"""

from __future__ import annotations

import ctypes
import os

from capturectl.fd import OwnedFd
from capturectl.typed import NamedTuple
from captured.drm import uapi
from captured.drm.card import Card
from captured.drm.ids import LesseeId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from captured.drm.ids import ObjectId


class Lease(NamedTuple):
    """A lease that this process gave."""

    lessee_id: LesseeId
    card: Card
    """The lessee's file. Owned by the receiver; its client capabilities start off."""


def create_lease(card: Card, object_ids: Sequence[ObjectId]) -> Lease:
    """Lend objects to a new file.

    Args:
        card: The master.
        object_ids: At least a CRTC, a connector and a plane. The lessor keeps their use.

    Raises:
        OSError: EINVAL when a kind is missing, EBUSY when an object is lent already,
            EACCES without master, ENOENT for an unknown object.

    Kernel: drivers/gpu/drm/drm_lease.c, drm_mode_create_lease_ioctl.
    """
    ids = (ctypes.c_uint32 * len(object_ids))(*object_ids)
    argument = uapi.CreateLease(
        ctypes.addressof(ids), len(ids), uapi.DRM_CLOEXEC | os.O_NONBLOCK, 0, 0
    )
    card.ioctl(uapi.CREATE_LEASE, argument, f"{card.path} lease")
    fd = OwnedFd(argument.fd, f"{card.path} lease")
    return Lease(LesseeId(argument.lessee_id), Card(fd, f"{card.path} lease"))


def list_lessees(card: Card) -> tuple[LesseeId, ...]:
    """Return the lessees of this master."""
    return tuple(LesseeId(number) for number in _read_list(card, uapi.LIST_LESSEES))


def leased_objects(card: Card) -> tuple[int, ...]:
    """Return the ids of the objects that this file may use; all of them for a master."""
    return tuple(_read_list(card, uapi.GET_LEASE))


def revoke_lease(card: Card, lessee_id: LesseeId) -> None:
    """End a lease; the lessee's calls fail with ENOENT from then on.

    Raises:
        OSError: ENOENT when there is no such lessee, EACCES when it is not ours.
    """
    card.ioctl(uapi.REVOKE_LEASE, uapi.RevokeLease(lessee_id), f"lessee {lessee_id}")


def _read_list(card: Card, request: uapi.Request) -> list[int]:
    # Kernel: the first call says how many there are; more may come before the second.
    count = uapi.ListLessees()
    card.ioctl(request, count)
    numbers = (ctypes.c_uint32 * count.count)()
    answer = uapi.ListLessees(count.count, 0, ctypes.addressof(numbers))
    card.ioctl(request, answer)
    return list(numbers[: min(answer.count, count.count)])
