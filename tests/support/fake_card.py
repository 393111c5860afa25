# SPDX-License-Identifier: MIT
"""A card of memory alone: it makes buffers and framebuffers, and knows which are left."""

from __future__ import annotations

import errno
import mmap
import os
from typing import TYPE_CHECKING, Any

from capturectl.fd import OwnedFd
from captured.drm import uapi
from captured.drm.card import Card

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable


class FakeCard(Card):
    """Answers the ioctls that memory is made with, and lists what it did not get back.

    Its pixels are one memfd, in which each dumb buffer has a place. Open until `close()`.
    """

    def __init__(self, alignment: int = 64) -> None:
        """Make it.

        Args:
            alignment: Of the pitch of its dumb buffers, in bytes.
        """
        super().__init__(OwnedFd(os.memfd_create("card"), "card"), "/dev/dri/card0")
        self.is_gone = False
        """Whether it was unplugged: every ioctl fails with ENODEV."""
        self.refusals: dict[str, int] = {}
        """errno by the name of the ioctl that fails with it."""
        self.handles: dict[int, int] = {}
        """Where in the memfd the buffer of each GEM handle begins."""
        self.fb_ids: set[int] = set()
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
        }

    def ioctl(
        self, request: uapi.Request, argument: ctypes.Structure | None = None, what: str = ""
    ) -> None:
        code = errno.ENODEV if self.is_gone else self.refusals.get(request.name, 0)
        if code:
            raise OSError(code, f"{request.name}: {os.strerror(code)}", what)
        self._answers[request.name](argument)

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
