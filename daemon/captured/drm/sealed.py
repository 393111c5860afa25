# SPDX-License-Identifier: MIT
"""Framebuffers whose pixels nobody but the hardware can write: sealed memfds under udmabuf."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os

from capturectl.errors import CaptureUnsupportedError
from capturectl.fd import OwnedFd
from capturectl.fourcc import pixel_format
from captured.drm import libdrm, uapi
from captured.drm.framebuffer import Framebuffer, Layout
from captured.drm.ids import FbId, GemHandle
from captured.memfd import SEALS, add_seals, make_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from captured.drm.card import Card

DEVICE = "/dev/udmabuf"

_PITCH = 256
"""Bytes; rows begin at multiples of it, which satisfies the drivers that were looked at."""

_COHERENT = ("x86_64", "i386", "i486", "i586", "i686")
"""Machines on which all DMA goes through the CPU's caches, or is seen by them."""


def check_machine() -> None:
    """Check that what the hardware writes to a memfd is what its mappings show.

    Kernel: udmabuf maps its pages with DMA_ATTR_SKIP_CPU_SYNC (drivers/dma-buf/udmabuf.c,
    get_sg_table), and a memfd is mapped cached. Where DMA goes past the caches, readers see old
    rows among new ones, and no call of theirs helps: DMA_BUF_IOCTL_SYNC is for a dma-buf.

    Raises:
        CaptureUnsupportedError: no-udmabuf.
    """
    machine = os.uname().machine
    if machine not in _COHERENT:
        raise CaptureUnsupportedError(
            f"sealed memory may show torn pictures on {machine}",
            "display hardware goes past the CPU's caches there as a rule, and sealed memory does "
            'not; set memory = "dumb"',
            code="no-udmabuf",
        )


class SealedFramebuffer(Framebuffer):
    """A framebuffer over a memfd. Exists until `close()`.

    A dma-buf can be imported by a GPU and written there, whatever its mode says. A memfd with
    F_SEAL_FUTURE_WRITE cannot be written by anybody who does not have a mapping already.

    Ownership: owns the memfd, our mapping and the GEM handle.
    Kernel: drivers/dma-buf/udmabuf.c wants F_SEAL_SHRINK and no F_SEAL_WRITE at that moment.
    """

    def __init__(self, card: Card, width: int, height: int, fourcc: int) -> None:
        """Allocate, import and register it, then seal it.

        Raises:
            CaptureUnsupportedError: no-udmabuf, or the card takes no such memory.
            OSError: ENOMEM; as of udmabuf, the import and the framebuffer.
        """
        check_machine()
        row = width * pixel_format(fourcc).bytes_per_pixel
        self.pitch = -(-row // _PITCH) * _PITCH
        self.size = -(-self.pitch * height // mmap.PAGESIZE) * mmap.PAGESIZE
        self._card = card
        self.fb_id, self._gem_handle = FbId(0), GemHandle(0)
        self.memfd, self.memory = make_memory("capture", self.size, fcntl.F_SEAL_SHRINK)
        try:
            with _explained(card.path):
                self._gem_handle = _import(card, self.memfd, self.size)
                layout = Layout(self._gem_handle, self.pitch, 0)
                super().__init__(card, width, height, fourcc, (layout,))
            add_seals(self.memfd, SEALS)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the framebuffer and let the memory go. Twice is fine.

        Raises:
            OSError: ENODEV when the card is gone; the memory is let go all the same.
        """
        try:
            super().close()
        finally:
            self._free()

    def _free(self) -> None:
        gem_handle, self._gem_handle = self._gem_handle, GemHandle(0)
        try:
            if gem_handle and self._card:
                self._card.ioctl(uapi.GEM_CLOSE, uapi.GemClose(gem_handle), f"buffer {gem_handle}")
        finally:
            self.memory.close()
            self.memfd.close()


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Say what it means that a driver refuses imported memory.

    Kernel: a driver on the DMA helpers takes memory in one piece alone, which a memfd is not
    unless an IOMMU makes it so (drm_gem_dma_helper.c, drm_gem_dma_prime_import_sg_table).
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
        raise CaptureUnsupportedError(
            f"{path} takes no sealed memory ({error.strerror})",
            "its driver wants memory in one piece, or its own, or smaller buffers; "
            'set memory = "dumb"',
            code="no-udmabuf",
        ) from error


def _import(card: Card, memfd: OwnedFd, size: int) -> GemHandle:
    """Make a buffer object of the card from a memfd; the caller owns the handle."""
    with _make_dmabuf(memfd, size) as dmabuf:
        argument = uapi.PrimeHandle(0, 0, dmabuf.fileno())
        card.ioctl(uapi.PRIME_FD_TO_HANDLE, argument, f"{card.path} import")
        return GemHandle(argument.handle)


def _make_dmabuf(memfd: OwnedFd, size: int) -> OwnedFd:
    try:
        device = OwnedFd(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC), DEVICE)
    except OSError as error:
        raise CaptureUnsupportedError(
            f"{DEVICE}: {error.strerror}",
            "sealed buffers need the module udmabuf and the right to open it; "
            'or set memory = "dumb"',
            code="no-udmabuf",
        ) from error
    with device:
        argument = uapi.UdmabufCreate(memfd.fileno(), uapi.UDMABUF_FLAGS_CLOEXEC, 0, size)
        fd = libdrm.ioctl(device.fileno(), uapi.UDMABUF_CREATE, argument, DEVICE)
        return OwnedFd(fd, "udmabuf")
