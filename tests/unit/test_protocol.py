# SPDX-License-Identifier: MIT
"""The wire protocol: the bytes of every message, worked out by hand from its layout."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capturectl import protocol
from capturectl.errors import ProtocolError

if TYPE_CHECKING:
    from capturectl.protocol import Message

ALL: tuple[Message[Any], ...] = protocol.FROM_CLIENT + protocol.FROM_DAEMON
SERIAL, STREAM = 7, 2
_SERIAL_STREAM = "07000000 02000000"


def text(value: bytes, size: int) -> str:
    return value.ljust(size, b"\0").hex()


EXAMPLES: list[tuple[Message[Any], tuple[Any, ...], str]] = [
    (
        protocol.HELLO,
        protocol.Hello(0x44504143, 1, 2, 0x0102030405060708, "viewer"),
        f"0100 0000 40000000 {_SERIAL_STREAM}"
        f"43415044 0100 0200 0807060504030201 {text(b'viewer', 32)}",
    ),
    (
        protocol.SUBSCRIBE,
        protocol.Subscribe(5, 0, 0x34325258, 2, 1, 30000),
        f"0200 0000 28000000 {_SERIAL_STREAM}"
        "05000000 00000000 58523234 02000000 01000000 30750000",
    ),
    (protocol.UNSUBSCRIBE, protocol.Unsubscribe(), f"0300 0000 10000000 {_SERIAL_STREAM}"),
    (
        protocol.RELEASE,
        protocol.Release(0x1122334455667788, 3, 9),
        f"0400 0000 20000000 {_SERIAL_STREAM} 8877665544332211 03000000 09000000",
    ),
    (protocol.GOODBYE, protocol.Goodbye(), f"0500 0000 10000000 {_SERIAL_STREAM}"),
    (protocol.PAUSE, protocol.Pause(), f"0600 0000 10000000 {_SERIAL_STREAM}"),
    (protocol.RESUME, protocol.Resume(), f"0700 0000 10000000 {_SERIAL_STREAM}"),
    (
        protocol.QUERY,
        protocol.AskQuery(9),
        f"0800 0000 18000000 {_SERIAL_STREAM} 09000000 00000000",
    ),
    (protocol.WATCH, protocol.Watch(1), f"0900 0000 18000000 {_SERIAL_STREAM} 01000000 00000000"),
    (
        protocol.DISCONNECT,
        protocol.Disconnect(0x1122334455667788),
        f"0a00 0000 18000000 {_SERIAL_STREAM} 8877665544332211",
    ),
    (
        protocol.WELCOME,
        protocol.Welcome(1, 2, 3, 0xA1A2A3A4A5A6A7A8, 4, 250, "vkms", "0.1.0"),
        f"0180 0000 70000000 {_SERIAL_STREAM}"
        "01000000 02000000 0300000000000000 a8a7a6a5a4a3a2a1 04000000 fa000000"
        f"{text(b'vkms', 32)} {text(b'0.1.0', 32)}",
    ),
    (
        protocol.STREAM,
        protocol.Stream(
            3, 1, 1920, 1080, 59940, 0x34325258, 38, 36, 5,
            "HDMI-A-1", "/dev/dri/card0", "Writeback-1", "busy", "in use", "stop it",
            "Writeback-1 Writeback-2",
        ),
        f"0280 0000 f8020000 {_SERIAL_STREAM}"
        "03000000 01000000 80070000 38040000 24ea0000 58523234 26000000 24000000 05000000"
        f"00000000 {text(b'HDMI-A-1', 32)} {text(b'/dev/dri/card0', 32)}"
        f"{text(b'Writeback-1', 32)} {text(b'busy', 32)} {text(b'in use', 240)}"
        f"{text(b'stop it', 240)} {text(b'Writeback-1 Writeback-2', 96)}",
    ),
    (
        protocol.FORMAT,
        protocol.Format(0x0300000000606014, 0x34325258, 1),
        f"0380 0000 20000000 {_SERIAL_STREAM} 1460600000000003 58523234 01000000",
    ),
    (protocol.DONE, protocol.Done(), f"0480 0000 10000000 {_SERIAL_STREAM}"),
    (
        protocol.BUFFER,
        protocol.Buffer(
            0, 0x7E9000, 2, 7, 0x34325258, 1920, 1080, 1, (16, 0, 0, 5), (7680, 0, 0, 6)
        ),
        f"0580 0200 58000000 {_SERIAL_STREAM}"
        "0000000000000000 00907e0000000000 02000000 07000000 58523234 80070000 38040000 01000000"
        "10000000 00000000 00000000 05000000 001e0000 00000000 00000000 06000000",
    ),
    (
        protocol.FRAME,
        protocol.Frame(1, 2, 3, 4, 5, 0x0102030405060708, 6, 7, 1, 9),
        f"0680 0000 50000000 {_SERIAL_STREAM}"
        "0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000"
        "0807060504030201 06000000 07000000 01000000 09000000",
    ),
    (protocol.ENDED, protocol.Ended(), f"0780 0000 10000000 {_SERIAL_STREAM}"),
    (
        protocol.ERROR,
        protocol.Error(15, 1, -16, "busy", "in use", "stop it"),
        f"0880 0000 20020000 {_SERIAL_STREAM}"
        f"0f000000 01000000 f0ffffff 00000000 {text(b'busy', 32)} {text(b'in use', 240)}"
        f"{text(b'stop it', 240)}",
    ),
    (
        protocol.BYE,
        protocol.Bye(1),
        f"0980 0000 18000000 {_SERIAL_STREAM} 01000000 00000000",
    ),
    (
        protocol.REVOKED,
        protocol.Revoked(0x1122334455667788, 3, 9),
        f"0a80 0000 20000000 {_SERIAL_STREAM} 8877665544332211 03000000 09000000",
    ),
    (
        protocol.STATE,
        protocol.StateChange(3, "out-of-step", "lost", "reload"),
        f"0b80 0000 18020000 {_SERIAL_STREAM}"
        f"03000000 00000000 {text(b'out-of-step', 32)} {text(b'lost', 240)}"
        f"{text(b'reload', 240)}",
    ),
    (
        protocol.EARLY,
        protocol.Early(1, 2, 3, 4, 5, 6, 7),
        f"0c80 0200 38000000 {_SERIAL_STREAM}"
        "0100000000000000 0200000000000000 0300000000000000 04000000 05000000 06000000 07000000",
    ),
    (
        protocol.BUFFER_GONE,
        protocol.BufferGone(3, 9),
        f"0d80 0000 18000000 {_SERIAL_STREAM} 03000000 09000000",
    ),
    (
        protocol.ENGINE,
        protocol.EngineStatus._make((*range(1, 22), "lost", "gone", "wait")),
        f"0e80 0000 88020000 {_SERIAL_STREAM} 01000000 02000000"
        + "".join(value.to_bytes(8, "little").hex() for value in range(3, 12))
        + "".join(value.to_bytes(4, "little").hex() for value in range(12, 22))
        + f"{text(b'lost', 32)} {text(b'gone', 240)} {text(b'wait', 240)}",
    ),
    (
        protocol.PLANE,
        protocol.PlaneStatus(40, 55, 0x34325258, -1, -2, 640, 480, 1, "Overlay", "weston"),
        f"0f80 0000 60000000 {_SERIAL_STREAM} 28000000 37000000 58523234 ffffffff feffffff"
        f"80020000 e0010000 01000000 {text(b'Overlay', 16)} {text(b'weston', 32)}",
    ),
    (
        protocol.CLIENT,
        protocol.ClientStatus(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, "viewer"),
        f"1080 0000 70000000 {_SERIAL_STREAM}"
        "0100000000000000 0200000000000000 0300000000000000 0400000000000000 05000000 06000000"
        f"07000000 08000000 09000000 0a000000 0b000000 0c000000 {text(b'viewer', 32)}",
    ),
    (
        protocol.EVENT,
        protocol.Event(1, 2, 3, 4, 5, 6, "viewer", "slow", "too slow", "release"),
        f"1180 0000 58020000 {_SERIAL_STREAM} 01000000 02000000 0300000000000000"
        f"0400000000000000 0500000000000000 06000000 00000000 {text(b'viewer', 32)}"
        f"{text(b'slow', 32)} {text(b'too slow', 240)} {text(b'release', 240)}",
    ),
]  # fmt: skip

each_message = pytest.mark.parametrize("message", ALL, ids=lambda message: message.name)
each_example = pytest.mark.parametrize(
    ("message", "body", "expected"), EXAMPLES, ids=[message.name for message, _, _ in EXAMPLES]
)

ERROR_WITHOUT_TEXTS = bytes.fromhex(
    "0880 0000 1c000000 00000000 00000000 0f000000 01000000 f0ffffff"
)


# --- bytes -----------------------------------------------------------------------------------


def test_every_message_has_an_example_here() -> None:
    assert [message.name for message, _, _ in EXAMPLES] == [message.name for message in ALL]


@each_example
def test_a_message_packs_to_these_bytes(
    message: Message[Any], body: tuple[Any, ...], expected: str
) -> None:
    assert message.pack(body, serial=SERIAL, stream=STREAM) == bytes.fromhex(expected)


@each_example
def test_these_bytes_unpack_to_the_message(
    message: Message[Any], body: tuple[Any, ...], expected: str
) -> None:
    assert message.unpack(bytes.fromhex(expected)) == body


@each_example
def test_unpacking_gives_the_named_type(
    message: Message[Any], body: tuple[Any, ...], expected: str
) -> None:
    assert type(message.unpack(bytes.fromhex(expected))) is type(body)


# --- the table -------------------------------------------------------------------------------


@each_message
def test_every_message_fits_the_longest_one_allowed(message: Message[Any]) -> None:
    assert message.size <= 1024


def test_no_two_messages_have_one_code() -> None:
    assert len({message.code for message in ALL}) == len(ALL)


@each_message
def test_the_top_bit_of_the_code_says_who_sends_it(message: Message[Any]) -> None:
    assert bool(message.code & 0x8000) == (message in protocol.FROM_DAEMON)


@each_message
def test_every_structure_is_aligned_as_a_c_compiler_would(message: Message[Any]) -> None:
    layout = message.layout.format
    assert struct.calcsize(layout.replace("<", "@")) == struct.calcsize(layout)


@each_message
def test_only_a_buffer_and_a_fence_say_that_fds_come_with_them(message: Message[Any]) -> None:
    assert bool(message.flags & protocol.Flag.HAS_FDS) == (
        message in {protocol.BUFFER, protocol.EARLY}
    )


# --- growth ----------------------------------------------------------------------------------


@each_example
def test_the_tail_of_a_longer_structure_is_ignored(
    message: Message[Any], body: tuple[Any, ...], expected: str
) -> None:
    assert message.unpack(bytes.fromhex(expected) + b"from the future") == body


def test_a_shorter_structure_is_filled_with_zeroes() -> None:
    packet = bytes.fromhex("0280 0000 18000000 00000000 02000000 03000000 01000000")
    assert protocol.STREAM.unpack(packet) == (3, 1, *[0] * 7, *[""] * 7)


def test_an_array_that_is_cut_off_is_filled_with_zeroes() -> None:
    packet = protocol.BUFFER.pack(
        protocol.Buffer(0, 64, 0, 1, 0x34325258, 4, 4, 1, (1, 2, 3, 4), (5, 6, 7, 8))
    )
    cut = protocol.BUFFER.unpack(packet[:-12])
    assert (cut.offset, cut.pitch) == ((1, 2, 3, 4), (5, 0, 0, 0))


def test_numbers_before_missing_texts_are_kept() -> None:
    assert protocol.ERROR.unpack(ERROR_WITHOUT_TEXTS) == (15, 1, -16, "", "", "")


# --- texts -----------------------------------------------------------------------------------


def through_hello(name: str) -> str:
    hello = protocol.Hello(0, 1, 1, 0, name)
    return protocol.HELLO.unpack(protocol.HELLO.pack(hello)).name


def test_a_text_of_exactly_the_field_is_kept() -> None:
    assert through_hello("x" * 32) == "x" * 32


def test_a_longer_text_is_cut_to_the_field() -> None:
    assert through_hello("x" * 33) == "x" * 32


def test_a_text_is_cut_between_characters() -> None:
    assert through_hello("x" + "é" * 16) == "x" + "é" * 15


def test_a_text_ends_at_its_first_nul() -> None:
    packet = bytearray(protocol.HELLO.pack(protocol.Hello(0, 1, 1, 0, "abc")))
    packet[-1] = ord("z")
    assert protocol.HELLO.unpack(bytes(packet)).name == "abc"


def test_bytes_that_are_no_text_are_replaced() -> None:
    packet = protocol.HELLO.pack(protocol.Hello(0, 1, 1, 0, "a"))
    assert protocol.HELLO.unpack(packet[:32] + b"\xff" + packet[33:]).name == "\ufffd"


def test_a_text_with_undecodable_bytes_of_the_command_line_can_be_sent() -> None:
    assert through_hello("shot-\udcff").startswith("shot-")


# --- the header ------------------------------------------------------------------------------


def test_a_header_has_code_flags_size_serial_and_stream() -> None:
    packet = bytes.fromhex("0680 0100 12000000 07000000 02000000 abcd")
    assert protocol.unpack_header(packet) == (0x8006, 1, 18, 7, 2)


def test_the_shortest_message_is_a_header() -> None:
    assert protocol.unpack_header(bytes.fromhex("0300 0000 10000000 00000000 00000000")).size == 16


@pytest.mark.parametrize("length", [0, 1, 15])
def test_less_than_a_header_is_refused(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"{length} bytes is shorter"):
        protocol.unpack_header(bytes(length))


@pytest.mark.parametrize("size", [0, 15, 16, 18, 0xFFFFFFFF])
def test_a_size_other_than_the_length_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"17 bytes says it has {size}"):
        protocol.unpack_header(struct.pack("<HHIII", 3, 0, size, 0, 0) + b"x")


# --- nonsense --------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=1100))
def test_random_bytes_for_a_header_raise_nothing_but_protocol_error(packet: bytes) -> None:
    try:
        header = protocol.unpack_header(packet)
    except ProtocolError:
        return
    assert header.size == len(packet)


@settings(deadline=None)
@given(st.sampled_from(ALL), st.binary(max_size=1100))
def test_random_bytes_for_a_message_raise_nothing_but_protocol_error(
    message: Message[Any], packet: bytes
) -> None:
    try:
        body = message.unpack(packet)
    except ProtocolError:
        return
    assert type(body) is message.body


@settings(deadline=None)
@given(st.sampled_from(ALL), st.binary(max_size=1100))
def test_a_random_structure_has_as_many_fields_as_its_type(
    message: Message[Any], structure: bytes
) -> None:
    head = struct.pack("<HHIII", message.code, 0, 16 + len(structure), 0, 0)
    assert len(message.unpack(head + structure)) == len(message.body._fields)
