# SPDX-License-Identifier: MIT
"""What the engine wants of whatever makes pictures."""

from __future__ import annotations

from capturectl.typed import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.fd import OwnedFd
    from capturectl.protocol import Source as SourceKind


class Geometry(NamedTuple):
    """The shape of a source's pictures."""

    width: int
    height: int
    refresh_mhz: int
    """Frames per 1000 seconds."""
    fourcc: int
    modifier: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}@{self.refresh_mhz / 1000:.4g}"


class Plane(NamedTuple):
    """One plane of a picture's memory."""

    dmabuf: OwnedFd
    """Read-only for its receivers. Owned by the memory."""
    pitch: int
    """Bytes from one row to the next."""
    offset: int
    """Bytes from the start of the dma-buf."""


class Memory(Protocol):
    """The memory of one picture; the source can write to it, clients read it."""

    @property
    def size(self) -> int:
        """Bytes of the dma-buf."""

    @property
    def planes(self) -> tuple[Plane, ...]:
        """One to four."""

    @property
    def takes_fences(self) -> bool:
        """Whether its readers can put fences on it: on a dma-buf they can, on a memfd not."""

    def poison(self) -> None:
        """Put something into it that no picture holds."""

    def is_poisoned(self) -> bool:
        """Whether any of that is left: then not all of it was written since."""

    def close(self) -> None:
        """Free it; clients that have it mapped keep their pages."""


class FenceResult(NamedTuple):
    """How a capture stands."""

    status: int
    """0 while the source writes, 1 when done, a negative errno when it failed."""
    time_done_ns: int
    """CLOCK_MONOTONIC of the last write; 0 while pending."""


class Fence(Protocol):
    """Signals when one capture has ended. Owned by the job, unless it lasts."""

    @property
    def is_lasting(self) -> bool:
        """Whether it is the source's, which has it for all captures, one after the other."""

    def fileno(self) -> int:
        """An fd that polls readable when the capture has ended."""

    def read_result(self) -> tuple[int, int]:
        """Say how the capture stands: a `FenceResult`, or a plain tuple of the same."""

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds at most; False when the capture has not ended by then."""

    def close(self) -> None:
        """Stop looking; the capture goes on."""


class Vblank(NamedTuple):
    """When the captured picture was shown."""

    sequence: int
    """The CRTC's count; 0 when unknown."""
    time_ns: int
    """CLOCK_MONOTONIC; 0 when unknown."""


NO_VBLANK = Vblank(0, 0)


class SourceBusy(Exception):  # noqa: N818 - back-pressure, not an error
    """The source cannot take a capture now; try again a little later."""


class Source(Protocol):
    """One output's pictures."""

    @property
    def kind(self) -> SourceKind:
        """The label of its frames."""

    @property
    def has_fences(self) -> bool:
        """Whether a capture's fence may be handed to clients."""

    @property
    def is_attached(self) -> bool:
        """Whether it can capture without disturbing the output first."""

    def attach(self) -> Geometry:
        """Get ready to capture the output as it is now; may disturb it for a moment.

        Attached already, it looks again: the mode may have changed since.

        Raises:
            CaptureError: It cannot; the reason and the hint say why.
        """

    def detach(self) -> None:
        """Leave the output as it was found. Twice is fine."""

    def allocate(self) -> Memory:
        """Make memory for one picture of the present geometry."""

    def commit(self, memory: Memory, number: int) -> Fence:
        """Start one capture.

        Args:
            memory: From `allocate`; belongs to the capture until its fence has ended.
            number: The capture's number, for `vblank_of`.

        Raises:
            SourceBusy: Not now.
            CaptureError: Not any more.
        """

    def flip_fd(self) -> int | None:
        """An fd that polls readable when a commit's vblank has passed; None: only fences tell."""

    def has_flipped(self, number: int) -> bool:
        """Take in what `flip_fd` reads, and say whether a commit's vblank has passed."""

    def vblank_of(self, number: int) -> tuple[int, int]:
        """Say when the picture of an ended capture was shown: a `Vblank`, or a tuple like it."""
