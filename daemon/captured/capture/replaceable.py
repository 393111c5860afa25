# SPDX-License-Identifier: MIT
"""A source that goes away with its card, and another that comes in its place."""

from __future__ import annotations

import errno

from capturectl.errors import CaptureError
from capturectl.typed import TypeVar
from captured.capture.source import NO_VBLANK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capturectl.protocol import Source as SourceKind
    from captured.capture.source import Fence, Geometry, Memory, Source

_Result = TypeVar("_Result")
_GONE = frozenset({errno.ENODEV, errno.ENXIO})
"""Kernel: every ioctl of a card that was unplugged fails with ENODEV (drm_ioctl.c, drm_ioctl)."""


class ReplaceableSource:
    """Stands for the source that there is at the moment, or for the lack of one.

    Ownership: borrows the sources that are put in.
    """

    has_fences = True

    def __init__(
        self, kind: SourceKind, problem: CaptureError, died: Callable[[Exception], None]
    ) -> None:
        """Start without a source.

        Args:
            kind: Of every source that will be put in.
            problem: Why there is none; what attaching raises.
            died: Hears when the source says that what it captures from is gone. It is called
                from within the failing call, so it must not touch the engine.
        """
        self.kind = kind
        self._source: Source | None = None
        self._problem = problem
        self._died = died

    def put(self, source: Source) -> None:
        """Use a source from now on."""
        self._source = source

    def take_out(self, problem: CaptureError) -> None:
        """Have none, and say why; the one before was detached. Twice is fine."""
        self._source, self._problem = None, problem

    def _need(self) -> Source:
        if self._source is None:
            raise self._problem
        return self._source

    def _alive(self, step: Callable[[], _Result]) -> _Result:
        """Do a step, and tell when it fails because nothing is there any more."""
        try:
            return step()
        except (OSError, CaptureError) as error:
            if is_gone(error):
                self._died(error)
            raise

    # -- as captured.capture.source.Source ----------------------------------------------------

    @property
    def is_attached(self) -> bool:
        """Whether there is a source, and it is attached."""
        return self._source is not None and self._source.is_attached

    def attach(self) -> Geometry:
        """Attach what there is.

        Raises:
            CaptureError: Nothing is there, or as of the source.
        """
        return self._alive(self._need().attach)

    def detach(self) -> None:
        """Detach what there is. Twice is fine."""
        if self._source is not None:
            self._source.detach()

    def allocate(self) -> Memory:
        """Make memory for one picture; errors as of the source."""
        return self._alive(self._need().allocate)

    def commit(self, memory: Memory, number: int) -> Fence:
        """Start one capture; errors as of the source."""
        source = self._need()
        try:
            return source.commit(memory, number)
        except (OSError, CaptureError) as error:
            if is_gone(error):
                self._died(error)
            raise

    def flip_fd(self) -> int | None:
        """Lend the source's fd."""
        return self._source.flip_fd() if self._source else None

    def has_flipped(self, number: int) -> bool:
        """Ask the source; errors as of it."""
        return self._need().has_flipped(number)

    def vblank_of(self, number: int) -> tuple[int, int]:
        """Ask the source; without one nothing is known."""
        return self._source.vblank_of(number) if self._source else NO_VBLANK


def is_gone(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that the card itself is not there any more."""
    errors = error, error.__cause__
    return any(isinstance(each, OSError) and each.errno in _GONE for each in errors)
