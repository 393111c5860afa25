# SPDX-License-Identifier: MIT
"""The transport: messages and descriptors over one SEQPACKET socket."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureClosedError, CaptureLostError, ProtocolError
from capturectl.transport import Packet, Transport
from tests.support.fds import memfd, open_fds

if TYPE_CHECKING:
    from collections.abc import Iterator

BYE = bytes.fromhex("0980 0000 18000000 00000000 00000000 01000000 00000000")
"""A valid message."""


class Pair:
    """A transport under test, and the plain socket at its other end."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.transport = Transport(ours)
        self.transport.set_timeout(0)
        self.peer.settimeout(0)

    def receive(self) -> Packet:
        packet = self.transport.receive()
        assert packet is not None
        return packet

    def fill(self) -> None:
        """Send until the transport has enough."""
        while True:
            self.transport.send(BYE)


@pytest.fixture
def pair() -> Iterator[Pair]:
    both = Pair()
    yield both
    both.transport.close()
    both.peer.close()


# --- messages --------------------------------------------------------------------------------


def test_a_message_arrives_whole(pair: Pair) -> None:
    pair.peer.send(BYE)
    assert pair.receive().data == BYE


def test_a_message_arrives_with_its_header_read(pair: Pair) -> None:
    pair.peer.send(BYE)
    assert pair.receive().header == (0x8009, 0, 24, 0, 0)


def test_two_messages_arrive_as_two(pair: Pair) -> None:
    pair.peer.send(BYE)
    pair.peer.send(BYE)
    assert [pair.receive().data, pair.receive().data] == [BYE, BYE]


def test_a_message_is_sent_whole(pair: Pair) -> None:
    pair.transport.send(BYE)
    assert pair.peer.recv(4096) == BYE


def test_a_message_of_exactly_the_limit_is_taken(pair: Pair) -> None:
    message = (
        (0x8FFF).to_bytes(2, "little") + bytes(2) + (1024).to_bytes(4, "little") + bytes(1016)
    )
    pair.peer.send(message)
    assert pair.receive().data == message


def test_a_message_over_the_limit_is_refused(pair: Pair) -> None:
    message = (
        (0x8FFF).to_bytes(2, "little") + bytes(2) + (1025).to_bytes(4, "little") + bytes(1017)
    )
    pair.peer.send(message)
    with pytest.raises(ProtocolError, match="longer than the protocol allows"):
        pair.transport.receive()


def test_a_message_without_a_header_is_refused(pair: Pair) -> None:
    pair.peer.send(b"hello")
    with pytest.raises(ProtocolError, match="5 bytes is shorter than its header"):
        pair.transport.receive()


# --- descriptors -----------------------------------------------------------------------------


def test_descriptors_arrive_as_the_same_files(pair: Pair) -> None:
    with memfd(b"first") as first, memfd(b"second") as second:
        socket.send_fds(pair.peer, [BYE], [first.fileno(), second.fileno()])
        with pair.receive() as packet:
            contents = [os.pread(fd.fileno(), 9, 0) for fd in packet.fds]
    assert contents == [b"first", b"second"]


def test_descriptors_arrive_close_on_exec(pair: Pair) -> None:
    with memfd(b"") as fd:
        socket.send_fds(pair.peer, [BYE], [fd.fileno()])
    with pair.receive() as packet:
        assert not os.get_inheritable(packet.fds[0].fileno())


def test_descriptors_that_nobody_took_are_closed_with_the_packet(pair: Pair) -> None:
    with memfd(b"") as fd:
        socket.send_fds(pair.peer, [BYE], [fd.fileno()] * 4)
    before = open_fds()
    with pair.receive() as packet:
        assert len(open_fds()) == len(before) + 4
    assert not any(packet.fds)


def test_a_descriptor_that_was_taken_outlives_the_packet(pair: Pair) -> None:
    with memfd(b"mine") as fd:
        socket.send_fds(pair.peer, [BYE], [fd.fileno()])
    with pair.receive() as packet:
        taken = packet.fds[0].detach()
    assert os.pread(taken, 9, 0) == b"mine"
    os.close(taken)


def test_more_descriptors_than_allowed_are_refused(pair: Pair) -> None:
    with memfd(b"") as fd:
        socket.send_fds(pair.peer, [BYE], [fd.fileno()] * 5)
    with pytest.raises(ProtocolError):
        pair.transport.receive()


@pytest.mark.parametrize(
    ("message", "count"), [(BYE, 5), (bytes(2000), 1), (b"hello", 4)], ids=["fds", "long", "short"]
)
def test_descriptors_of_a_refused_message_are_closed(
    pair: Pair, message: bytes, count: int
) -> None:
    with memfd(b"") as fd:
        socket.send_fds(pair.peer, [message], [fd.fileno()] * count)
    before = open_fds()
    with pytest.raises(ProtocolError):
        pair.transport.receive()
    assert open_fds() == before


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open nothing meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("count", [1, 4])
def test_descriptors_that_this_process_has_no_room_for_are_no_fault_of_the_peers(
    pair: Pair, count: int
) -> None:
    with memfd(b"") as fd:
        socket.send_fds(pair.peer, [BYE], [fd.fileno()] * count)
    with no_more_files(), pytest.raises(CaptureLostError) as caught:
        pair.transport.receive()
    assert caught.value.code == "no-descriptors"


def test_descriptors_are_sent_and_stay_with_the_sender(pair: Pair) -> None:
    with memfd(b"shared") as fd:
        pair.transport.send(BYE, [fd.fileno()])
        assert fd
        _, received, _, _ = socket.recv_fds(pair.peer, 4096, 4)
    assert os.pread(received[0], 9, 0) == b"shared"
    os.close(received[0])


# --- ends and waits --------------------------------------------------------------------------


def test_nothing_to_read_would_block(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair.transport.receive()


def test_nothing_within_the_timeout_is_a_timeout(pair: Pair) -> None:
    pair.transport.set_timeout(0.001)
    with pytest.raises(TimeoutError):
        pair.transport.receive()


def test_a_full_socket_would_block(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair.fill()


def test_a_socket_that_stays_full_is_a_timeout(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair.fill()
    pair.transport.set_timeout(0.001)
    with pytest.raises(TimeoutError):
        pair.transport.send(BYE)


def test_a_peer_that_hung_up_is_the_end(pair: Pair) -> None:
    pair.peer.close()
    assert pair.transport.receive() is None


def test_what_was_sent_before_the_hang_up_is_still_read(pair: Pair) -> None:
    pair.peer.send(BYE)
    pair.peer.close()
    assert pair.receive().data == BYE


def test_a_reset_is_a_lost_connection(pair: Pair) -> None:
    pair.transport.send(BYE)
    pair.peer.close()  # with our message unread
    with pytest.raises(CaptureLostError) as caught:
        pair.transport.receive()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert caught.value.hint


def test_what_the_peer_said_before_a_reset_is_received(pair: Pair) -> None:
    pair.transport.send(BYE)
    pair.peer.send(BYE)
    pair.peer.close()  # with our message unread
    assert pair.receive().data == BYE
    assert pair.transport.receive() is None


def test_sending_to_a_peer_that_hung_up_is_a_lost_connection(pair: Pair) -> None:
    pair.peer.close()
    with pytest.raises(CaptureLostError) as caught:
        pair.transport.send(BYE)
    assert isinstance(caught.value.__cause__, BrokenPipeError)
    assert caught.value.hint


def test_sending_descriptors_to_a_peer_that_hung_up_is_a_lost_connection(pair: Pair) -> None:
    pair.peer.close()
    with memfd(b"") as fd, pytest.raises(CaptureLostError):
        pair.transport.send(BYE, [fd.fileno()])


def test_hanging_up_with_unread_messages_does_not_reset_the_peer(pair: Pair) -> None:
    pair.peer.send(BYE)
    pair.transport.send(BYE)
    pair.transport.hang_up()
    assert [pair.peer.recv(4096), pair.peer.recv(4096)] == [BYE, b""]


def test_hanging_up_closes_descriptors_that_were_not_read(pair: Pair) -> None:
    read_end, write_end = os.pipe()
    socket.send_fds(pair.peer, [BYE], [write_end])
    os.close(write_end)
    pair.transport.hang_up()
    assert os.read(read_end, 1) == b""
    os.close(read_end)


def test_hanging_up_twice_is_fine(pair: Pair) -> None:
    pair.transport.hang_up()
    pair.transport.hang_up()
    assert not pair.transport


def test_closing_twice_is_fine(pair: Pair) -> None:
    pair.transport.close()
    pair.transport.close()
    assert not pair.transport


def test_an_open_transport_is_true(pair: Pair) -> None:
    assert pair.transport


def test_a_closed_transport_sends_nothing(pair: Pair) -> None:
    pair.transport.close()
    with pytest.raises(CaptureClosedError):
        pair.transport.send(BYE)


def test_a_closed_transport_receives_nothing(pair: Pair) -> None:
    pair.transport.close()
    with pytest.raises(CaptureClosedError):
        pair.transport.receive()


def test_a_closed_transport_lends_no_number(pair: Pair) -> None:
    pair.transport.close()
    with pytest.raises(CaptureClosedError):
        pair.transport.fileno()
