# SPDX-License-Identifier: MIT
"""An output as clients see it: its number, its description, its engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from capturectl import protocol
from capturectl.errors import CaptureError, CaptureUnsupportedError, OutputOffError
from capturectl.fourcc import MODIFIER_LINEAR, fourcc_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.capture.engine import Engine, Picture
    from captured.capture.source import Geometry


class OutputLook(NamedTuple):
    """What there is to say of an output, whatever its source is."""

    name: str
    connector_id: int
    crtc_id: int
    writeback: str
    geometry: Geometry | None
    """None when it is off."""
    fourccs: tuple[int, ...]
    problem: CaptureError | None


class Stream:
    """One output. Borrows its engine.

    `look` says how the output is now, `fourcc` which pixel format its frames have or would have.
    """

    def __init__(
        self,
        stream_id: int,
        engine: Engine,
        source: protocol.Source,
        card: str,
        look: Callable[[], OutputLook],
        fourcc: Callable[[], int],
    ) -> None:
        self.stream_id = stream_id
        self.engine = engine
        self.source = source
        self._card = card
        self._look = look
        self._fourcc = fourcc
        self._packet = bytearray(protocol.FRAME.size)
        self._packed = 0

    def check_wish(self, request: protocol.Subscribe) -> None:
        """Check that the stream has what a subscription asks for, before anything is touched.

        Raises:
            CaptureUnsupportedError: No accepted source, or another pixel format.
        """
        if not request.sources & self.source:
            raise CaptureUnsupportedError(
                f"the output has frames from {self.source.name} only",
                "accept that source, or choose another output",
                code="source",
            )
        if request.fourcc and request.fourcc != (fourcc := self._fourcc()):
            raise CaptureUnsupportedError(
                f"the output's frames are {fourcc_name(fourcc)}",
                "convert them, or start the daemon with another --format",
                code="format",
            )

    def describe(self) -> list[bytes]:
        """Return the STREAM, FORMAT... and DONE of the output as it is now."""
        look = self._look()
        return [
            protocol.STREAM.pack(self._describe(look), stream=self.stream_id),
            *(self._format(fourcc, look.geometry) for fourcc in look.fourccs),
            protocol.DONE.pack(protocol.Done(), stream=self.stream_id),
        ]

    def _describe(self, look: OutputLook) -> protocol.Stream:
        geometry, problem = look.geometry, look.problem
        error = problem.as_dict() if problem else {"code": "", "reason": "", "hint": ""}
        return protocol.Stream(
            state=state_of(problem),
            source=self.source,
            width=geometry.width if geometry else 0,
            height=geometry.height if geometry else 0,
            refresh_millihertz=geometry.refresh_mhz if geometry else 0,
            fourcc=geometry.fourcc if geometry else 0,
            connector_id=look.connector_id,
            crtc_id=look.crtc_id,
            clients=self.engine.subscriber_count,
            name=look.name,
            card=self._card,
            writeback=look.writeback,
            **error,
        )

    def _format(self, fourcc: int, geometry: Geometry | None) -> bytes:
        active = geometry is not None and geometry.fourcc == fourcc
        body = protocol.Format(MODIFIER_LINEAR, fourcc, int(active))
        return protocol.FORMAT.pack(body, stream=self.stream_id)

    def frame_packet(self, picture: Picture) -> bytearray:
        """Return the FRAME of a picture; packed once, the same bytes for every client.

        The bytes stay valid until the next picture.
        """
        if self._packed != picture.sequence:
            frame = protocol.Frame(
                picture.sequence,
                picture.vblank.sequence,
                picture.missed,
                picture.time_commit_ns,
                picture.vblank.time_ns,
                picture.time_done_ns,
                picture.slot.index,
                picture.slot.generation,
                self.source,
                0,
            )
            protocol.FRAME.pack_into(self._packet, frame, stream=self.stream_id)
            self._packed = picture.sequence
        return self._packet


def state_of(problem: CaptureError | None) -> protocol.State:
    """Say what a problem, or none, makes of an output."""
    if problem is None:
        return protocol.State.READY
    if isinstance(problem, OutputOffError):
        return protocol.State.OFF
    return protocol.State.BLOCKED
