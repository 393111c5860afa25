# SPDX-License-Identifier: MIT
"""The whole wire protocol, version 1: limits first, then every message, in one table.

AF_UNIX SOCK_SEQPACKET, one message a packet, little-endian, naturally aligned. A message
is a 16-byte header and a fixed structure. A receiver takes a longer structure than it knows
(it ignores the tail) and a shorter one (the rest is zero): structures grow at their end.

docs/protocol.md explains it to whoever writes a client in another language.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

from capturectl.errors import ProtocolError
from capturectl.typed import Any, Generic, NamedTuple, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_SOCKET = "/run/captured/captured.sock"

# --- limits ----------------------------------------------------------------------------------

MAGIC = 0x44504143  # "CAPD"
VERSION_MIN = 1
VERSION_MAX = 1

MAX_MESSAGE = 1024
"""Bytes of the longest message, header included."""
MAX_FDS = 4
"""File descriptors in one message: one for each plane of a buffer."""
MAX_CREDITS = 4
"""Frames that a connection may hold of one stream."""
DEFAULT_CREDITS = 2
LEASE_MS = 250
"""How long a frame may be held for sure; after that the daemon may need its buffer."""
HELLO_TIMEOUT_S = 1.0
"""A connection that has not said HELLO by then is closed."""


class Source(IntFlag):
    """Where the pixels of a frame come from; a subscription says which it accepts."""

    WRITEBACK = 1
    """What the display controller sent to the display, with everything on it."""
    SCANOUT = 2
    """Framebuffers read back and composed: labelled, never by default."""
    PATTERN = 4
    """A test picture; no display is involved."""


class State(IntEnum):
    """Whether an output can be captured now."""

    READY = 1
    """It can."""
    OFF = 2
    """Its CRTC is not active: nothing is on the glass."""
    BLOCKED = 3
    """Something is in the way; the reason says what."""


class ErrorCode(IntEnum):
    """Why a request failed; docs/protocol.md says for each what a client does next."""

    PROTOCOL = 1
    VERSION = 2
    DENIED = 3
    NO_STREAM = 4
    FORMAT = 5
    CAPACITY = 6
    SLOW = 7
    STOPPED = 8
    MODE_CHANGED = 9
    DEVICE_LOST = 10
    INTERNAL = 11
    UNSUPPORTED = 12
    OUTPUT_OFF = 13
    TIMEOUT = 14
    BUSY = 15


class ByeReason(IntEnum):
    """Why the daemon ends a connection in good order."""

    SHUTDOWN = 1
    """The daemon stops."""
    CLIENT = 2
    """The client said GOODBYE."""


class Flag(IntFlag):
    """Header flags."""

    MAY_IGNORE = 1
    """A receiver that does not know the type skips the message."""
    HAS_FDS = 2
    """File descriptors come with the message."""


class Capability(IntFlag):
    """What one side can do beside the basics; both HELLO and WELCOME carry a set."""

    EARLY = 1
    """EARLY frames: of the daemon, that its source has fences to send; of the client, that it
    can take them."""
    WATCH = 2
    """QUERY, WATCH and DISCONNECT are answered."""


class SubscribeFlag(IntFlag):
    """What a subscription wants beside its numbers."""

    EARLY = 1
    """EARLY instead of FRAME: each picture is announced, with its fence, before it is written."""


class Query(IntFlag):
    """What a QUERY asks for."""

    OUTPUTS = 1
    """The description of every output, as after WELCOME."""
    ENGINES = 2
    """An ENGINE for every output."""
    PLANES = 4
    """A PLANE for every plane that is on a captured CRTC."""
    CLIENTS = 8
    """A CLIENT for every connection."""


class EngineState(IntEnum):
    """What the daemon is doing with an output."""

    IDLE = 1
    """Nothing: the output is as if the daemon were not there."""
    CAPTURING = 2
    """Attached, with subscribers."""
    LINGERING = 3
    """Attached, without subscribers."""
    DOUBTED = 4
    """Attached, proving that fences and pictures belong together after a lost capture."""
    SUSPENDED = 5
    """Detached with subscribers: they wait for the output to come back."""


class ClientFlag(IntFlag):
    """How a client's subscription stands."""

    PAUSED = 1
    """It said PAUSE."""
    CLOGGED = 2
    """It does not read."""
    EARLY = 4
    """It gets EARLY instead of FRAME."""


class EventKind(IntEnum):
    """What an EVENT is about."""

    CLIENT_CONNECTED = 1
    CLIENT_LEFT = 2
    SUBSCRIBED = 3
    UNSUBSCRIBED = 4
    ATTACHED = 5
    DETACHED = 6
    OUTPUT_STATE = 7
    """The output became ready, went off or is blocked; the word says which or why."""
    MODE_CHANGED = 8
    CAPTURE_LOST = 9
    FRAME_REVOKED = 10
    CLIENT_CUT_OFF = 11
    """The daemon hung up; the word says why."""
    OUTPUT_ADDED = 12
    """The output's card has come."""
    OUTPUT_REMOVED = 13
    """It has gone; the output stays in the list, and waits for it."""
    OUTPUT_CHANGED = 14
    """A display was plugged in or out, or has other modes; the word says which."""
    EVENTS_LOST = 15
    """The watcher did not read; `sequence` says how many events it goes without."""


class ErrorFlag(IntFlag):
    """What an ERROR means for the connection."""

    FATAL = 1
    """The daemon closes the connection after it."""


# --- framing ---------------------------------------------------------------------------------

_HEADER = struct.Struct("<HHIII")
HEADER_SIZE = _HEADER.size


class Header(NamedTuple):
    """The first 16 bytes of every message."""

    code: int
    """The message's type."""
    flags: int
    size: int
    """Bytes of the whole message, header included."""
    serial: int
    """The request's number, repeated in what answers it; 0 in what answers nothing."""
    stream: int
    """The output that it is about; 0 when it is about none."""


Body = TypeVar("Body", bound=tuple[Any, ...])


class Message(Generic[Body]):
    """One row of the table: a type's number, its name, its structure and its fields."""

    def __init__(
        self, code: int, body: type[Body], layout: str, *, has_fds: bool = False, name: str = ""
    ) -> None:
        self.code = code
        self.name = name or body.__name__.upper()
        self.body = body
        self.flags = Flag.HAS_FDS if has_fds else Flag(0)
        self.layout = struct.Struct(layout)
        """Of what follows the header."""
        self._kinds = tuple(_kinds(layout))
        self._is_flat = all(kind == _SCALAR for kind, _ in self._kinds)
        self.size = HEADER_SIZE + self.layout.size

    def pack(self, body: Body, *, serial: int = 0, stream: int = 0) -> bytes:
        """Return the message's bytes; texts are cut to fit."""
        head = _HEADER.pack(self.code, self.flags, self.size, serial, stream)
        return head + self.layout.pack(*(body if self._is_flat else self._flatten(body)))

    def unpack(self, packet: bytes) -> Body:
        """Return the fields of a message whose header says that it is of this type.

        A shorter structure than ours is filled with zeroes, the tail of a longer one ignored.
        """
        room = self.size
        if len(packet) < room:
            packet = packet.ljust(room, b"\0")
        values = self.layout.unpack_from(packet, HEADER_SIZE)
        return self.body(*(values if self._is_flat else self._nest(values)))

    def _flatten(self, body: Body) -> list[Any]:
        values: list[Any] = []
        for (kind, size), value in zip(self._kinds, body, strict=True):
            if kind == _ARRAY:
                values.extend(value)
            else:
                values.append(_fit(value, size) if kind == _TEXT else value)
        return values

    def _nest(self, values: tuple[Any, ...]) -> list[Any]:
        rest = iter(values)
        nested: list[Any] = []
        for kind, _ in self._kinds:
            if kind == _ARRAY:
                nested.append(tuple(next(rest) for _ in range(4)))
            else:
                value = next(rest)
                nested.append(_text(value) if kind == _TEXT else value)
        return nested


_SCALAR, _TEXT, _ARRAY = 0, 1, 2


def _kinds(layout: str) -> Iterator[tuple[int, int]]:
    """Say of each field in a layout what it is: a number, a text of so many bytes, or four."""
    count = ""
    for letter in layout.removeprefix("<"):
        if letter.isdigit():
            count += letter
            continue
        if letter != "x":
            kind = _TEXT if letter == "s" else _ARRAY if count else _SCALAR
            yield kind, int(count or 1)
        count = ""


def _fit(text: str, size: int) -> bytes:
    """Return at most so many bytes of a text, cut between characters."""
    return text.encode(errors="replace")[:size].decode(errors="ignore").encode()


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode(errors="replace")


def unpack_header(packet: bytes) -> Header:
    """Return a packet's header.

    Raises:
        ProtocolError: It is shorter than a header, or its size field is not its length.
    """
    if len(packet) < HEADER_SIZE:
        raise ProtocolError(f"a message of {len(packet)} bytes is shorter than its header")
    header = Header(*_HEADER.unpack_from(packet))
    if header.size != len(packet):
        raise ProtocolError(f"a message of {len(packet)} bytes says it has {header.size}")
    return header


# --- messages: client to daemon --------------------------------------------------------------

Four = tuple[int, int, int, int]


class Hello(NamedTuple):
    """First message of a client."""

    magic: int
    version_min: int
    version_max: int
    capabilities: int
    """`Capability` bits."""
    name: str
    """What the client calls itself, for status and logs."""


class Subscribe(NamedTuple):
    """Ask for frames of the header's stream."""

    sources: int
    """`Source` bits that the client accepts."""
    flags: int
    """`SubscribeFlag` bits."""
    fourcc: int
    """The pixel format wanted; 0 takes what the stream has."""
    credits: int
    """Frames that the client may hold at once, 1 to 4."""
    frames: int
    """The subscription ends after so many; 0 = when the client says so."""
    max_fps_millihertz: int
    """Frames per 1000 seconds at most; 0 = every frame."""


class Unsubscribe(NamedTuple):
    """End the subscription of the header's stream; frames held stay held until RELEASE."""


class Release(NamedTuple):
    """Give a frame back; its credit returns."""

    sequence: int
    """Of the FRAME."""
    buffer: int
    generation: int


class Pause(NamedTuple):
    """Send no frames of the header's stream until RESUME; the subscription and its place stay."""


class Resume(NamedTuple):
    """Go on after PAUSE; the next frame is the next that is captured."""


class Goodbye(NamedTuple):
    """The client leaves in good order; everything it holds is given back."""


class AskQuery(NamedTuple):
    """Ask how things are now. The answers carry the serial; a DONE of stream 0 ends them."""

    what: int
    """`Query` bits."""


class Watch(NamedTuple):
    """Ask for an EVENT of everything that happens from now on, or for no more of them."""

    is_wanted: int
    """1 or 0."""


class Disconnect(NamedTuple):
    """Cut another client off; answered by a DONE of stream 0, or ERROR."""

    client: int
    """Its number, from CLIENT."""


# --- messages: daemon to client --------------------------------------------------------------


class Welcome(NamedTuple):
    """Answer to HELLO. One STREAM, FORMAT..., DONE follows for each output."""

    version: int
    streams: int
    """How many outputs follow."""
    capabilities: int
    """`Capability` bits."""
    instance: int
    """A random number of this daemon's life; buffers outlive no other."""
    max_credits: int
    lease_ms: int
    """How long a frame may be held before the daemon may need it back."""
    driver: str
    """The kernel driver of the card."""
    daemon: str
    """The daemon's version, for logs."""


class Stream(NamedTuple):
    """An output: what it shows and whether it can be captured."""

    state: int
    """`State`."""
    source: int
    """The `Source` that its frames come from."""
    width: int
    """Pixels; 0 when it is off."""
    height: int
    refresh_millihertz: int
    fourcc: int
    """Pixel format of its frames."""
    connector_id: int
    crtc_id: int
    clients: int
    """Subscriptions it has now."""
    name: str
    """"HDMI-A-1"."""
    card: str
    """"/dev/dri/card0"."""
    writeback: str
    """The writeback connector's name; empty when the source is another."""
    code: str
    """Why it is not READY, as a word."""
    reason: str
    hint: str
    clones: str = ""
    """Names of the writeback connectors that may share its CRTC, separated by spaces."""


class Format(NamedTuple):
    """A pixel format that the stream could have, in the driver's order."""

    modifier: int
    fourcc: int
    active: int
    """1 for the format that frames have."""


class Done(NamedTuple):
    """The description of the stream is complete and valid as a whole."""


class Buffer(NamedTuple):
    """A buffer of the pool, once to each client, with a dma-buf fd for each plane."""

    modifier: int
    size: int
    """Bytes of the dma-buf."""
    buffer: int
    generation: int
    """Grows when the pool is made anew; together with `buffer` it names the memory."""
    fourcc: int
    width: int
    height: int
    planes: int
    offset: Four
    pitch: Four


class Frame(NamedTuple):
    """A picture is in a buffer. The same bytes go to every client of the stream."""

    sequence: int
    """Counts the captures of this stream, over mode changes too."""
    vblank: int
    """The CRTC's vblank count of the picture; 0 when the source has none."""
    missed: int
    """Pictures that were asked for and did not come, since the daemon started."""
    time_commit_ns: int
    """CLOCK_MONOTONIC when the capture was asked for."""
    time_vblank_ns: int
    """CLOCK_MONOTONIC of the vblank."""
    time_done_ns: int
    """CLOCK_MONOTONIC when the last pixel was written, from the fence."""
    buffer: int
    generation: int
    source: int
    """`Source`."""
    flags: int


class Early(NamedTuple):
    """A picture is being written; its fence comes along as a sync_file fd.

    Read the picture when the fence polls readable and its status is 1, as after FRAME. What the
    daemon learns only then (vblank, the time of the last write) is not sent: the fence has the
    time. RELEASE as usual, before or after the fence.
    """

    sequence: int
    missed: int
    time_commit_ns: int
    buffer: int
    generation: int
    source: int
    """`Source`."""
    flags: int


class BufferGone(NamedTuple):
    """The daemon has given a buffer up: the client may unmap and close it now."""

    buffer: int
    generation: int


class Ended(NamedTuple):
    """The subscription of the header's stream has ended: all its frames have been sent."""


class Revoked(NamedTuple):
    """A frame was held for too long: its buffer is being written again.

    What was read of it since may be torn. RELEASE it all the same: that brings the credit back.
    """

    sequence: int
    """Of the FRAME."""
    buffer: int
    generation: int


class StateChange(NamedTuple):
    """Frames of the header's stream stop for a while, or are back. The subscription goes on."""

    state: int
    """`State`."""
    word: str
    """The stable word of what is in the way; empty when nothing is."""
    reason: str
    hint: str


class Error(NamedTuple):
    """A request failed; the header's serial names it."""

    code: int
    """`ErrorCode`."""
    flags: int
    """`ErrorFlag`."""
    errno: int
    """The kernel's errno behind it, or 0."""
    word: str
    """The stable word of the error, as in JSON."""
    reason: str
    hint: str


class EngineStatus(NamedTuple):
    """What the daemon has done and is doing with an output."""

    state: int
    """`EngineState`."""
    subscribers: int
    captured: int
    """Pictures since the daemon started."""
    missed: int
    """Asked for, but not delivered by the source."""
    lost: int
    """Of those, captures whose fence never ended."""
    revoked: int
    """Leases taken back."""
    attached: int
    """How often it attached."""
    time_ns: int
    """CLOCK_MONOTONIC of this answer."""
    time_error_ns: int
    """CLOCK_MONOTONIC of the last error; 0 when there was none."""
    pool_bytes: int
    """Memory of all buffers of the pool."""
    retired_bytes: int
    """Memory of former pools that clients may hold still."""
    generation: int
    buffers: int
    buffers_free: int
    buffers_lent: int
    buffers_quarantined: int
    fps_millihertz: int
    """Pictures per 1000 seconds, over the last captures."""
    commit_to_fence_p50_us: int
    """From asking for a picture to its last write, over the last captures."""
    commit_to_fence_p99_us: int
    fence_to_sent_p50_us: int
    """From the last write until every client was sent the FRAME."""
    fence_to_sent_p99_us: int
    word: str
    """Of the last error; empty when there was none."""
    reason: str
    hint: str


class PlaneStatus(NamedTuple):
    """A plane of the header's stream's CRTC that shows something."""

    plane_id: int
    fb_id: int
    fourcc: int
    x: int
    """On the CRTC, pixels; may be negative."""
    y: int
    width: int
    """On the CRTC, pixels."""
    height: int
    zpos: int
    kind: str
    """"Primary", "Overlay" or "Cursor"."""
    setter: str
    """The program that made its framebuffer, where the kernel tells; else empty."""


class ClientStatus(NamedTuple):
    """A connection, with its subscription of the header's stream; stream 0 when it has none."""

    client: int
    """Counts the connections since the daemon started; for DISCONNECT."""
    time_connected_ns: int
    """CLOCK_MONOTONIC."""
    sent: int
    """Frames sent to it."""
    skipped: int
    """Frames that it went without: no credit, or it did not read."""
    revoked: int
    """Frames taken back from it."""
    pid: int
    uid: int
    gid: int
    credits: int
    """Frames that it could take now."""
    held: int
    """Frames that it has."""
    max_fps_millihertz: int
    flags: int
    """`ClientFlag` bits."""
    name: str


class Event(NamedTuple):
    """Something happened, for who watches."""

    kind: int
    """`EventKind`."""
    pid: int
    """Of the client that it is about; 0 when it is about none."""
    client: int
    """Its number."""
    sequence: int
    """Of the frame or capture that it is about; 0 when it is about none.

    Of EVENTS_LOST how many.
    """
    time_ns: int
    """CLOCK_MONOTONIC."""
    uid: int
    name: str
    """The client's, or the output's."""
    word: str
    reason: str
    hint: str


class Bye(NamedTuple):
    """The daemon leaves in good order."""

    reason: int
    """`ByeReason`."""


HELLO = Message(0x0001, Hello, "<IHHQ32s")
SUBSCRIBE = Message(0x0002, Subscribe, "<IIIIII")
UNSUBSCRIBE = Message(0x0003, Unsubscribe, "<")
RELEASE = Message(0x0004, Release, "<QII")
GOODBYE = Message(0x0005, Goodbye, "<")
PAUSE = Message(0x0006, Pause, "<")
RESUME = Message(0x0007, Resume, "<")
QUERY = Message(0x0008, AskQuery, "<I4x", name="QUERY")
WATCH = Message(0x0009, Watch, "<I4x")
DISCONNECT = Message(0x000A, Disconnect, "<Q")

WELCOME = Message(0x8001, Welcome, "<IIQQII32s32s")
STREAM = Message(0x8002, Stream, "<IIIIIIIII4x32s32s32s32s240s240s96s")
FORMAT = Message(0x8003, Format, "<QII")
DONE = Message(0x8004, Done, "<")
BUFFER = Message(0x8005, Buffer, "<QQIIIIII4I4I", has_fds=True)
FRAME = Message(0x8006, Frame, "<QQQQQQIIII")
ENDED = Message(0x8007, Ended, "<")
ERROR = Message(0x8008, Error, "<IIi4x32s240s240s")
BYE = Message(0x8009, Bye, "<I4x")
REVOKED = Message(0x800A, Revoked, "<QII")
STATE = Message(0x800B, StateChange, "<I4x32s240s240s", name="STATE")
EARLY = Message(0x800C, Early, "<QQQIIII", has_fds=True)
BUFFER_GONE = Message(0x800D, BufferGone, "<II", name="BUFFER_GONE")
ENGINE = Message(0x800E, EngineStatus, "<IIQQQQQQQQQIIIIIIIIII32s240s240s", name="ENGINE")
PLANE = Message(0x800F, PlaneStatus, "<IIIiiIII16s32s", name="PLANE")
CLIENT = Message(0x8010, ClientStatus, "<QQQQIIIIIIII32s", name="CLIENT")
EVENT = Message(0x8011, Event, "<IIQQQI4x32s32s240s240s")

FROM_CLIENT: tuple[Message[Any], ...] = (
    HELLO, SUBSCRIBE, UNSUBSCRIBE, RELEASE, GOODBYE, PAUSE, RESUME, QUERY, WATCH, DISCONNECT,
)  # fmt: skip
FROM_DAEMON: tuple[Message[Any], ...] = (
    WELCOME, STREAM, FORMAT, DONE, BUFFER, FRAME, ENDED, ERROR, BYE, REVOKED, STATE,
    EARLY, BUFFER_GONE, ENGINE, PLANE, CLIENT, EVENT,
)  # fmt: skip
