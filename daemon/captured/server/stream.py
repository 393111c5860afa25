# SPDX-License-Identifier: MIT
"""An output as clients see it: its number, its description, its frames as bytes."""

from __future__ import annotations

import struct

from capturectl import protocol
from capturectl.errors import (
    CaptureError,
    CaptureLostError,
    CaptureUnsupportedError,
    OutputOffError,
)
from capturectl.fourcc import MODIFIER_LINEAR, fourcc_name
from capturectl.typed import NamedTuple
from capturectl.wire_errors import words_of
from captured import log
from captured.server.keeper import KNOWN, LENT, UNKNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from captured.capture.audience import Picture
    from captured.capture.engine import Engine
    from captured.capture.pool import Slot
    from captured.capture.source import Geometry
    from captured.server.subscription import Subscription


_RECEIPT = struct.Struct("<IQII")
RECEIPT_SIZE = _RECEIPT.size
_pack_frame = protocol.FRAME.layout.pack_into


def receipt_of(stream_id: int, sequence: int, buffer: int, generation: int) -> bytes:
    """Return the bytes of a RELEASE from its header's stream on."""
    return _RECEIPT.pack(stream_id, sequence, buffer, generation)


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
    clones: tuple[str, ...] = ()
    """The writeback connectors that may share its CRTC."""


class Stream:
    """One output. Borrows its engine.

    `look` says how the output is now, `fourcc` which pixel format its frames have or would have,
    `planes` what is on its CRTC.
    """

    def __init__(
        self,
        stream_id: int,
        engine: Engine,
        source: protocol.Source,
        card: str,
        look: Callable[[], OutputLook],
        fourcc: Callable[[], int],
        planes: Callable[[], Sequence[protocol.PlaneStatus]] = tuple,
        *,
        has_fences: bool = False,
    ) -> None:
        self.stream_id = stream_id
        self.engine = engine
        self.source = source
        self.has_fences = has_fences
        self.card = card
        """The card's path, as it is now."""
        self._look = look
        self._fourcc = fourcc
        self._planes = planes
        self._packet = bytearray(protocol.FRAME.pack(protocol.Frame(*[0] * 10), stream=stream_id))
        """The FRAME that is being sent: all but its header is written anew for each picture."""

    # -- what clients ask for -----------------------------------------------------------------

    def check_wish(self, request: protocol.Subscribe) -> None:
        """Check that the stream has what a subscription asks for, before anything is touched.

        Raises:
            CaptureUnsupportedError: No accepted source, another pixel format, no fences.
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
        if request.flags & protocol.SubscribeFlag.EARLY and not self.has_fences:
            raise CaptureUnsupportedError(
                "the output's source has no fences", "subscribe without EARLY", code="no-early"
            )

    # -- what it is like ----------------------------------------------------------------------

    def describe(self, serial: int = 0) -> list[bytes]:
        """Return the STREAM, FORMAT... and DONE of the output as it is now."""
        return self._describe_look(self._look(), serial)

    def tell(self, news: CaptureError) -> tuple[bytes, list[bytes]]:
        """Return a STATE and the description of the output as it is now.

        STATE says the news where nothing is in the way, else what is.
        """
        look = self._look()
        said = look.problem or news
        body = protocol.StateChange(state_of(look.problem), said.code, said.reason, said.hint)
        state = protocol.STATE.pack(body, stream=self.stream_id)
        return state, self._describe_look(look)

    def _describe_look(self, look: OutputLook, serial: int = 0) -> list[bytes]:
        head = {"serial": serial, "stream": self.stream_id}
        return [
            protocol.STREAM.pack(self._describe(look), **head),
            *(protocol.FORMAT.pack(body, **head) for body in _formats(look)),
            protocol.DONE.pack(protocol.Done(), **head),
        ]

    def _describe(self, look: OutputLook) -> protocol.Stream:
        geometry, problem = look.geometry, look.problem
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
            card=self.card,
            writeback=look.writeback,
            **words_of(problem),
            clones=" ".join(look.clones),
        )

    @property
    def name(self) -> str:
        """The output's name."""
        return self.engine.name

    def planes(self, serial: int) -> list[bytes]:
        """Return a PLANE for each plane that shows something."""
        head = {"serial": serial, "stream": self.stream_id}
        return [protocol.PLANE.pack(plane, **head) for plane in self._planes()]

    # -- its frames ---------------------------------------------------------------------------

    def deliver(
        self, picture: Picture, subscriptions: Sequence[Subscription]
    ) -> list[Subscription]:
        """Send a FRAME, the same bytes to all; return who has taken it.

        The sends come one right after the other, book-keeping last: a client that waits is
        woken while the next is sent to, and one that wakes often costs more than the sending.
        """
        slot, sequence, missed, commit_ns, done_ns, (vblank, vblank_ns) = picture
        packet, place, takers = self._packet, slot.place, []
        _pack_frame(
            packet, protocol.HEADER_SIZE, sequence, vblank, missed, commit_ns, vblank_ns, done_ns,
            slot.index, slot.generation, self.source, 0,
        )  # fmt: skip
        for subscription in subscriptions:
            try:
                if slot not in subscription.known:
                    subscription.send_buffer(slot)
                subscription.marks[place] = LENT  # before: it must not be lost with us
                subscription.write(packet)
            except (OSError, CaptureLostError) as error:
                _not_sent(subscription, slot, error)
            else:
                takers.append(subscription)
        self._note_loans(picture, takers)
        return takers

    def announce(
        self, picture: Picture, fence: int, subscriptions: Sequence[Subscription]
    ) -> list[Subscription]:
        """Send an EARLY, and the fence of its picture; return who has taken it."""
        packet, slot = self._early(picture), picture.slot
        place, takers = slot.place, []
        for subscription in subscriptions:
            try:
                if slot not in subscription.known:
                    subscription.send_buffer(slot)
                subscription.marks[place] = LENT
                subscription.send_early(packet, fence)
            except (OSError, CaptureLostError) as error:
                _not_sent(subscription, slot, error)
            else:
                takers.append(subscription)
        self._note_loans(picture, takers)
        return takers

    def _note_loans(self, picture: Picture, takers: list[Subscription]) -> None:
        """Each of them has the picture now; a RELEASE of it ends alike whoever sends it."""
        slot = picture.slot
        receipt = receipt_of(self.stream_id, picture.sequence, slot.index, slot.generation)
        for subscription in takers:
            subscription.lent[receipt] = subscription, picture
            subscription.sent += 1
            subscription.credits -= 1
            if not subscription.credits or subscription.gap_ns or subscription.left:
                subscription.look_ahead(picture)

    def _early(self, picture: Picture) -> bytes:
        early = protocol.Early(
            picture.sequence,
            picture.missed,
            picture.time_commit_ns,
            picture.slot.index,
            picture.slot.generation,
            self.source,
            0,
        )
        return protocol.EARLY.pack(early, stream=self.stream_id)


def _not_sent(subscription: Subscription, slot: Slot, error: Exception) -> None:
    subscription.marks[slot.place] = KNOWN if slot in subscription.known else UNKNOWN
    # EAGAIN: it does not read. ETOOMANYREFS: the clients of the daemon's user have too many
    # descriptors under way.
    if isinstance(error, BlockingIOError):
        return
    log.debug("%s: cannot send a frame: %s", subscription, error)
    if isinstance(error.__cause__ or error, ConnectionError):  # the transport's has it as cause
        subscription.hung_up()


def _formats(look: OutputLook) -> list[protocol.Format]:
    active = look.geometry.fourcc if look.geometry else 0
    return [protocol.Format(MODIFIER_LINEAR, f, int(f == active)) for f in look.fourccs]


def state_of(problem: CaptureError | None) -> protocol.State:
    """Say what a problem, or none, makes of an output."""
    if problem is None:
        return protocol.State.READY
    if isinstance(problem, OutputOffError):
        return protocol.State.OFF
    return protocol.State.BLOCKED
