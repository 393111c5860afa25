# SPDX-License-Identifier: MIT
"""A card of memory alone: it makes buffers and framebuffers, and notes what is committed."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from capturectl.fd import OwnedFd
from captured.drm import uapi
from captured.drm.card import Card

if TYPE_CHECKING:
    from collections.abc import Callable


OUT_FENCE_PTR = 1002
"""The number that `topology` gives WRITEBACK_OUT_FENCE_PTR."""


class Submitted(NamedTuple):
    """An atomic ioctl as the kernel reads it."""

    flags: int
    objects: dict[int, dict[int, int]]
    user_data: int


def read_commit(argument: uapi.Atomic) -> Submitted:
    """Read what an atomic ioctl points to, as the kernel would."""
    count = argument.count_objs
    objects = (ctypes.c_uint32 * count).from_address(argument.objs_ptr)
    counts = (ctypes.c_uint32 * count).from_address(argument.count_props_ptr)
    total = sum(counts)
    prop_ids = (ctypes.c_uint32 * total).from_address(argument.props_ptr)
    values = (ctypes.c_uint64 * total).from_address(argument.prop_values_ptr)
    pairs = iter(zip(prop_ids, values, strict=True))
    found = {
        object_id: dict(next(pairs) for _ in range(props))
        for object_id, props in zip(objects, counts, strict=True)
    }
    return Submitted(argument.flags, found, argument.user_data)


class FakeCard(Card):
    """Answers the ioctls that memory is made with, and lists what it did not get back.

    Its pixels are one memfd, in which each dumb buffer has a place. Open until `close()`.
    """

    def __init__(self, alignment: int = 64, *, is_kept: bool = False) -> None:
        """Make it.

        Args:
            alignment: Of the pitch of its dumb buffers, in bytes.
            is_kept: Whether it comes from a former process.
        """
        memfd = OwnedFd(os.memfd_create("card"), "card")
        super().__init__(memfd, "/dev/dri/card0", is_kept=is_kept)
        self.is_gone = False
        """Whether it was unplugged: every ioctl fails with ENODEV."""
        self.refusals: dict[str, int] = {}
        """errno by the name of the ioctl that fails with it."""
        self.handles: dict[int, int] = {}
        """Where in the memfd the buffer of each GEM handle begins."""
        self.fb_ids: set[int] = set()
        self.is_master = is_kept
        self.submitted: list[Submitted] = []
        self.fence = -1
        """What the next commits leave as their out-fence; -1 for none."""
        self._alignment = alignment
        self._size = self._count = 0
        self._answers: dict[str, Callable[[Any], None]] = {
            uapi.CREATE_DUMB.name: self._create_dumb,
            uapi.MAP_DUMB.name: self._map_dumb,
            uapi.DESTROY_DUMB.name: self._close_handle,
            uapi.PRIME_HANDLE_TO_FD.name: self._export,
            uapi.PRIME_FD_TO_HANDLE.name: self._import,
            uapi.GEM_CLOSE.name: self._close_handle,
            uapi.ADDFB2.name: self._add_fb,
            uapi.RMFB.name: self._remove_fb,
            uapi.CREATEPROPBLOB.name: self._create_blob,
            uapi.DESTROYPROPBLOB.name: lambda _: None,
            uapi.SET_CLIENT_CAP.name: lambda _: None,
            uapi.SET_MASTER.name: self._take_master,
            uapi.DROP_MASTER.name: self._drop_master,
        }

    def ioctl(
        self, request: uapi.Request, argument: ctypes.Structure | None = None, what: str = ""
    ) -> None:
        self._check(request.name, what)
        self._answers[request.name](argument)

    def commit(self, argument: uapi.Atomic) -> None:
        self._check(uapi.ATOMIC.name, self.path)
        self.submitted.append(read_commit(argument))
        for values in self.submitted[-1].objects.values():
            if self.fence >= 0 and OUT_FENCE_PTR in values:
                ctypes.c_int32.from_address(values[OUT_FENCE_PTR]).value = self.fence

    def _check(self, name: str, what: str) -> None:
        code = errno.ENODEV if self.is_gone else self.refusals.get(name, 0)
        if code:
            raise OSError(code, f"{name}: {os.strerror(code)}", what)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _create_dumb(self, argument: uapi.CreateDumb) -> None:
        row = argument.width * argument.bpp // 8
        argument.pitch = -(-row // self._alignment) * self._alignment
        argument.size = -(-argument.pitch * argument.height // mmap.PAGESIZE) * mmap.PAGESIZE
        argument.handle = self._next()
        self.handles[argument.handle] = self._size
        self._size += argument.size
        os.ftruncate(self.fileno(), self._size)

    def _map_dumb(self, argument: uapi.MapDumb) -> None:
        argument.offset = self.handles[argument.handle]

    def _export(self, argument: uapi.PrimeHandle) -> None:
        argument.fd = os.dup(self.fileno())

    def _import(self, argument: uapi.PrimeHandle) -> None:
        argument.handle = self._next()
        self.handles[argument.handle] = 0

    def _close_handle(self, argument: uapi.GemClose | uapi.DestroyDumb) -> None:
        del self.handles[argument.handle]

    def _add_fb(self, argument: uapi.FbCmd2) -> None:
        argument.fb_id = self._next()
        self.fb_ids.add(argument.fb_id)

    def _remove_fb(self, argument: uapi.RemoveFb) -> None:
        self.fb_ids.remove(argument.fb_id)

    def _create_blob(self, argument: uapi.CreateBlob) -> None:
        argument.blob_id = self._next()

    def _take_master(self, argument: None) -> None:
        self.is_master = True

    def _drop_master(self, argument: None) -> None:
        self.is_master = False
