# SPDX-License-Identifier: MIT
"""Atomic requests: properties of several objects, changed together or not at all."""

from __future__ import annotations

import ctypes

from capturectl.fd import OwnedFd
from captured.drm import uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.drm.card import Card
    from captured.drm.ids import ObjectId
    from captured.drm.props import Properties


class FenceSlot:
    """Where the kernel stores the number of an out-fence.

    Belongs to the request it was added to, and lives as long as that does.

    Kernel: drm_atomic_uapi.c, setup_out_fence: a signed 32-bit number, -1 after TEST_ONLY
    and after a failure.
    """

    def __init__(self, name: str) -> None:
        self._cell = ctypes.c_int32(-1)
        self._name = name

    @property
    def address(self) -> int:
        """The address for a ..._OUT_FENCE_PTR property."""
        return ctypes.addressof(self._cell)

    def take(self) -> OwnedFd | None:
        """Take the fence of the last commit out of the slot; None when it made none.

        Ownership: the caller owns the sync_file.
        """
        fd, self._cell.value = self._cell.value, -1
        return OwnedFd(fd, self._name) if fd >= 0 else None


class AtomicReq:
    """A request that can be tested and committed, more than once.

    Not thread-safe. Borrows the card; owns its fence slots.
    Kernel: drivers/gpu/drm/drm_atomic_uapi.c, drm_mode_atomic_ioctl.
    """

    def __init__(self, card: Card) -> None:
        """Make an empty request for a card, whose ATOMIC client capability is on."""
        self._card = card
        self._objects: dict[int, dict[int, int]] = {}
        self._names: dict[tuple[int, int], str] = {}
        self._slots: list[FenceSlot] = []

    def add(self, object_id: ObjectId, properties: Properties, name: str, value: int) -> None:
        """Set a property; a second time replaces the first.

        Args:
            object_id: The connector, CRTC or plane.
            properties: That object's, to look the number up.
            name: The kernel's name of the property.
            value: Unsigned 64 bits; a negative number is taken as two's complement.

        Raises:
            KeyError: The object has no such property.
        """
        prop_id = properties.prop_id(name)
        self._objects.setdefault(object_id, {})[prop_id] = value & 0xFFFF_FFFF_FFFF_FFFF
        self._names[object_id, prop_id] = name

    def add_out_fence(self, object_id: ObjectId, properties: Properties, name: str) -> FenceSlot:
        """Ask for an out-fence and return the slot in which each commit leaves it.

        Args:
            object_id: A CRTC or a writeback connector.
            properties: That object's.
            name: "OUT_FENCE_PTR" or "WRITEBACK_OUT_FENCE_PTR".
        """
        slot = FenceSlot(f"fence of object {object_id}")
        self._slots.append(slot)
        self.add(object_id, properties, name, slot.address)
        return slot

    def test(self, *, allow_modeset: bool = False) -> None:
        """Ask the driver whether it would take the request; nothing changes.

        Raises:
            OSError: EINVAL or another errno of the driver's check; EACCES without master.
        """
        flags = uapi.DRM_MODE_ATOMIC_ALLOW_MODESET if allow_modeset else 0
        self._submit(flags | uapi.DRM_MODE_ATOMIC_TEST_ONLY, 0)

    def commit(self, *, allow_modeset: bool = False) -> None:
        """Commit and wait until it is on the glass.

        Args:
            allow_modeset: Whether the outputs may be interrupted for it.

        Raises:
            OSError: As `test`.
        """
        self._submit(uapi.DRM_MODE_ATOMIC_ALLOW_MODESET if allow_modeset else 0, 0)

    def commit_nowait(self, *, user_data: int | None = None) -> None:
        """Commit without waiting; never a modeset.

        Args:
            user_data: When given, the card gets a flip event with this number at the vblank
                at which the commit takes effect.

        Raises:
            OSError: EBUSY while an earlier commit on the same CRTC waits for its vblank.
        """
        event = uapi.DRM_MODE_PAGE_FLIP_EVENT if user_data is not None else 0
        self._submit(uapi.DRM_MODE_ATOMIC_NONBLOCK | event, user_data or 0)

    def describe(self) -> str:
        """Return the request in one line, for logs."""
        return "; ".join(
            f"object {object_id}: "
            + ", ".join(f"{self._names[object_id, prop]}={val:#x}" for prop, val in props.items())
            for object_id, props in self._objects.items()
        )

    def _submit(self, flags: int, user_data: int) -> None:
        objects = (ctypes.c_uint32 * len(self._objects))(*self._objects)
        counts = (ctypes.c_uint32 * len(self._objects))(*map(len, self._objects.values()))
        pairs = [pair for props in self._objects.values() for pair in props.items()]
        prop_ids = (ctypes.c_uint32 * len(pairs))(*(prop_id for prop_id, _ in pairs))
        values = (ctypes.c_uint64 * len(pairs))(*(value for _, value in pairs))
        argument = uapi.Atomic(
            flags,
            len(objects),
            *(ctypes.addressof(array) for array in (objects, counts, prop_ids, values)),
            0,
            user_data,
        )
        # The arrays and the fence slots stay referenced until the kernel has answered.
        self._card.commit(argument)
