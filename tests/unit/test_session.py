# SPDX-License-Identifier: MIT
"""captured.server.session: one client's connection, message by message."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from capturectl import protocol
from capturectl.errors import CaptureBusyError, CaptureLostError, OutputOffError
from capturectl.fourcc import fourcc_code
from capturectl.protocol import ByeReason, ErrorCode, ErrorFlag, Source, State
from capturectl.transport import Transport
from captured.capture import retired
from captured.capture.engine import Engine, Settings
from captured.capture.pacing import Policy
from captured.capture.pool import RESERVE
from captured.server.access import Access, Rule
from captured.server.hub import Hub
from captured.server.peer import Peer
from captured.server.session import Session
from captured.server.stream import OutputLook, Stream
from tests.support.fakes import GEOMETRY, FakeSource, VirtualReactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capturectl.errors import CaptureError
    from captured.capture.pool import Slot

STREAM_ID = 1
POOL_SIZE = 8
SEND_BUFFER = 4608
USER, OTHER_USER = 1000, 1001
UNKNOWN = 0x0F0F
MANY = 40
"""More answers than are given in one turn."""
CROWD = 64
SOCKET_SIZE = 48
"""Bytes of a socket's object, as the listener makes it."""
MESSAGES = {message.code: message for message in protocol.FROM_DAEMON}
WELCOME = protocol.Welcome(1, 1, 0, 42, protocol.MAX_CREDITS, 250, "vkms", "0.1")
HELLO = protocol.Hello(protocol.MAGIC, 1, 1, 0, "tester")


class Received(NamedTuple):
    """A message as it came out of the socket."""

    name: str
    serial: int
    stream: int
    body: Any
    raw: bytes
    fds: int


class Client:
    """The other end of a session's socket, byte by byte."""

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.session = session
        self.hung_up = False
        self._socket = sock
        self._socket.setblocking(False)

    def send(self, message: bytes, fds: tuple[int, ...] = ()) -> None:
        socket.send_fds(self._socket, [message], fds)

    def read(self) -> list[Received]:
        """Take every message that is there."""
        received = []
        while not self.hung_up:
            try:
                raw, fds, _, _ = socket.recv_fds(self._socket, protocol.MAX_MESSAGE, 4)
            except BlockingIOError:
                break
            except ConnectionResetError:
                raw, fds = b"", []
            for fd in fds:
                os.close(fd)
            if not raw:
                self.hung_up = True
                break
            header = protocol.unpack_header(raw)
            message = MESSAGES[header.code]
            body = message.unpack(raw)
            received.append(
                Received(message.name, header.serial, header.stream, body, raw, len(fds))
            )
        return received

    def stop_receiving(self) -> None:
        self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        self._socket.close()


class World:
    """A loop, an engine over a fake source, and the sessions of its clients."""

    def __init__(self) -> None:
        self.problem: CaptureError | None = None
        self.reactor = VirtualReactor()
        self.source = FakeSource()
        self.engine = Engine(
            "HDMI-A-1", self.source, self.reactor, Settings(POOL_SIZE, 30.0), Policy()
        )
        self.stream = Stream(
            STREAM_ID,
            self.engine,
            self.source.kind,
            "/dev/dri/card0",
            self._look,
            lambda: GEOMETRY.fourcc,
            has_fences=True,
        )
        self.hub = Hub(self.reactor, {STREAM_ID: self.stream}, lambda: WELCOME)
        self._clients: list[Client] = []

    def _look(self) -> OutputLook:
        fourccs = (fourcc_code("XR24"), fourcc_code("RG24"))
        return OutputLook("HDMI-A-1", 31, 51, "Writeback-1", GEOMETRY, fourccs, self.problem)

    def connect(self, uid: int = USER) -> Client:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        session = Session(Transport(ours), Peer(4711, uid, 1000), self.hub)
        self._clients.append(Client(theirs, session))
        return self._clients[-1]

    def ask(self, client: Client, message: bytes, fds: tuple[int, ...] = ()) -> list[Received]:
        """Send a message and return what comes back."""
        client.send(message, fds)
        self.reactor.turn()
        return client.read()

    def finish(self, client: Client) -> list[Received]:
        """End the capture under way and return what the client gets."""
        self.source.finish()
        self.reactor.turn()
        return client.read()

    def clog(self, client: Client) -> None:
        """Make the client stop reading, with answers waiting for it."""
        while not client.session.is_clogged:
            client.send(unknown())
            self.reactor.turn()

    def adopt(self, sockets: list[socket.socket]) -> None:
        """Have the clients who came last, whose ends a test has made."""
        sessions = list(self.hub.sessions.values())[-len(sockets) :]
        self._clients += map(Client, sockets, sessions)

    def forget_clients(self) -> None:
        """Let go of those who have left."""
        for client in [client for client in self._clients if not client.session._transport]:
            client.close()
            self._clients.remove(client)

    def close(self) -> None:
        for client in self._clients:
            client.session.close()
            client.close()
        self.engine.close()
        self.reactor.close()


def subscribe(
    credits: int = 2,  # noqa: A002
    frames: int = 0,
    fourcc: int = 0,
    sources: int = Source.WRITEBACK,
    max_fps_millihertz: int = 0,
    stream: int = STREAM_ID,
) -> bytes:
    body = protocol.Subscribe(sources, 0, fourcc, credits, frames, max_fps_millihertz)
    return protocol.SUBSCRIBE.pack(body, serial=9, stream=stream)


def unsubscribe() -> bytes:
    return protocol.UNSUBSCRIBE.pack(protocol.Unsubscribe(), stream=STREAM_ID)


def release(frame: Received) -> bytes:
    body = protocol.Release(frame.body.sequence, frame.body.buffer, frame.body.generation)
    return protocol.RELEASE.pack(body, stream=frame.stream)


def hello(magic: int = protocol.MAGIC, version_min: int = 1, version_max: int = 1) -> bytes:
    return protocol.HELLO.pack(
        protocol.Hello(magic, version_min, version_max, 0, "tester"), serial=7
    )


def unknown(flags: int = 0) -> bytes:
    return struct.pack("<HHIII", UNKNOWN, flags, 16, 5, 0)


def names(received: list[Received]) -> list[str]:
    return [message.name for message in received]


def only(received: list[Received], name: str) -> Received:
    found = [message for message in received if message.name == name]
    assert len(found) == 1, names(received)
    return found[0]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with contextlib.closing(made):
        yield made


@pytest.fixture
def client(world: World) -> Client:
    """A client that has said HELLO."""
    return greeted(world)


def greeted(world: World, uid: int = USER) -> Client:
    client = world.connect(uid)
    assert names(world.ask(client, hello()))[-1] == "DONE"
    return client


def assert_cut(client: Client, received: list[Received], word: str) -> None:
    """The client got a fatal ERROR as the last thing, and the connection is over."""
    assert names(received) == ["ERROR"]
    assert received[0].body.flags == ErrorFlag.FATAL
    assert received[0].body.word == word
    assert client.hung_up


# -- hello ------------------------------------------------------------------------------------


def test_hello_is_answered_with_welcome_and_the_description_of_each_stream(
    world: World,
) -> None:
    received = world.ask(world.connect(), hello())
    assert names(received) == ["WELCOME", "STREAM", "FORMAT", "FORMAT", "DONE"]
    assert (received[0].serial, received[0].body) == (7, WELCOME)
    assert [message.stream for message in received[1:]] == [STREAM_ID] * 4


def test_a_session_is_called_what_the_client_calls_itself(world: World) -> None:
    assert str(greeted(world).session) == "client tester (pid 4711 uid 1000)"


def test_a_clients_name_cannot_break_a_line_of_the_log(world: World) -> None:
    client = world.connect()
    world.ask(client, protocol.HELLO.pack(HELLO._replace(name="a\ncaptured: b")))
    assert "\n" not in str(client.session)


def test_a_first_message_other_than_hello_cuts_the_connection(world: World) -> None:
    client = world.connect()
    assert_cut(client, world.ask(client, subscribe()), "protocol")


def test_a_may_ignore_message_before_hello_cuts_the_connection(world: World) -> None:
    client = world.connect()
    assert_cut(client, world.ask(client, unknown(protocol.Flag.MAY_IGNORE)), "protocol")


def test_hello_without_the_magic_number_cuts_the_connection(world: World) -> None:
    client = world.connect()
    assert_cut(client, world.ask(client, hello(magic=0x12345678)), "protocol")


@pytest.mark.parametrize("versions", [(2, 9), (0, 0)])
def test_hello_with_versions_that_the_daemon_does_not_speak_cuts_the_connection(
    world: World, versions: tuple[int, int]
) -> None:
    client = world.connect()
    assert_cut(client, world.ask(client, hello(protocol.MAGIC, *versions)), "version")


def test_a_version_that_is_not_spoken_has_an_error_code_of_its_own(world: World) -> None:
    received = world.ask(world.connect(), hello(version_min=2, version_max=9))
    assert received[0].body.code == ErrorCode.VERSION


@pytest.mark.parametrize(
    "wrong", [hello(magic=0), hello(version_min=2, version_max=9)], ids=["magic", "versions"]
)
def test_the_error_that_answers_hello_repeats_its_serial(world: World, wrong: bytes) -> None:
    received = world.ask(world.connect(), wrong)
    assert [(message.serial, message.stream) for message in received] == [(7, 0)]


def test_the_error_that_answers_a_request_repeats_its_serial(world: World, client: Client) -> None:
    received = world.ask(client, subscribe(credits=0))
    assert [(message.serial, message.stream) for message in received] == [(9, 0)]


def test_an_error_of_a_message_without_a_header_answers_nothing(
    world: World, client: Client
) -> None:
    assert [message.serial for message in world.ask(client, b"nonsense")] == [0]


def test_hello_with_a_range_around_the_daemons_version_is_welcome(world: World) -> None:
    received = world.ask(world.connect(), hello(version_min=0, version_max=9))
    assert received[0].body.version == 1


def test_a_second_hello_cuts_the_connection(world: World, client: Client) -> None:
    assert_cut(client, world.ask(client, hello()), "protocol")


def test_a_client_that_does_not_say_hello_in_time_is_cut_off(world: World) -> None:
    client = world.connect()
    world.reactor.advance(protocol.HELLO_TIMEOUT_S - 0.01)
    assert client.read() == []
    world.reactor.advance(0.02)
    assert_cut(client, client.read(), "hello-timeout")


def test_a_client_that_said_hello_may_be_silent(world: World, client: Client) -> None:
    world.reactor.advance(2 * protocol.HELLO_TIMEOUT_S)
    assert client.read() == []
    assert not client.hung_up


# -- malformed and unknown messages -----------------------------------------------------------


def test_an_unknown_message_is_answered_with_an_error_that_names_it(
    world: World, client: Client
) -> None:
    error = only(world.ask(client, unknown()), "ERROR")
    assert (error.serial, error.body.word) == (5, "unknown-message")
    assert (error.body.code, error.body.flags) == (ErrorCode.UNSUPPORTED, 0)
    assert not client.hung_up


def test_an_unknown_message_that_may_be_ignored_is_ignored(world: World, client: Client) -> None:
    assert world.ask(client, unknown(protocol.Flag.MAY_IGNORE)) == []
    assert not client.hung_up


def test_a_message_shorter_than_a_header_cuts_the_connection(world: World, client: Client) -> None:
    assert_cut(client, world.ask(client, b"\1\0\0\0"), "protocol")


def test_a_message_whose_size_is_wrong_cuts_the_connection(world: World, client: Client) -> None:
    message = struct.pack("<HHIII", UNKNOWN, 0, 17, 0, 0)
    assert_cut(client, world.ask(client, message), "protocol")


def test_a_message_that_is_too_long_cuts_the_connection(world: World, client: Client) -> None:
    message = struct.pack("<HHIII", UNKNOWN, 0, 2000, 0, 0).ljust(2000, b"\0")
    assert_cut(client, world.ask(client, message), "protocol")


def test_a_message_that_says_it_has_file_descriptors_cuts_the_connection(
    world: World, client: Client
) -> None:
    message = struct.pack("<HHIII", protocol.UNSUBSCRIBE.code, protocol.Flag.HAS_FDS, 16, 0, 1)
    assert_cut(client, world.ask(client, message), "protocol")


@pytest.mark.parametrize("count", [1, 4, 9])
def test_file_descriptors_of_a_client_are_closed(world: World, client: Client, count: int) -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    try:
        client.send(unsubscribe(), (write_end,) * count)
    finally:
        os.close(write_end)
    world.reactor.turn()
    try:
        assert os.read(read_end, 1) == b""
    finally:
        os.close(read_end)


def test_a_malformed_message_costs_nobody_else_anything(world: World, client: Client) -> None:
    other = greeted(world)
    world.ask(other, subscribe())
    world.ask(client, b"nonsense")
    assert names(world.finish(other)) == ["BUFFER", "FRAME"]


# -- subscribing ------------------------------------------------------------------------------


def assert_refused(client: Client, received: list[Received], code: ErrorCode, word: str) -> None:
    """The request failed, and the connection goes on."""
    error = only(received, "ERROR")
    assert (error.body.code, error.body.flags, error.body.word) == (code, 0, word)
    assert error.serial == 9
    assert not client.hung_up


def test_subscribing_to_a_stream_that_is_not_there_is_refused(
    world: World, client: Client
) -> None:
    received = world.ask(client, subscribe(stream=2))
    assert_refused(client, received, ErrorCode.NO_STREAM, "no-output")


@pytest.mark.parametrize("number", [0, 5, 2**32 - 1])
def test_subscribing_with_credits_out_of_range_cuts_the_connection(
    world: World, client: Client, number: int
) -> None:
    assert_cut(client, world.ask(client, subscribe(credits=number)), "protocol")


@pytest.mark.parametrize("sources", [0, Source.SCANOUT, Source.SCANOUT | Source.PATTERN])
def test_subscribing_without_accepting_the_streams_source_is_refused(
    world: World, client: Client, sources: int
) -> None:
    received = world.ask(client, subscribe(sources=sources))
    assert_refused(client, received, ErrorCode.UNSUPPORTED, "source")
    assert world.source.attach_count == 0


def test_subscribing_for_another_pixel_format_is_refused(world: World, client: Client) -> None:
    received = world.ask(client, subscribe(fourcc=fourcc_code("RG24")))
    assert_refused(client, received, ErrorCode.FORMAT, "format")
    assert world.engine.subscriber_count == 0


def test_subscribing_for_the_streams_pixel_format_is_granted(world: World, client: Client) -> None:
    assert world.ask(client, subscribe(fourcc=GEOMETRY.fourcc)) == []
    assert world.engine.subscriber_count == 1


def test_subscribing_twice_is_refused(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    received = world.ask(client, subscribe())
    assert_refused(client, received, ErrorCode.BUSY, "subscribed")
    assert world.engine.subscriber_count == 1


def test_subscribing_while_the_source_cannot_attach_is_refused(
    world: World, client: Client
) -> None:
    world.source.attach_error = CaptureBusyError(
        "the card has another master", code="another-master"
    )
    received = world.ask(client, subscribe())
    assert_refused(client, received, ErrorCode.BUSY, "another-master")


def test_a_refused_client_may_subscribe_again(world: World, client: Client) -> None:
    world.source.attach_error = CaptureBusyError("the card has another master")
    world.ask(client, subscribe())
    world.source.attach_error = None
    assert world.ask(client, subscribe()) == []
    assert world.engine.subscriber_count == 1


def test_a_subscription_that_fails_later_is_answered_with_the_streams_error(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe())
    world.reactor.advance(4.1)
    error = only([m for m in client.read() if m.name != "STATE"], "ERROR")
    assert (error.serial, error.stream, error.body.flags) == (0, STREAM_ID, 0)
    assert (error.body.code, error.body.word) == (ErrorCode.DEVICE_LOST, "out-of-step")


def test_a_client_hears_that_frames_stop_and_that_they_are_back(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe())
    world.reactor.advance(1.1)
    stopped = only(client.read(), "STATE")
    assert (stopped.body.state, stopped.body.word) == (State.BLOCKED, "out-of-step")
    world.source.finish()
    world.reactor.turn()
    back = next(message for message in client.read() if message.name == "STATE")
    assert (back.body.state, back.body.word) == (State.READY, "")


def test_a_paused_subscription_gets_nothing_until_it_resumes(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.ask(client, protocol.PAUSE.pack(protocol.Pause(), stream=STREAM_ID))
    world.source.finish()
    world.reactor.turn()
    assert client.read() == []
    world.ask(client, protocol.RESUME.pack(protocol.Resume(), stream=STREAM_ID))
    world.source.finish()
    world.reactor.turn()
    assert [message.name for message in client.read()] == ["BUFFER", "FRAME"]


def test_a_subscription_that_resumes_gets_no_picture_from_before(
    world: World, client: Client
) -> None:
    other = greeted(world)
    frame = only([*world.ask(client, subscribe(credits=1)), *world.finish(client)], "FRAME")
    world.ask(client, protocol.PAUSE.pack(protocol.Pause(), stream=STREAM_ID))
    world.ask(other, subscribe())
    world.finish(other)
    world.ask(client, protocol.RESUME.pack(protocol.Resume(), stream=STREAM_ID))
    assert world.ask(client, release(frame)) == []


def test_unsubscribing_ends_the_subscription(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    received = world.ask(client, unsubscribe())
    assert [(message.name, message.stream) for message in received] == [("ENDED", STREAM_ID)]
    assert world.engine.subscriber_count == 0


def test_unsubscribing_from_nothing_is_no_error(world: World, client: Client) -> None:
    assert world.ask(client, unsubscribe()) == []
    assert not client.hung_up


# -- frames -----------------------------------------------------------------------------------


def test_a_frame_comes_with_its_buffer_before_it(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    buffer, frame = world.finish(client)
    assert (buffer.name, buffer.fds) == ("BUFFER", 1)
    assert (frame.name, frame.fds) == ("FRAME", 0)
    assert (buffer.body.buffer, buffer.body.generation) == (
        frame.body.buffer,
        frame.body.generation,
    )


def test_a_buffer_says_how_its_picture_lies_in_memory(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    buffer = only(world.finish(client), "BUFFER").body
    assert (buffer.width, buffer.height, buffer.fourcc) == (64, 32, 0x34325258)
    assert (buffer.planes, buffer.pitch, buffer.offset) == (1, (256, 0, 0, 0), (0, 0, 0, 0))
    assert (buffer.size, buffer.modifier) == (8192, 0)


def test_a_frame_says_what_it_is_and_when_it_was(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    start = world.reactor.now_ns()
    world.source.finish(time_done_ns=start + 5)
    world.reactor.turn()
    frame = only(client.read(), "FRAME").body
    assert (frame.sequence, frame.missed, frame.source) == (1, 0, Source.WRITEBACK)
    assert (frame.time_commit_ns, frame.time_done_ns) == (start, start + 5)
    assert (frame.vblank, frame.time_vblank_ns) == (7001, 1_000_000_000_001)


def test_a_buffer_is_sent_once(world: World, client: Client) -> None:
    world.ask(client, subscribe(credits=1))
    buffers, frames = 0, 0
    for _ in range(3 * POOL_SIZE):
        received = world.finish(client)
        buffers += names(received).count("BUFFER")
        frame = only(received, "FRAME")
        frames += 1
        world.ask(client, release(frame))
    assert frames == 3 * POOL_SIZE
    assert buffers <= POOL_SIZE


def test_each_client_gets_a_buffer_of_its_own(world: World, client: Client) -> None:
    other = greeted(world)
    world.source.is_busy = True
    world.ask(client, subscribe())
    world.ask(other, subscribe())
    world.source.is_busy = False
    world.reactor.advance(0.01)
    assert names(world.finish(client)) == ["BUFFER", "FRAME"]
    assert names(other.read()) == ["BUFFER", "FRAME"]


def test_all_clients_get_the_same_bytes_of_a_frame(world: World, client: Client) -> None:
    other = greeted(world)
    world.source.is_busy = True
    world.ask(client, subscribe())
    world.ask(other, subscribe())
    world.source.is_busy = False
    world.reactor.advance(0.01)
    first = only(world.finish(client), "FRAME")
    assert only(other.read(), "FRAME").raw == first.raw


def test_a_new_generation_of_buffers_is_sent_anew(world: World, client: Client) -> None:
    world.ask(client, subscribe(frames=1))
    old = only(world.finish(client), "BUFFER").body
    world.engine.detach()
    world.ask(client, subscribe(frames=1))
    new = only(world.finish(client), "BUFFER").body
    assert new.generation > old.generation


def test_a_client_gets_as_many_frames_as_it_has_credits(world: World, client: Client) -> None:
    world.ask(client, subscribe(credits=2))
    assert names(world.finish(client)).count("FRAME") == 1
    assert names(world.finish(client)).count("FRAME") == 1
    assert not world.source.is_writing


def test_a_release_gives_a_credit_back(world: World, client: Client) -> None:
    world.ask(client, subscribe(credits=1))
    frame = only(world.finish(client), "FRAME")
    world.ask(client, release(frame))
    assert only(world.finish(client), "FRAME").body.sequence == 2


def test_frames_of_an_ended_subscription_give_the_next_one_no_credits(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe(credits=1, frames=1))
    old = only(world.finish(client), "FRAME")
    world.ask(client, subscribe(credits=1))
    world.finish(client)
    world.ask(client, release(old))
    assert not world.source.is_writing


def test_releasing_a_frame_that_is_not_held_cuts_the_connection(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe())
    frame = only(world.finish(client), "FRAME")
    world.ask(client, release(frame))
    assert_cut(client, world.ask(client, release(frame)), "protocol")


@pytest.mark.parametrize("body", [b"", bytes(16)], ids=["header only", "sequence 0"])
def test_releasing_nothing_cuts_the_connection(world: World, client: Client, body: bytes) -> None:
    message = struct.pack("<HHIII", protocol.RELEASE.code, 0, 16 + len(body), 0, STREAM_ID)
    assert_cut(client, world.ask(client, message + body), "protocol")


def test_a_frame_may_be_released_after_unsubscribing(world: World, client: Client) -> None:
    world.ask(client, subscribe(credits=1))
    frame = only(world.finish(client), "FRAME")
    world.ask(client, unsubscribe())
    assert world.ask(client, release(frame)) == []
    assert not client.hung_up


def test_a_frame_may_be_released_after_its_buffers_are_gone(world: World, client: Client) -> None:
    world.ask(client, subscribe(frames=1))
    frame = only(world.finish(client), "FRAME")
    world.engine.detach()
    assert names(world.ask(client, release(frame))) == ["BUFFER_GONE"]
    assert not client.hung_up


def test_a_subscription_of_some_frames_ends_after_the_last(world: World, client: Client) -> None:
    world.ask(client, subscribe(frames=2))
    assert names(world.finish(client)) == ["BUFFER", "FRAME"]
    assert names(world.finish(client)) == ["BUFFER", "FRAME", "ENDED"]
    assert world.engine.subscriber_count == 0
    assert not world.source.is_writing


def test_a_client_may_subscribe_again_after_the_last_frame(world: World, client: Client) -> None:
    world.ask(client, subscribe(frames=1))
    world.finish(client)
    assert world.ask(client, subscribe(frames=1)) == []
    assert names(world.finish(client))[-2:] == ["FRAME", "ENDED"]


def test_a_rate_limit_holds_from_the_first_frame_on(world: World, client: Client) -> None:
    world.ask(client, subscribe(max_fps_millihertz=1000))
    frame = only(world.finish(client), "FRAME")
    world.ask(client, release(frame))
    world.reactor.advance(0.5)
    assert not world.source.is_writing


def test_a_client_with_a_rate_limit_gets_frames_at_that_rate(world: World, client: Client) -> None:
    world.ask(client, subscribe(credits=1, max_fps_millihertz=100_000))
    start = world.reactor.now_ns()
    commits = []
    while world.reactor.now_ns() < start + 200_000_000:
        if world.source.is_writing:
            frame = only(world.finish(client), "FRAME")
            commits.append(frame.body.time_commit_ns)
            world.ask(client, release(frame))
        world.reactor.advance(0.001)
    assert 18 <= len(commits) <= 22


# -- leases -----------------------------------------------------------------------------------


def hoard(world: World, client: Client, count: int = 2) -> list[Received]:
    """Let a client hold some frames for longer than a lease, and return them."""
    world.ask(client, subscribe(credits=count))
    frames = [only(world.finish(client), "FRAME") for _ in range(count)]
    world.reactor.advance(1)
    return frames


def press(world: World, client: Client) -> list[Received]:
    """Let another client need all that the pool has; return what the first one hears."""
    other = greeted(world)
    world.ask(other, subscribe(credits=4))
    fill_pool(world, other)
    other.session.close()
    return client.read()


def fill_pool(world: World, client: Client) -> None:
    """Let a client that has subscribed take all that the pool has."""
    for _ in range(2 * POOL_SIZE):
        if world.source.is_writing:
            world.finish(client)


def test_a_client_hears_which_frame_was_taken_back(world: World, client: Client) -> None:
    frames = hoard(world, client)
    revoked = press(world, client)
    assert names(revoked)[0] == "REVOKED"
    assert revoked[0].stream == STREAM_ID
    body, frame = revoked[0].body, frames[0].body
    assert (body.sequence, body.buffer, body.generation) == (
        frame.sequence,
        frame.buffer,
        frame.generation,
    )


def test_a_frame_that_was_taken_back_brings_its_credit_when_it_is_released(
    world: World, client: Client
) -> None:
    frames = hoard(world, client)
    assert names(press(world, client)) == ["REVOKED"]
    if world.source.is_writing:
        assert world.finish(client) == []
    world.ask(client, release(frames[0]))
    assert "FRAME" in names(world.finish(client))
    assert not world.source.is_writing


def test_a_frame_that_was_taken_back_can_be_released_once(world: World, client: Client) -> None:
    frames = hoard(world, client)
    press(world, client)
    world.ask(client, release(frames[0]))
    received = world.ask(client, release(frames[0]))
    assert_cut(client, received, "protocol")


def test_a_client_that_has_three_frames_taken_back_at_once_is_cut_off(
    world: World, client: Client
) -> None:
    hoard(world, client, 4)
    received = press(world, client)
    assert names(received) == ["REVOKED", "REVOKED", "REVOKED", "ERROR"]
    assert received[-1].body.flags == ErrorFlag.FATAL
    assert (received[-1].body.code, received[-1].body.word) == (ErrorCode.SLOW, "slow")
    assert client.hung_up


class Keeper:
    """Keeps as many frames as it may, each for some captures: not for as long as a lease."""

    def __init__(self, world: World, captures: int) -> None:
        self._world = world
        self._captures = captures
        self._client = greeted(world)
        self._held: list[tuple[int, Received]] = []
        self.taken: list[int] = []
        self._note(0, world.ask(self._client, subscribe(credits=protocol.MAX_CREDITS)))

    def go_on(self, now: int) -> None:
        """Take what there is, and give back what has been kept long enough."""
        self._note(now, self._client.read())
        while self._held and self._held[0][0] <= now - self._captures:
            self._note(now, self._world.ask(self._client, release(self._held.pop(0)[1])))

    def _note(self, now: int, received: list[Received]) -> None:
        frames = [message for message in received if message.name == "FRAME"]
        assert "REVOKED" not in names(received)
        self._held += [(now, frame) for frame in frames]
        self.taken += [frame.body.sequence for frame in frames]


def share(world: World, keepers: list[Keeper], captures: int, arrive: int) -> None:
    """Let keepers come one after the other, and captures go by."""
    for now in range(captures):
        if now % 3 == 0 and len(keepers) < arrive:
            keepers.append(Keeper(world, captures=12))
        if world.source.is_writing:
            world.source.finish()
        world.reactor.advance(0.001)
        for keeper in keepers:
            keeper.go_on(now)


@pytest.mark.parametrize("others", [1, 2, 3, 5])
def test_who_gives_back_at_once_gets_every_capture_whatever_others_keep(
    world: World, others: int
) -> None:
    prompt = Keeper(world, captures=0)
    share(world, [prompt], captures=150, arrive=1 + others)
    assert prompt.taken == list(range(1, len(prompt.taken) + 1))
    assert len(prompt.taken) == 150


def test_those_who_keep_frames_leave_some_to_each_other(world: World) -> None:
    keepers: list[Keeper] = []
    share(world, keepers, captures=150, arrive=5)
    counts = [len(keeper.taken) for keeper in keepers]
    assert min(counts) > max(counts) / 2, counts


@pytest.mark.parametrize(("captures", "is_prompt"), [(1, True), (8, True), (16, False)])
def test_who_gives_a_frame_back_is_prompt_unless_it_was_very_late(
    world: World, client: Client, captures: int, is_prompt: bool
) -> None:
    world.ask(client, subscribe(credits=1))
    kept = only(world.finish(client), "FRAME")
    share(world, [Keeper(world, captures=0)], captures, arrive=1)
    (subscription,) = client.session.subscriptions
    assert not subscription.is_prompt(0)
    world.ask(client, release(kept))
    assert subscription.is_prompt(0) == is_prompt


def test_lateness_is_made_good_by_frames_that_come_soon(world: World, client: Client) -> None:
    world.ask(client, subscribe(credits=1))
    frame = only(world.finish(client), "FRAME")
    share(world, [Keeper(world, captures=0)], 16, arrive=1)
    (subscription,) = client.session.subscriptions
    for _ in range(16):
        frame = only(world.ask(client, release(frame)) or world.finish(client), "FRAME")
    assert subscription.is_prompt(0)


def test_frames_that_are_held_count_against_the_credits_of_a_new_subscription(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe(frames=1))
    world.finish(client)
    received = world.ask(client, subscribe(credits=4))
    assert_refused(client, received, ErrorCode.CAPACITY, "capacity")


# -- clients that do not read -----------------------------------------------------------------


def waiting(client: Client) -> list[bytes]:
    """Return what waits for a client that does not read."""
    assert client.session._outbox is not None
    return client.session._outbox.messages


def test_a_client_that_does_not_read_gets_no_frames(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.clog(client)
    world.source.finish()
    world.reactor.turn()
    assert "FRAME" not in names(client.read())
    assert not client.hung_up


def test_nothing_is_captured_for_a_client_that_does_not_read(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.clog(client)
    world.source.finish()
    world.reactor.turn()
    assert not world.source.is_writing


def test_a_client_that_reads_again_gets_all_answers_in_order(world: World, client: Client) -> None:
    serials = range(100, 140)
    for serial in serials:
        client.send(struct.pack("<HHIII", UNKNOWN, 0, 16, serial, 0))
        world.reactor.turn()
    received: list[Received] = []
    while more := client.read():
        received += more
        world.reactor.turn()
    assert [message.serial for message in received] == list(serials)


def test_a_client_that_reads_again_gets_frames_again(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.clog(client)
    world.source.finish()
    world.reactor.turn()
    while client.read():
        world.reactor.turn()
    world.reactor.advance(0.1)
    assert names(world.finish(client))[-1] == "FRAME"


def test_a_client_that_reads_again_hears_that_capturing_failed_meanwhile(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe())
    world.clog(client)
    world.source.finish()
    world.reactor.turn()
    world.source.commit_error = OSError(22, "Invalid argument")
    received: list[Received] = []
    while more := client.read():
        received += more
        world.reactor.turn()
    world.reactor.advance(1)
    received += client.read()
    assert received[-1].name == "ERROR"
    assert (received[-1].stream, received[-1].body.word) == (STREAM_ID, "lost")


def test_a_client_that_does_not_read_its_answers_is_not_heard_until_it_does(
    world: World, client: Client
) -> None:
    sent = 0
    with contextlib.suppress(BlockingIOError):
        for sent in range(400):  # noqa: B007 - how many those are is asked below
            client.send(unknown())
            world.reactor.turn()
    assert len(waiting(client)) < 10
    received: list[Received] = []
    while more := client.read():
        received += more
        world.reactor.turn()
    assert names(received) == ["ERROR"] * sent


def overflow(world: World, client: Client) -> None:
    """Tell a subscriber more than waits for one that does not read."""
    world.ask(client, subscribe())
    (subscription,) = client.session.subscriptions
    while client.session in world.hub.sessions.values():
        for problem in (OutputOffError("HDMI-A-1 is off"), None) * 100:
            subscription.state_changed(problem)
        world.reactor.turn()


def test_a_client_that_never_reads_what_it_is_told_is_cut_off(
    world: World, client: Client
) -> None:
    overflow(world, client)
    client.read()
    assert client.hung_up


def test_who_watches_hears_that_a_client_was_cut_off_for_not_reading(
    world: World, client: Client
) -> None:
    idler = greeted(world)
    watch(world, client)
    overflow(world, idler)
    kind = protocol.EventKind
    heard = [(message.body.kind, message.body.word) for message in client.read()]
    assert (kind.CLIENT_CUT_OFF, "clogged") in heard


def test_a_client_that_does_not_read_does_not_hold_up_another(
    world: World, client: Client
) -> None:
    other = greeted(world)
    world.ask(client, subscribe())
    world.ask(other, subscribe())
    world.clog(client)
    world.finish(other)
    assert "FRAME" in names(world.finish(other))


def test_who_does_not_read_that_a_buffer_is_gone_brings_no_second_commit(
    world: World, client: Client
) -> None:
    other, third = greeted(world), greeted(world)
    for each in (client, other):
        world.ask(each, subscribe(credits=1))
    first = only(world.finish(client), "FRAME")
    only(world.finish(other), "FRAME")
    world.ask(client, release(only(world.ask(client, release(first)), "FRAME")))
    with contextlib.suppress(BlockingIOError):
        while True:
            client.session._transport.send(protocol.DONE.pack(protocol.Done()))
    other.session.cut_off(CaptureLostError("held too much", code="slow"))
    world.ask(third, subscribe(credits=4))
    for _ in range(2 * POOL_SIZE):
        for message in world.finish(third):  # the source takes no two at once
            if message.name == "FRAME":
                world.ask(third, release(message))


# -- leaving while frames are handed out or taken back -----------------------------------------


def assert_all_is_back(world: World) -> None:
    """Every buffer is free but for the newest, and the pool knows it."""
    pool = world.engine.pool
    assert pool is not None
    assert [slot.readers for slot in pool.slots] == [0] * POOL_SIZE
    spare = pool.spare
    pool.recount()
    assert spare == pool.spare == POOL_SIZE - RESERVE


def watch(world: World, client: Client) -> None:
    world.ask(client, protocol.WATCH.pack(protocol.Watch(1)))


def test_a_client_that_overflows_while_its_frame_is_taken_back_gives_it_back_once(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    idler, other = greeted(world), greeted(world)
    world.ask(client, subscribe(credits=2))
    world.ask(idler, subscribe(credits=2))
    for _ in range(3):
        world.finish(client)  # it has 1 and 2, the idler 2 and 3; none is given back
    world.ask(other, subscribe(credits=4))
    world.clog(idler)
    monkeypatch.setattr("captured.server.outbox.LIMIT", len(waiting(idler)))
    world.reactor.advance(0.5)  # longer than a lease, shorter than a fence may take
    fill_pool(world, other)  # the idler is told of 2
    assert idler.session not in world.hub.sessions.values()
    client.session.close()
    other.session.close()
    assert_all_is_back(world)


@pytest.mark.parametrize("first", [True, False])
def test_a_watcher_that_stops_receiving_while_frames_are_handed_out_leaves_nothing(
    world: World, first: bool
) -> None:
    watcher = greeted(world)
    ending = [greeted(world) for _ in range(120)]
    watch(world, watcher)
    for one in [watcher, *ending] if first else [*ending, watcher]:
        one.send(subscribe(frames=0 if one is watcher else 2))
        world.reactor.turn()
        watcher.read()
    world.source.finish()
    world.reactor.turn()
    watcher.stop_receiving()
    world.source.finish()  # of all that end at once it cannot be told
    world.reactor.turn()
    assert watcher.session not in world.hub.sessions.values()
    for one in ending:
        one.session.close()
    assert_all_is_back(world)


def hold_one(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.finish(client)


def have_one_taken_back(world: World, client: Client) -> None:
    hoard(world, client)
    press(world, client)


def have_one_early(world: World, client: Client) -> None:
    world.ask(client, early())


def ask_and_not_read(world: World, client: Client) -> None:
    world.clog(client)
    client.send(query(0xFF))
    world.reactor.turn()


def watch_and_not_read(world: World, client: Client) -> None:
    watch(world, client)
    come_and_go(world, client, 300)


@pytest.mark.parametrize(
    "state",
    [
        hold_one,
        have_one_taken_back,
        have_one_early,
        ask_and_not_read,
        watch_and_not_read,
        overflow,
    ],
)
def test_a_client_that_left_is_forgotten_without_a_collector(
    world: World, state: Callable[[World, Client], None]
) -> None:
    gc.collect()
    gc.disable()
    try:
        before = sessions()
        leaver = greeted(world)
        state(world, leaver)
        leaver.session.close()
        del leaver
        world.forget_clients()
        world.reactor.advance(2)
        assert sessions() <= before
    finally:
        gc.enable()


def test_one_that_left_before_the_mode_changed_is_forgotten_without_a_collector(
    world: World,
) -> None:
    stays = greeted(world)
    gc.collect()
    gc.disable()
    try:
        before = sessions()
        leaver = greeted(world)
        world.ask(stays, subscribe(credits=protocol.MAX_CREDITS))
        world.ask(leaver, subscribe())
        for _ in range(2):
            world.finish(stays)  # the second is for both
        leaver.session.close()
        del leaver
        world.forget_clients()
        world.source.geometry = GEOMETRY._replace(width=2 * GEOMETRY.width)
        world.source.refusals = 1
        world.finish(stays)
        world.reactor.advance(2)
        assert world.engine.geometry == world.source.geometry
        assert sessions() == before
    finally:
        gc.enable()


def sessions() -> int:
    return sum(isinstance(thing, Session) for thing in gc.get_objects())


def known_to(client: Client) -> set[Slot]:
    """Return the buffers that a client was sent."""
    assert client.session.loans is not None
    return set(client.session.loans.known)


# -- what a client takes ----------------------------------------------------------------------


def weigh(world: World, wish: bytes = b"") -> float:
    """Let a crowd come, and subscribe if it has a wish; return the bytes the daemon has of each.

    Beside that are their sockets, and what a first client brings with it.
    """
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(CROWD)]
    ones = [theirs for _, theirs in pairs]
    first = greeted(world)
    world.ask(first, subscribe(frames=1))
    world.finish(first)
    tracemalloc.start()
    try:
        for number, (ours, _) in enumerate(pairs):
            ours.setblocking(False)
            Session(Transport(ours), Peer(2**16 + number, USER, USER), world.hub)
        say(world, ones, hello())
        world.reactor.advance(2 * protocol.HELLO_TIMEOUT_S)
        if wish:
            say(world, ones, wish)
            for _ in range(2):  # the first was begun for one of them
                world.source.finish()
                world.reactor.turn()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / CROWD
    finally:
        tracemalloc.stop()
        world.adopt(ones)


def say(world: World, ones: list[socket.socket], message: bytes) -> None:
    """Let each of a crowd say the same and read the answers."""
    for one in ones:
        one.send(message)
        world.reactor.turn()
        for _ in range(MANY):
            with contextlib.suppress(BlockingIOError):
                one.recv(protocol.MAX_MESSAGE, socket.MSG_DONTWAIT)


@pytest.mark.slow
def test_a_connection_takes_less_than_a_kilobyte(world: World) -> None:
    assert weigh(world) + SOCKET_SIZE < 1024


@pytest.mark.slow
def test_a_subscriber_with_a_frame_takes_less_than_two(world: World) -> None:
    assert weigh(world, subscribe(credits=1, max_fps_millihertz=1000)) + SOCKET_SIZE < 2048


# -- former buffers ---------------------------------------------------------------------------


def keep_former_buffers(world: World, uid: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a user learn most of a pool, which is then given up; return how much that was."""
    monkeypatch.setattr(retired, "_references", lambda fd: 2)
    client = greeted(world, uid)
    world.ask(client, subscribe(credits=protocol.MAX_CREDITS))
    for _ in range(protocol.MAX_CREDITS):
        world.finish(client)
    known = len(known_to(client))
    client.session.close()
    world.engine.detach()
    return known


def keep_too_many(world: World, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the user learn more former buffers than a pool has; return how many."""
    kept = 0
    while kept <= POOL_SIZE:
        kept += keep_former_buffers(world, USER, monkeypatch)
    return kept


def test_a_user_who_keeps_former_buffers_gets_no_new_ones_and_nobody_else_pays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep_too_many(world, monkeypatch)
    error = only(world.ask(greeted(world), subscribe()), "ERROR")
    assert (error.body.code, error.body.word) == (ErrorCode.CAPACITY, "capacity")
    assert f"user {USER} keep {kept} former buffers" in error.body.reason
    other = greeted(world, OTHER_USER)
    world.ask(other, subscribe())
    assert "FRAME" in names(world.finish(other))


def test_a_user_who_has_closed_former_buffers_is_served_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_too_many(world, monkeypatch)
    monkeypatch.setattr(retired, "_references", lambda fd: 1)
    client = greeted(world)
    world.ask(client, subscribe())
    assert "FRAME" in names(world.finish(client))


def test_former_buffers_of_all_users_together_are_limited(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uid in range(USER, USER + 5):
        keep_former_buffers(world, uid, monkeypatch)
    error = only(world.ask(greeted(world, USER + 5), subscribe()), "ERROR")
    assert error.body.word == "no-memory"


# -- releases by their bytes ------------------------------------------------------------------


def test_a_release_with_a_serial_is_one_all_the_same(world: World, client: Client) -> None:
    world.ask(client, subscribe(credits=1))
    frame = only(world.finish(client), "FRAME").body
    body = protocol.Release(frame.sequence, frame.buffer, frame.generation)
    world.ask(client, protocol.RELEASE.pack(body, serial=77, stream=STREAM_ID))
    assert world.source.is_writing
    assert not client.hung_up


def test_a_release_that_is_longer_than_ours_is_one_all_the_same(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe(credits=1))
    frame = only(world.finish(client), "FRAME").body
    longer = struct.pack(
        "<HHIIIQIIQ", protocol.RELEASE.code, 0, 40, 0, STREAM_ID,
        frame.sequence, frame.buffer, frame.generation, 0,
    )  # fmt: skip
    world.ask(client, longer)
    assert world.source.is_writing
    assert not client.hung_up


def test_a_release_of_the_right_frame_in_the_wrong_buffer_cuts_the_connection(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe())
    frame = only(world.finish(client), "FRAME").body
    body = protocol.Release(frame.sequence, frame.buffer + 1, frame.generation)
    wrong = protocol.RELEASE.pack(body, stream=STREAM_ID)
    assert_cut(client, world.ask(client, wrong), "protocol")


def test_another_message_that_ends_like_a_release_gives_nothing_back(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe(credits=1))
    frame = only(world.finish(client), "FRAME")
    liar = struct.pack("<HHII", UNKNOWN, protocol.Flag.MAY_IGNORE, 32, 0) + release(frame)[12:]
    world.ask(client, liar)
    assert not world.source.is_writing
    world.ask(client, release(frame))
    assert world.source.is_writing


# -- frames before they are written -----------------------------------------------------------


def early(**wishes: int) -> bytes:
    body = protocol.Subscribe(Source.WRITEBACK, protocol.SubscribeFlag.EARLY, 0, 2, 0, 0)
    return protocol.SUBSCRIBE.pack(body._replace(**wishes), stream=STREAM_ID)


def test_an_early_client_gets_each_frame_with_its_fence_before_it_is_written(
    world: World, client: Client
) -> None:
    received = world.ask(client, early())
    assert names(received) == ["BUFFER", "EARLY"]
    assert [message.fds for message in received] == [1, 1]
    assert received[1].body.sequence == 1
    assert "FRAME" not in names(world.finish(client))


def test_an_early_frame_is_released_like_any_other(world: World, client: Client) -> None:
    frame = only(world.ask(client, early(credits=1)), "EARLY")
    world.ask(client, release(frame))
    assert names(world.finish(client)) == ["BUFFER", "EARLY"]
    assert not client.hung_up


def test_an_early_frame_that_fails_is_revoked_and_the_client_stays(
    world: World, client: Client
) -> None:
    for _ in range(5):
        frame = only(world.ask(client, early(credits=1)), "EARLY")
        world.source.finish(-5)
        world.reactor.turn()
        received = client.read()
        assert names(received)[0] == "REVOKED"
        world.ask(client, unsubscribe())
        for message in [frame, *(m for m in received if m.name == "EARLY")]:
            world.ask(client, release(message))
    assert not client.hung_up


def test_a_client_is_not_blamed_for_an_early_frame_that_failed(
    world: World, client: Client
) -> None:
    frame = only(world.ask(client, early()), "EARLY")
    world.source.finish(-5)
    world.reactor.turn()
    (subscription,) = client.session.subscriptions
    world.ask(client, release(frame))
    assert subscription.is_prompt(0)


def test_a_source_without_fences_refuses_early(world: World, client: Client) -> None:
    world.stream.has_fences = False
    received = world.ask(client, early())
    assert [message.body.word for message in received] == ["no-early"]
    assert not client.hung_up


# -- what is told of everybody ----------------------------------------------------------------


def query(what: int, serial: int = 5) -> bytes:
    return protocol.QUERY.pack(protocol.AskQuery(what), serial=serial)


def test_answers_carry_the_serial_and_end_with_done(world: World, client: Client) -> None:
    received = world.ask(client, query(protocol.Query.OUTPUTS | protocol.Query.ENGINES))
    assert names(received) == ["STREAM", "FORMAT", "FORMAT", "DONE", "ENGINE", "DONE"]
    assert {message.serial for message in received} == {5}
    assert received[-1].stream == 0


def test_an_empty_query_has_an_empty_answer(world: World, client: Client) -> None:
    assert names(world.ask(client, query(0))) == ["DONE"]


def read_to_done(world: World, client: Client) -> list[Received]:
    received: list[Received] = []
    while not received or received[-1].name != "DONE":
        world.reactor.run_once(0)
        received += client.read()
        assert not client.hung_up
    return received


def test_a_long_answer_lets_others_have_their_turn(world: World, client: Client) -> None:
    count = 3 * MANY
    for _ in range(count):
        world.connect().send(hello())
    world.reactor.turn()
    client.read()
    client.send(query(protocol.Query.CLIENTS))
    world.reactor.run_once(0)
    begun = client.read()
    assert 0 < len(begun) <= MANY
    assert names(begun + read_to_done(world, client)) == ["CLIENT"] * (count + 1) + ["DONE"]


def test_a_long_answer_goes_on_when_clients_come_and_leave_meanwhile(
    world: World, client: Client
) -> None:
    others = [greeted(world) for _ in range(2 * MANY)]
    client.send(query(protocol.Query.CLIENTS))
    world.reactor.run_once(0)
    begun = client.read()
    others[-1].session.close()
    greeted(world)
    assert names(begun + read_to_done(world, client)) == ["CLIENT"] * (2 * MANY) + ["DONE"]


def test_a_long_answer_goes_on_when_subscriptions_end_meanwhile(
    world: World, client: Client
) -> None:
    others = [greeted(world) for _ in range(2 * MANY)]
    for other in others:
        world.ask(other, subscribe())
    client.send(query(protocol.Query.CLIENTS))
    world.reactor.run_once(0)
    begun = client.read()
    for other in others:
        world.ask(other, unsubscribe())
    assert names(begun + read_to_done(world, client)) == ["CLIENT"] * (2 * MANY + 1) + ["DONE"]


def test_an_engine_is_idle_then_capturing_then_lingering(world: World, client: Client) -> None:
    def state() -> object:
        return only(world.ask(client, query(protocol.Query.ENGINES)), "ENGINE").body.state

    assert state() == protocol.EngineState.IDLE
    world.ask(client, subscribe())
    assert state() == protocol.EngineState.CAPTURING
    world.ask(client, unsubscribe())
    assert state() == protocol.EngineState.LINGERING


def test_an_engine_says_what_it_has_captured_and_where(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.finish(client)
    engine = only(world.ask(client, query(protocol.Query.ENGINES)), "ENGINE").body
    assert (engine.captured, engine.subscribers, engine.buffers) == (1, 1, POOL_SIZE)
    assert engine.pool_bytes == POOL_SIZE * GEOMETRY.width * GEOMETRY.height * 4
    assert (engine.buffers_lent, engine.buffers_free) == (1, POOL_SIZE - 2)


def test_clients_are_listed_with_what_they_have(world: World, client: Client) -> None:
    other = greeted(world)
    world.ask(other, subscribe(credits=3))
    world.finish(other)
    rows = [m for m in world.ask(client, query(protocol.Query.CLIENTS)) if m.name == "CLIENT"]
    idle, busy = rows
    assert (idle.stream, busy.stream) == (0, STREAM_ID)
    assert (busy.body.sent, busy.body.credits, busy.body.held) == (1, 2, 1)
    assert (busy.body.pid, busy.body.uid, busy.body.name) == (4711, 1000, "tester")


def test_a_client_that_is_not_greeted_is_not_listed(world: World, client: Client) -> None:
    world.connect()
    rows = [m for m in world.ask(client, query(protocol.Query.CLIENTS)) if m.name == "CLIENT"]
    assert len(rows) == 1


def test_pictures_that_a_client_went_without_are_counted(world: World, client: Client) -> None:
    other = greeted(world)
    world.ask(client, subscribe(credits=1))
    world.ask(other, subscribe(credits=4))
    for _ in range(4):
        world.finish(other)
    client.read()
    rows = [m for m in world.ask(other, query(protocol.Query.CLIENTS)) if m.name == "CLIENT"]
    assert [(row.body.sent, row.body.skipped) for row in rows] == [(1, 3), (3, 1)]


def test_who_watches_hears_of_others_and_who_stops_does_not(world: World, client: Client) -> None:
    world.ask(client, protocol.WATCH.pack(protocol.Watch(1)))
    other = greeted(world)
    world.ask(other, subscribe())
    other.close()
    world.reactor.turn()
    kinds = [message.body.kind for message in client.read()]
    kind = protocol.EventKind
    assert kinds == [
        kind.CLIENT_CONNECTED, kind.ATTACHED, kind.SUBSCRIBED, kind.UNSUBSCRIBED, kind.CLIENT_LEFT,
    ]  # fmt: skip
    world.ask(client, protocol.WATCH.pack(protocol.Watch(0)))
    greeted(world)
    assert client.read() == []


def test_who_watches_hears_nothing_of_a_subscription_that_was_refused(
    world: World, client: Client
) -> None:
    other = greeted(world)
    watch(world, client)
    world.source.attach_error = OutputOffError("HDMI-A-1 is off")
    assert names(world.ask(other, subscribe())) == ["ERROR"]
    assert client.read() == []


def test_a_watcher_that_nothing_can_be_sent_to_costs_nobody_else_the_connection(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(world, client)

    def fail(message: bytes, fds: object = ()) -> None:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(client.session, "_transport", Failing(client.session._transport, fail))
    other = greeted(world)
    world.reactor.turn()
    assert world.hub.sessions == {other.session.number: other.session}


class Failing:
    """A transport through which nothing can be sent."""

    def __init__(self, transport: Transport, send: Callable[..., None]) -> None:
        self.fileno, self.hang_up, self.send = transport.fileno, transport.hang_up, send
        self._transport = transport

    def __bool__(self) -> bool:
        return bool(self._transport)


def come_and_go(world: World, watcher: Client, count: int) -> None:
    """Let so many clients come and go, one EVENT each way, while the watcher does not read."""
    for _ in range(count):
        other = world.connect()
        world.ask(other, hello())
        other.session.close()
    assert not watcher.hung_up


def read_all(world: World, client: Client) -> list[Received]:
    received: list[Received] = []
    while more := client.read():
        received += more
        world.reactor.turn()
    return received


def test_a_watcher_that_is_behind_goes_without_events_and_hears_how_many(
    world: World, client: Client
) -> None:
    watch(world, client)
    come_and_go(world, client, 300)
    *heard, lost = [message.body for message in read_all(world, client)]
    kind = protocol.EventKind
    assert {event.kind for event in heard} == {kind.CLIENT_CONNECTED, kind.CLIENT_LEFT}
    assert (lost.kind, lost.sequence, lost.word) == (
        kind.EVENTS_LOST, 600 - len(heard), "events-lost",
    )  # fmt: skip
    come_and_go(world, client, 1)
    again = [message.body.kind for message in client.read()]
    assert again == [kind.CLIENT_CONNECTED, kind.CLIENT_LEFT]
    assert client.session in world.hub.sessions.values()


def test_events_are_left_out_until_the_watcher_has_caught_up(world: World, client: Client) -> None:
    watch(world, client)
    come_and_go(world, client, 300)
    received = client.read()
    world.reactor.turn()  # some have been read, and there would be room again
    assert client.session.is_clogged
    come_and_go(world, client, 1)
    received += read_all(world, client)
    assert [message.body.kind for message in received].count(protocol.EventKind.EVENTS_LOST) == 1
    assert received[-1].body.sequence == 602 - (len(received) - 1)


def test_who_stops_watching_is_not_told_of_events_left_out(world: World, client: Client) -> None:
    watch(world, client)
    come_and_go(world, client, 300)
    client.send(protocol.WATCH.pack(protocol.Watch(0)))
    world.reactor.turn()
    kinds = [message.body.kind for message in read_all(world, client)]
    assert protocol.EventKind.EVENTS_LOST not in kinds


def test_events_leave_room_for_what_a_client_must_not_miss(world: World, client: Client) -> None:
    watch(world, client)
    come_and_go(world, client, 300)
    for _ in range(100):
        client.send(unknown())
        world.reactor.turn()
    received = read_all(world, client)
    assert names(received).count("ERROR") == 100
    assert not client.hung_up


UNPLUGGED = CaptureLostError("HDMI-A-1 was unplugged", code="unplugged")


def test_a_lost_capture_is_told_to_who_watches(world: World, client: Client) -> None:
    world.ask(client, protocol.WATCH.pack(protocol.Watch(1)))
    other = greeted(world)
    world.ask(other, subscribe())
    client.read()
    world.reactor.advance(1.1)
    events = [message.body for message in client.read() if message.name == "EVENT"]
    assert [(event.kind, event.word) for event in events] == [
        (protocol.EventKind.CAPTURE_LOST, ""),
        (protocol.EventKind.OUTPUT_STATE, "out-of-step"),
    ]
    assert events[0].sequence == 1


def test_an_output_that_changes_is_described_anew_to_everybody(
    world: World, client: Client
) -> None:
    world.engine.outlet.output_changed(protocol.EventKind.OUTPUT_CHANGED, UNPLUGGED)
    assert names(client.read()) == ["STREAM", "FORMAT", "FORMAT", "DONE"]


def test_who_gets_frames_hears_what_has_changed_first(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.engine.outlet.output_changed(protocol.EventKind.OUTPUT_CHANGED, UNPLUGGED)
    state, *description = client.read()
    assert names(description) == ["STREAM", "FORMAT", "FORMAT", "DONE"]
    assert (state.name, state.body.state, state.body.word) == ("STATE", 1, "unplugged")


def test_who_waits_hears_again_what_is_in_the_way(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.problem = OutputOffError("HDMI-A-1 is off")
    world.engine.outlet.output_changed(protocol.EventKind.OUTPUT_CHANGED, UNPLUGGED)
    state = client.read()[0].body
    assert (state.state, state.word) == (2, "output-off")


@pytest.mark.parametrize(
    "kind", [protocol.EventKind.OUTPUT_ADDED, protocol.EventKind.OUTPUT_REMOVED]
)
def test_the_engine_alone_says_when_frames_stop_and_come(
    world: World, client: Client, kind: protocol.EventKind
) -> None:
    world.ask(client, subscribe())
    world.engine.outlet.output_changed(kind, UNPLUGGED)
    assert "STATE" not in names(client.read())


def test_a_change_of_an_output_is_an_event(world: World, client: Client) -> None:
    world.ask(client, protocol.WATCH.pack(protocol.Watch(1)))
    world.engine.outlet.output_changed(protocol.EventKind.OUTPUT_CHANGED, UNPLUGGED)
    event = client.read()[0].body
    assert (event.kind, event.word) == (protocol.EventKind.OUTPUT_CHANGED, "unplugged")


def test_who_does_not_read_hears_of_a_hundred_changes_once(world: World, client: Client) -> None:
    world.clog(client)
    for _ in range(1000):
        world.engine.outlet.output_changed(protocol.EventKind.OUTPUT_CHANGED, UNPLUGGED)
    received = []
    for _ in range(20):
        received += client.read()
        world.reactor.turn()
    assert names(received).count("STREAM") == 1
    assert not client.hung_up


def test_who_has_not_said_hello_hears_of_no_change(world: World) -> None:
    stranger = world.connect()
    world.engine.outlet.output_changed(protocol.EventKind.OUTPUT_CHANGED, UNPLUGGED)
    world.reactor.turn()
    assert stranger.read() == []


def disconnect(number: int) -> bytes:
    return protocol.DISCONNECT.pack(protocol.Disconnect(number), serial=9)


def test_a_user_may_cut_off_a_client_of_his_own(world: World, client: Client) -> None:
    other = greeted(world)
    assert names(world.ask(client, disconnect(other.session.number))) == ["DONE"]
    assert_cut(other, other.read(), "disconnected")


def test_a_user_may_not_cut_off_a_client_of_another(world: World, client: Client) -> None:
    other = greeted(world)
    other.session.peer = Peer(1, 2000, 2000)
    received = world.ask(client, disconnect(other.session.number))
    assert [message.body.code for message in received] == [ErrorCode.DENIED]
    assert other.read() == []
    assert not other.hung_up


def test_root_may_cut_off_anybody(world: World, client: Client) -> None:
    other = greeted(world)
    client.session.peer = Peer(1, 0, 0)
    assert names(world.ask(client, disconnect(other.session.number))) == ["DONE"]
    assert_cut(other, other.read(), "disconnected")


# -- who may see what ---------------------------------------------------------------------------

ANNA, BERTA = 1000, 2000  # clients are Anna's unless a test says otherwise


def only_for(uid: int) -> Access:
    return Access({"HDMI-A-1": Rule(frozenset({uid}), frozenset())})


def test_whoever_may_not_see_an_output_is_denied_its_frames_and_stays_connected(
    world: World, client: Client
) -> None:
    world.hub.set_access(only_for(BERTA))
    (received,) = world.ask(client, subscribe())
    assert (received.body.code, received.body.word) == (ErrorCode.DENIED, "not-allowed")
    assert not client.hung_up
    assert world.engine.subscriber_count == 0


def test_whoever_may_see_an_output_gets_its_frames(world: World, client: Client) -> None:
    world.hub.set_access(only_for(ANNA))
    world.ask(client, subscribe())
    assert "FRAME" in names(world.finish(client))


def test_whoever_may_not_see_an_output_is_not_told_of_its_planes(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = protocol.PlaneStatus(32, 77, 0, 0, 0, 64, 32, 0, "primary", "sway")
    monkeypatch.setattr(world.stream, "_planes", lambda: [plane])
    assert "PLANE" in names(world.ask(client, query(protocol.Query.PLANES)))
    world.hub.set_access(only_for(BERTA))
    assert names(world.ask(client, query(protocol.Query.PLANES))) == ["DONE"]


def test_a_subscriber_who_may_not_see_it_any_more_is_cut_off(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    other = greeted(world)
    world.hub.set_access(only_for(BERTA))
    assert_cut(client, client.read(), "not-allowed")
    assert not other.hung_up


def test_the_buffers_that_he_knows_are_not_written_again(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    frame = only(world.finish(client), "FRAME")
    world.ask(client, unsubscribe())
    known = known_to(client)
    world.hub.set_access(only_for(BERTA))
    assert_cut(client, client.read(), "not-allowed")
    assert frame.body.buffer in {slot.index for slot in known}
    assert all(slot.is_tainted for slot in known)


@pytest.mark.parametrize("number", [0, 77])
def test_a_client_that_is_not_there_cannot_be_cut_off(
    world: World, client: Client, number: int
) -> None:
    received = world.ask(client, disconnect(number))
    assert [message.body.word for message in received] == ["no-client"]


def test_nobody_can_cut_himself_off(world: World, client: Client) -> None:
    received = world.ask(client, disconnect(client.session.number))
    assert [message.body.word for message in received] == ["no-client"]
    assert not client.hung_up


def test_the_buffers_of_a_client_that_was_cut_off_are_replaced(
    world: World, client: Client
) -> None:
    watcher = greeted(world)
    world.ask(client, subscribe())
    seen = only(world.finish(client), "FRAME").body
    world.ask(watcher, subscribe(credits=4))
    world.ask(watcher, disconnect(client.session.number))
    used = []
    for _ in range(3 * POOL_SIZE):
        received = world.finish(watcher)
        for frame in (message for message in received if message.name == "FRAME"):
            used.append(frame.body.buffer)
            world.ask(watcher, release(frame))
    assert seen.buffer not in used[POOL_SIZE:]
    assert len(world.source.memories) == POOL_SIZE + 1


# -- leaving ----------------------------------------------------------------------------------


def starve(world: World, client: Client) -> Client:
    """Let a client and another hold all that the pool lends, with a third left wanting."""
    other = greeted(world)
    for holder in (client, other):
        world.ask(holder, subscribe(credits=4))
        for _ in range(4):
            world.finish(holder)
    patient = greeted(world)
    world.ask(patient, subscribe(credits=1))
    for _ in range(3):
        world.finish(other)
    assert patient.read() == []
    return patient


def test_a_client_that_dies_gives_everything_back(world: World, client: Client) -> None:
    patient = starve(world, client)
    client.close()
    world.reactor.advance(0.02)
    world.source.finish()
    world.reactor.turn()
    assert names(patient.read())[-1] == "FRAME"
    assert client.session not in world.hub.sessions.values()


def test_a_client_that_dies_before_hello_is_forgotten(world: World) -> None:
    client = world.connect()
    client.close()
    world.reactor.turn()
    assert client.session not in world.hub.sessions.values()


def test_a_client_that_dies_in_mid_capture_loses_nobody_elses_frame(
    world: World, client: Client
) -> None:
    other = greeted(world)
    world.source.is_busy = True
    world.ask(client, subscribe())
    world.ask(other, subscribe())
    world.source.is_busy = False
    world.reactor.advance(0.01)
    client.close()
    assert names(world.finish(other)) == ["BUFFER", "FRAME"]


@pytest.mark.parametrize("wish", [subscribe(credits=4), early(credits=4)], ids=["late", "early"])
@pytest.mark.parametrize("frames_before", [0, 2 * POOL_SIZE])
def test_a_subscriber_that_stops_receiving_is_gone_at_the_next_frame(
    world: World, client: Client, wish: bytes, frames_before: int
) -> None:
    received = world.ask(client, wish)
    for _ in range(frames_before):  # then it knows all buffers
        for frame in (message for message in received if message.name in {"FRAME", "EARLY"}):
            world.ask(client, release(frame))
        received = world.finish(client)
    client.stop_receiving()
    world.source.finish()
    world.reactor.turn()
    assert client.session not in world.hub.sessions.values()
    assert world.engine.subscriber_count == 0
    world.reactor.advance(0.1)
    assert_all_is_back(world)


def test_a_watcher_that_stops_receiving_is_gone_at_the_next_event(
    world: World, client: Client
) -> None:
    watch(world, client)
    client.stop_receiving()
    greeted(world)
    assert client.session not in world.hub.sessions.values()


def test_a_client_that_says_goodbye_gets_bye_and_gives_everything_back(
    world: World, client: Client
) -> None:
    patient = starve(world, client)
    received = world.ask(client, protocol.GOODBYE.pack(protocol.Goodbye()))
    assert only(received, "BYE").body.reason == ByeReason.CLIENT
    assert client.hung_up
    world.reactor.advance(0.02)
    world.source.finish()
    world.reactor.turn()
    assert names(patient.read())[-1] == "FRAME"


def test_a_shutdown_says_bye_and_hangs_up(world: World, client: Client) -> None:
    client.session.say_bye(ByeReason.SHUTDOWN)
    received = client.read()
    assert names(received) == ["BYE"]
    assert received[0].body.reason == ByeReason.SHUTDOWN
    assert client.hung_up


def test_closing_a_session_twice_is_fine_and_said_once(world: World, client: Client) -> None:
    client.session.close()
    client.session.close()
    assert client.session not in world.hub.sessions.values()


def test_a_session_that_is_cut_off_is_forgotten(world: World, client: Client) -> None:
    world.ask(client, subscribe())
    world.ask(client, b"nonsense")
    assert client.session not in world.hub.sessions.values()
    assert world.engine.subscriber_count == 0


# -- one client's end in the middle of everything ------------------------------------------------


def test_a_client_may_leave_while_the_pool_takes_back_what_it_holds(
    world: World, client: Client
) -> None:
    world.ask(client, subscribe(credits=4))
    for _ in range(4):
        world.finish(client)
    other = greeted(world)
    world.ask(other, subscribe())
    world.reactor.advance(1)
    client.close()
    world.reactor.turn()
    assert client.session not in world.hub.sessions.values()
    world.finish(other)
    assert world.engine.subscriber_count == 1


def test_a_fault_of_ours_costs_the_client_that_provokes_it_and_nobody_else(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = greeted(world)

    def fail(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(world.engine, "subscribe", fail)
    world.ask(client, subscribe())
    client.read()
    assert client.hung_up
    assert world.ask(other, unknown())[0].name == "ERROR"
