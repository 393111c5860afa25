# SPDX-License-Identifier: MIT
"""Framebuffers: what the kernel scans out or writes to, and the memory below them."""

from __future__ import annotations

import mmap

from capturectl.fd import OwnedFd
from capturectl.fourcc import pixel_format
from capturectl.typed import NamedTuple
from captured.drm import uapi
from captured.drm.ids import FbId, GemHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from captured.drm.card import Card


class Layout(NamedTuple):
    """How one plane of a framebuffer lies in its buffer object."""

    gem_handle: GemHandle
    pitch: int
    """Bytes from one row to the next."""
    offset: int
    """Bytes from the start of the buffer object."""


class Framebuffer:
    """A framebuffer id over buffer objects of this card. Exists until `close()`.

    Ownership: borrows the card and the GEM handles; owns the framebuffer id.
    Kernel: drivers/gpu/drm/drm_framebuffer.c, drm_mode_addfb2.
    """

    def __init__(
        self,
        card: Card,
        width: int,
        height: int,
        fourcc: int,
        layouts: tuple[Layout, ...],
        modifier: int | None = None,
    ) -> None:
        """Register it.

        Args:
            card: The card; its file owns the framebuffer.
            width: Pixels.
            height: Pixels.
            fourcc: Pixel format code.
            layouts: One entry a plane, at most four.
            modifier: Of all planes; None leaves it to the driver.

        Raises:
            OSError: EINVAL for a format, pitch or size that the driver does not take.
        """
        self._card = card
        self.width, self.height, self.fourcc = width, height, fourcc
        argument = uapi.FbCmd2(width=width, height=height, pixel_format=fourcc)
        if modifier is not None:
            argument.flags = uapi.DRM_MODE_FB_MODIFIERS
        for index, layout in enumerate(layouts):
            argument.handles[index] = layout.gem_handle
            argument.pitches[index] = layout.pitch
            argument.offsets[index] = layout.offset
            argument.modifier[index] = modifier or 0
        card.ioctl(uapi.ADDFB2, argument, f"{card.path} framebuffer {width}x{height}")
        self.fb_id = FbId(argument.fb_id)

    def close(self) -> None:
        """Remove the framebuffer. Twice is fine.

        Kernel: RMFB takes a plane that shows it off the screen; a writeback that runs keeps
        its own reference (drm_writeback.c, "DOC: overview").
        """
        fb_id, self.fb_id = self.fb_id, FbId(0)
        if fb_id and self._card:
            self._card.ioctl(uapi.RMFB, uapi.RemoveFb(fb_id), f"framebuffer {fb_id}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class DumbBuffer:
    """Linear memory that any KMS driver can scan out and the CPU can map.

    Ownership: borrows the card, owns the GEM handle. Exists until `close()`; exported
    dma-bufs and mappings keep the memory longer.
    Kernel: drivers/gpu/drm/drm_dumb_buffers.c.
    """

    def __init__(self, card: Card, width: int, height: int, bits_per_pixel: int) -> None:
        """Allocate it; the memory is zero.

        Raises:
            OSError: ENOMEM; EINVAL when the size overflows; ENOSYS without dumb buffers.
        """
        self._card = card
        argument = uapi.CreateDumb(height=height, width=width, bpp=bits_per_pixel)
        card.ioctl(uapi.CREATE_DUMB, argument, f"{card.path} buffer {width}x{height}")
        self.gem_handle = GemHandle(argument.handle)
        self.pitch: int = argument.pitch
        self.size: int = argument.size

    @classmethod
    def adopt(cls, card: Card, gem_handle: GemHandle, pitch: int, size: int) -> Self:
        """Own a buffer that the card's open file has from a former process."""
        buffer = cls.__new__(cls)
        buffer._card = card
        buffer.gem_handle, buffer.pitch, buffer.size = gem_handle, pitch, size
        return buffer

    def map(self) -> mmap.mmap:
        """Map it read-write for the CPU; the caller closes the mapping."""
        argument = uapi.MapDumb(self.gem_handle)
        self._card.ioctl(uapi.MAP_DUMB, argument, f"buffer {self.gem_handle}")
        return mmap.mmap(self._card.fileno(), self.size, offset=argument.offset)

    def export(self, *, writable: bool = False) -> OwnedFd:
        """Export it as a dma-buf.

        Args:
            writable: Whether receivers may map it for writing. The first export fixes this
                for all later ones.

        Ownership: the caller owns the dma-buf fd.
        Kernel: drm_prime.c, drm_gem_prime_handle_to_dmabuf.
        """
        flags = uapi.DRM_CLOEXEC | (uapi.DRM_RDWR if writable else 0)
        argument = uapi.PrimeHandle(self.gem_handle, flags, -1)
        self._card.ioctl(uapi.PRIME_HANDLE_TO_FD, argument, f"buffer {self.gem_handle}")
        return OwnedFd(argument.fd, "dma-buf")

    def close(self) -> None:
        """Give the GEM handle back. Twice is fine."""
        gem_handle, self.gem_handle = self.gem_handle, GemHandle(0)
        if gem_handle and self._card:
            self._card.ioctl(
                uapi.DESTROY_DUMB, uapi.DestroyDumb(gem_handle), f"buffer {gem_handle}"
            )


class DumbFramebuffer(Framebuffer):
    """A framebuffer over a dumb buffer of its own, for a packed pixel format.

    Ownership: owns the buffer as well; both go with `close()`.
    """

    def __init__(self, card: Card, width: int, height: int, fourcc: int) -> None:
        """Allocate and register it.

        Raises:
            CaptureUnsupportedError: No packed format of that fourcc is known.
            OSError: As of the buffer and the framebuffer.
        """
        bits = pixel_format(fourcc).bits_per_pixel
        # Kernel: dumb buffers know no 64 bits per pixel on every driver; the memory is the same.
        factor = 2 if bits > 32 else 1
        self.buffer = DumbBuffer(card, width * factor, height, bits // factor)
        try:
            layout = Layout(self.buffer.gem_handle, self.buffer.pitch, 0)
            super().__init__(card, width, height, fourcc, (layout,))
        except BaseException:
            self.buffer.close()
            raise

    @classmethod
    def adopt(cls, buffer: DumbBuffer, fb_id: FbId, width: int, height: int, fourcc: int) -> Self:
        """Own a framebuffer that the card's open file has from a former process.

        Ownership: the buffer is owned from here on.
        """
        framebuffer = cls.__new__(cls)
        framebuffer._card, framebuffer.buffer, framebuffer.fb_id = buffer._card, buffer, fb_id
        framebuffer.width, framebuffer.height, framebuffer.fourcc = width, height, fourcc
        return framebuffer

    @property
    def pitch(self) -> int:
        """Bytes from one row to the next."""
        return self.buffer.pitch

    @property
    def size(self) -> int:
        """Bytes of the whole buffer."""
        return self.buffer.size

    def close(self) -> None:
        """Remove the framebuffer, then free its buffer. Twice is fine."""
        try:
            super().close()
        finally:
            self.buffer.close()


class ScanoutFramebuffer(NamedTuple):
    """What GETFB2 says of a framebuffer that anybody may have made."""

    width: int
    height: int
    fourcc: int
    modifier: int | None
    """None when it was made without modifiers."""
    layouts: tuple[Layout, ...]
    """Empty when this file may not see the buffers; the handles are closed on leaving."""


class BorrowedFramebuffer:
    """Another's framebuffer, opened for looking; `with` closes every handle it brought.

    Ownership: GETFB2 makes new GEM handles on our file, which would pin the memory for as
    long as the card is open; all of them are closed, each once.
    Kernel: drm_framebuffer.c, drm_mode_getfb2_ioctl.
    """

    def __init__(self, card: Card, fb_id: FbId) -> None:
        self._card = card
        self._fb_id = fb_id
        self._handles: list[int] = []

    def __enter__(self) -> ScanoutFramebuffer:
        """Read it.

        Raises:
            OSError: ENOENT when it was removed meanwhile.
        """
        found = uapi.FbCmd2(fb_id=self._fb_id)
        self._card.ioctl(uapi.GETFB2, found, f"framebuffer {self._fb_id}")
        planes = [i for i in range(4) if found.handles[i]]
        # Two planes in one buffer object share one handle.
        self._handles = sorted({found.handles[i] for i in planes})
        has_modifier = found.flags & uapi.DRM_MODE_FB_MODIFIERS
        return ScanoutFramebuffer(
            found.width,
            found.height,
            found.pixel_format,
            found.modifier[0] if has_modifier else None,
            tuple(
                Layout(GemHandle(found.handles[i]), found.pitches[i], found.offsets[i])
                for i in planes
            ),
        )

    def __exit__(self, *exc_info: object) -> None:
        while self._handles:
            handle = self._handles.pop()
            self._card.ioctl(uapi.GEM_CLOSE, uapi.GemClose(handle), f"buffer {handle}")
