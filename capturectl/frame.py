# SPDX-License-Identifier: MIT
"""A captured picture, and the buffer it lies in."""

from __future__ import annotations

from capturectl.errors import CaptureClosedError, CaptureLostError
from capturectl.fence import Fence
from capturectl.fourcc import PixelFormat, pixel_format
from capturectl.protocol import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    import numpy as np
    from numpy.typing import NDArray

    from capturectl import protocol
    from capturectl.buffers import FrameBuffer
    from capturectl.fd import OwnedFd


class Frame:
    """A picture, lent by the daemon until `release()`. A context manager that releases.

    Attributes come from the FRAME message; see `capturectl.protocol.Frame`. Not thread-safe.

    Ownership: borrows its buffer from the client. Hold few and not for long: the daemon may
    want a frame back that was kept for longer than its lease.
    """

    def __init__(
        self,
        buffer: FrameBuffer,
        message: protocol.Frame,
        output: str,
        give_back: Callable[[Frame], None],
        fence: OwnedFd | None = None,
    ) -> None:
        self._buffer = buffer
        self._message = message
        self._give_back = give_back
        self._fence = Fence(fence) if fence else None
        self._time_done_ns = message.time_done_ns
        self._is_held = True
        self._is_reading = False
        self._revoked: tuple[str, str] | None = None
        self.output = output

    # -- what it is ---------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Pixels."""
        return self._buffer.layout.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self._buffer.layout.height

    @property
    def fourcc(self) -> int:
        """Pixel format code, as in drm_fourcc.h."""
        return self._buffer.layout.fourcc

    @property
    def pixel_format(self) -> PixelFormat:
        """How the components of a pixel lie.

        Raises:
            CaptureUnsupportedError: The format is not known here.
        """
        return pixel_format(self.fourcc)

    @property
    def modifier(self) -> int:
        """Layout modifier; 0 is linear."""
        return self._buffer.layout.modifier

    @property
    def pitch(self) -> int:
        """Bytes from one row to the next."""
        return self._buffer.layout.pitch[0]

    @property
    def offset(self) -> int:
        """Bytes from the start of the dma-buf to the first row."""
        return self._buffer.layout.offset[0]

    @property
    def sequence(self) -> int:
        """Count of the captures of this output since the daemon started.

        A gap is frames that this client skipped, or that the source missed; see `missed`.
        """
        return self._message.sequence

    @property
    def vblank(self) -> int:
        """The CRTC's vblank count of the picture; 0 when the source has none."""
        return self._message.vblank

    @property
    def missed(self) -> int:
        """Pictures that were asked for and that the source did not deliver, since the start."""
        return self._message.missed

    @property
    def time_commit_ns(self) -> int:
        """CLOCK_MONOTONIC when the capture was asked for."""
        return self._message.time_commit_ns

    @property
    def time_vblank_ns(self) -> int:
        """CLOCK_MONOTONIC of the vblank; 0 when the source has none."""
        return self._message.time_vblank_ns

    @property
    def time_done_ns(self) -> int:
        """CLOCK_MONOTONIC when the last pixel was written; 0 before `wait` of an early frame."""
        return self._time_done_ns

    @property
    def source(self) -> Source:
        """Where the pixels come from."""
        return Source(self._message.source)

    @property
    def buffer_id(self) -> tuple[int, int]:
        """(generation, buffer): the same pair is the same memory."""
        return self._message.generation, self._message.buffer

    # -- its fence ----------------------------------------------------------------------------

    @property
    def fence(self) -> int | None:
        """The fd of an early frame's fence, lent until `release()`; None for other frames.

        It polls readable when the picture is written, or never will be.
        """
        return self._fence.fileno() if self._fence else None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until an early frame is written; other frames are.

        Raises:
            CaptureTimeoutError: Not within so many seconds.
            CaptureLostError: It never will be, or was revoked.
        """
        if self._fence is not None and not self._time_done_ns:
            self._require_not_revoked()
            self._time_done_ns = self._fence.wait(timeout)

    # -- its pixels ---------------------------------------------------------------------------

    @property
    def memory(self) -> memoryview:
        """The dma-buf's bytes, read-only and not copied; valid until `release()`.

        Raises:
            CaptureClosedError: The frame was released.
            CaptureLostError: It was revoked.
        """
        self._begin_read()
        return memoryview(self._buffer.dmabuf.memory)

    @property
    def array(self) -> NDArray[np.unsignedinteger[Any]]:
        """The pixels as a numpy view of the dma-buf: not copied, valid until `release()`.

        `(height, width, components)` uint8 or uint16 in memory order (B G R X for XR24) where
        components are whole bytes, else `(height, width)` of whole pixels (uint16 for RG16,
        uint32 for XR30). `strides[0]` is the pitch. Read-only.

        Raises:
            CaptureClosedError: The frame was released.
            CaptureUnsupportedError: The pixel format is not known here.
        """
        from capturectl.pixels import view

        return view(
            self.memory, self.pixel_format, self.width, self.height, self.pitch, self.offset
        )

    @property
    def is_revoked(self) -> bool:
        """Whether the daemon has taken it back, or is gone; a look at it says why.

        What was read of it by then may be torn. Known from the client's next message on.
        """
        return self._revoked is not None

    @property
    def is_written(self) -> bool:
        """Whether the picture is in the buffer; only of an early frame it may be not yet."""
        return self._fence is None or bool(self._time_done_ns) or self._fence.has_ended_well()

    def revoke(self, why: str, hint: str) -> None:
        """Note that the daemon has taken it back, or is gone; for the connection.

        Args:
            why: What happened to the frame, after its number. The first counts.
            hint: What to do next.
        """
        if self._revoked is None:
            self._revoked = why, hint

    def _require_not_revoked(self) -> None:
        if self._revoked is not None:
            why, hint = self._revoked
            raise CaptureLostError(f"frame {self.sequence} {why}", hint)

    def _begin_read(self) -> None:
        if not self._is_held:
            raise CaptureClosedError(f"frame {self.sequence} was released")
        self._require_not_revoked()
        self.wait()
        if not self._is_reading:
            self._buffer.dmabuf.begin_read()
            self._is_reading = True

    # -- giving it back -----------------------------------------------------------------------

    def release(self) -> None:
        """Give the frame back to the daemon. Twice is fine."""
        if not self._is_held:
            return
        self._is_held = False
        if self._is_reading:
            self._is_reading = False
            self._buffer.dmabuf.end_read()
        if self._fence is not None:
            self._fence.close()
        self._give_back(self)

    def __bool__(self) -> bool:
        return self._is_held

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "" if self._is_held else " released"
        return f"<Frame {self.output} {self.width}x{self.height} #{self.sequence}{state}>"
