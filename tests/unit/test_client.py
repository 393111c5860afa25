# SPDX-License-Identifier: MIT
"""The client, against a daemon that says what the test tells it to."""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

import capturectl.client
from capturectl import errors, protocol
from capturectl.client import Client, connect, default_socket
from capturectl.output import Output
from capturectl.protocol import ErrorCode, ErrorFlag, Source, State
from tests.support.fake_daemon import STREAM, WELCOME, FakeDaemon, describe, greeting
from tests.support.fds import memfd
from tests.support.fork import FORKS, status_of_child
from tests.support.frames import RG16, XR24

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from capturectl.fd import OwnedFd

    Handler = Callable[[int, FrameType | None], None]

SHORT = 0.01
"""Seconds; a test that waits for a timeout waits for so long."""

OTHER = STREAM._replace(name="DP-1")
ENDED = protocol.ENDED.pack(protocol.Ended(), stream=1)


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[[Sequence[bytes]], FakeDaemon]]:
    """Start a daemon that answers HELLO with these messages."""
    daemons: list[FakeDaemon] = []

    def start(messages: Sequence[bytes]) -> FakeDaemon:
        daemons.append(FakeDaemon(tmp_path / "sock", [(message, ()) for message in messages]))
        return daemons[0]

    yield start
    for daemon in daemons:
        daemon.close()


@pytest.fixture
def daemon(listen: Callable[[Sequence[bytes]], FakeDaemon]) -> FakeDaemon:
    """A daemon with HDMI-A-1."""
    return listen(greeting(STREAM))


@pytest.fixture
def client(daemon: FakeDaemon) -> Iterator[Client]:
    with connect(daemon.path) as connected:
        yield connected


@pytest.fixture
def two_outputs(listen: Callable[[Sequence[bytes]], FakeDaemon]) -> FakeDaemon:
    """A daemon with HDMI-A-1, which is stream 1, and DP-1, which is stream 2."""
    return listen(greeting(STREAM, OTHER))


@pytest.fixture
def client_of_two(two_outputs: FakeDaemon) -> Iterator[Client]:
    with connect(two_outputs.path) as connected:
        yield connected


@pytest.fixture
def alarm() -> Iterator[Callable[[Handler], None]]:
    """Let a signal come a little later, with this handler."""
    before = signal.getsignal(signal.SIGALRM)

    def set_in_a_while(handler: Handler) -> None:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 3 * SHORT)

    yield set_in_a_while
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# --- what a daemon says; 2x1 XR24 unless told ------------------------------------------------


@pytest.fixture
def pixels() -> Iterator[OwnedFd]:
    with memfd(b"BGRXbgrx") as fd:
        yield fd


def buffer(
    number: int = 0, *, generation: int = 1, size: int = 8, planes: int = 1, stream: int = 1
) -> bytes:
    described = protocol.Buffer(
        0, size, number, generation, XR24, 2, 1, planes, (0, 0, 0, 0), (8, 0, 0, 0)
    )
    return protocol.BUFFER.pack(described, stream=stream)


def frame(sequence: int = 1, *, number: int = 0, generation: int = 1, stream: int = 1) -> bytes:
    message = protocol.Frame(sequence, 0, 0, 0, 0, 0, number, generation, Source.WRITEBACK, 0)
    return protocol.FRAME.pack(message, stream=stream)


def error(code: ErrorCode, word: str = "word", *, stream: int = 1, fatal: bool = False) -> bytes:
    message = protocol.Error(code, ErrorFlag(fatal), 0, word, "why", "what next")
    return protocol.ERROR.pack(message, stream=stream)


def codes_received(daemon: FakeDaemon) -> list[int]:
    """Return the types of the messages that wait at the daemon."""
    codes = []
    while daemon.has_received():
        codes.append(struct.unpack_from("<H", daemon.receive())[0])
    return codes


def send_picture(daemon: FakeDaemon, pixels: OwnedFd, sequence: int = 1) -> None:
    daemon.send(buffer(), fds=[pixels])
    daemon.send(frame(sequence), ENDED)


# --- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames_per_second", "said"),
    [
        (0, 0), (1e-9, 1), (0.0001, 1), (0.0016, 2), (29.97, 29_970), (4_294_967.295, 0xFFFF_FFFF),
        (5e6, 0xFFFF_FFFF), (math.inf, 0xFFFF_FFFF),
    ],
)  # fmt: skip
def test_a_limit_is_said_as_near_as_the_protocol_can(
    client: Client, daemon: FakeDaemon, frames_per_second: float, said: int
) -> None:
    with client.stream(max_fps=frames_per_second):
        assert struct.unpack_from("<I", daemon.receive(), 36) == (said,)


@pytest.mark.parametrize("frames_per_second", [-1, math.nan, -math.inf])
def test_a_limit_below_nothing_is_refused(client: Client, frames_per_second: float) -> None:
    with pytest.raises(ValueError, match="frames a second"):
        client.stream(max_fps=frames_per_second)


# --- connecting ------------------------------------------------------------------------------


def test_the_first_message_is_a_hello(daemon: FakeDaemon) -> None:
    with connect(daemon.path, name="viewer"):
        daemon.wait_greeted()
    assert daemon.first == bytes.fromhex(
        "0100 0000 40000000 01000000 00000000 43415044 0100 0100 0300000000000000"
    ) + b"viewer".ljust(32, b"\0")


def test_the_program_is_the_name_when_none_is_given(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/kiosk-check", "-v"])
    with connect(daemon.path):
        daemon.wait_greeted()
    assert daemon.first[32:] == b"kiosk-check".ljust(32, b"\0")


def test_the_driver_is_known_after_connecting(client: Client) -> None:
    assert client.driver == "vkms"


def test_the_default_socket_is_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAPTURECTL_SOCKET", raising=False)
    assert default_socket() == "/run/captured/captured.sock"


def test_the_environment_names_another_socket(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPTURECTL_SOCKET", daemon.path)
    with connect() as client:
        assert client.driver == "vkms"


def test_without_a_socket_the_daemon_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(errors.UnreachableError, match="there is no socket"):
        connect(str(tmp_path / "nothing"))


def test_with_nobody_behind_the_socket_the_daemon_is_unreachable(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as abandoned:
        abandoned.bind(path)
    with pytest.raises(errors.UnreachableError, match="Connection refused"):
        connect(path)


def test_a_socket_of_another_kind_is_no_daemon(tmp_path: Path) -> None:
    path = str(tmp_path / "sock")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as stream:
        stream.bind(path)
        stream.listen()
        with pytest.raises(errors.UnreachableError, match="wrong type"):
            connect(path)


def test_a_path_too_long_for_a_socket_is_unreachable() -> None:
    with pytest.raises(errors.UnreachableError, match="too long"):
        connect("/" + "x" * 200)


def test_a_socket_that_this_user_may_not_use_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("capturectl.reach._connect_within", refuse)
    with pytest.raises(errors.NotAllowedError, match="permission denied"):
        connect("/run/sock")


@pytest.mark.timeout(2)
def test_a_daemon_that_accepts_nobody_is_a_timeout(full_socket: str) -> None:
    with pytest.raises(errors.CaptureTimeoutError, match="nobody accepts"):
        connect(full_socket, timeout=SHORT)


@pytest.mark.timeout(2)
def test_a_wait_that_is_no_number_is_over_at_once(tmp_path: Path) -> None:
    with pytest.raises(errors.UnreachableError):
        connect(str(tmp_path / "none"), wait=math.nan)


@pytest.mark.timeout(2)
def test_a_signal_does_not_end_the_wait_for_a_daemon_that_accepts_nobody(
    full_socket: str, alarm: Callable[[Handler], None]
) -> None:
    alarm(lambda *_: None)
    with pytest.raises(errors.CaptureTimeoutError, match="nobody accepts"):
        connect(full_socket, timeout=10 * SHORT)


@pytest.mark.timeout(2)
def test_ctrl_c_ends_the_wait_for_a_daemon_that_accepts_nobody(
    full_socket: str, alarm: Callable[[Handler], None]
) -> None:
    alarm(signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        connect(full_socket, timeout=60)


def test_a_daemon_that_says_nothing_is_a_timeout(
    listen: Callable[[Sequence[bytes]], FakeDaemon],
) -> None:
    with pytest.raises(errors.CaptureTimeoutError, match="WELCOME"):
        connect(listen([]).path, timeout=SHORT)


def test_a_daemon_that_never_ends_its_list_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.closing(there):
        for message in greeting(STREAM)[:-1]:
            there.send(message)  # it has come before its time is over
        monkeypatch.setattr("capturectl.client.open_socket", lambda *_: here)
        with pytest.raises(errors.CaptureTimeoutError, match="list of outputs"):
            connect("/run/sock", timeout=SHORT)


def test_a_first_message_that_is_no_welcome_is_a_protocol_error(
    listen: Callable[[Sequence[bytes]], FakeDaemon],
) -> None:
    with pytest.raises(errors.ProtocolError, match="not WELCOME"):
        connect(listen([ENDED]).path)


def test_a_daemon_that_refuses_the_version_is_a_protocol_error(
    listen: Callable[[Sequence[bytes]], FakeDaemon],
) -> None:
    daemon = listen([error(ErrorCode.VERSION, "version", stream=0)])
    with pytest.raises(errors.ProtocolError) as caught:
        connect(daemon.path)
    assert caught.value.code == "version"


@pytest.mark.parametrize("version", [0, 2])
def test_a_version_that_the_client_does_not_know_is_a_protocol_error(
    listen: Callable[[Sequence[bytes]], FakeDaemon], version: int
) -> None:
    welcome = protocol.WELCOME.pack(WELCOME._replace(version=version, streams=0))
    with pytest.raises(errors.ProtocolError):
        connect(listen([welcome]).path).close()


def test_a_state_that_the_client_does_not_know_is_a_protocol_error(
    listen: Callable[[Sequence[bytes]], FakeDaemon],
) -> None:
    with pytest.raises(errors.ProtocolError):
        connect(listen(greeting(STREAM._replace(state=99))).path)


# --- outputs ---------------------------------------------------------------------------------


def test_an_output_has_what_the_daemon_said_of_it(
    listen: Callable[[Sequence[bytes]], FakeDaemon],
) -> None:
    daemon = listen(greeting(STREAM._replace(fourcc=XR24), fourccs=(XR24, RG16)))
    with connect(daemon.path) as client:
        outputs = client.outputs()
    assert outputs == (
        Output(
            stream=1,
            name="HDMI-A-1",
            state=State.READY,
            source=Source.WRITEBACK,
            width=1920,
            height=1080,
            refresh_mhz=60000,
            card="/dev/dri/card0",
            writeback="Writeback-1",
            connector_id=38,
            crtc_id=36,
            clients=2,
            fourccs=(XR24, RG16),
            fourcc=XR24,
            code="",
            reason="",
            hint="",
            clones=("Writeback-1", "Writeback-2"),
        ),
    )


def test_a_daemon_may_have_no_output(
    listen: Callable[[Sequence[bytes]], FakeDaemon],
) -> None:
    with connect(listen(greeting()).path) as client:
        assert client.outputs() == ()


def test_outputs_stand_in_the_daemons_order(client_of_two: Client) -> None:
    assert [output.name for output in client_of_two.outputs()] == ["HDMI-A-1", "DP-1"]


def test_an_output_is_found_by_name(client_of_two: Client) -> None:
    assert client_of_two.output("DP-1").stream == 2


def test_the_only_output_needs_no_name(client: Client) -> None:
    assert client.output().name == "HDMI-A-1"


def test_one_of_several_outputs_needs_a_name(client_of_two: Client) -> None:
    with pytest.raises(errors.UsageError, match="HDMI-A-1, DP-1"):
        client_of_two.output()


def test_an_output_that_is_described_anew_is_known_as_it_is_then(
    client: Client, daemon: FakeDaemon
) -> None:
    gone = STREAM._replace(state=protocol.State.BLOCKED, code="no-card", card="", width=0)
    daemon.send(*describe(gone, 1))
    with pytest.raises(errors.CaptureTimeoutError):
        client.snapshot(timeout=0.05)
    (output,) = client.outputs()
    assert (output.state, output.code, output.card) == (protocol.State.BLOCKED, "no-card", "")


def test_an_output_that_comes_later_joins_the_others(client: Client, daemon: FakeDaemon) -> None:
    daemon.send(*describe(STREAM._replace(name="DP-7"), 2))
    with pytest.raises(errors.CaptureTimeoutError):
        client.snapshot("HDMI-A-1", timeout=0.05)
    assert [output.name for output in client.outputs()] == ["HDMI-A-1", "DP-7"]


def test_an_unknown_output_is_refused(client_of_two: Client) -> None:
    with pytest.raises(errors.NoOutputError, match="there is no output VGA-1: the daemon has"):
        client_of_two.output("VGA-1")


def test_a_snapshot_of_an_unknown_output_asks_the_daemon_nothing(
    client: Client, daemon: FakeDaemon
) -> None:
    with pytest.raises(errors.NoOutputError):
        client.snapshot("VGA-1")
    assert not daemon.has_received()


# --- a snapshot ------------------------------------------------------------------------------


def test_a_snapshot_asks_for_one_frame_with_one_credit(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    client.snapshot()
    assert daemon.receive() == bytes.fromhex(
        "0200 0000 28000000 02000000 0100000005000000 00000000 00000000 01000000 01000000 00000000"
    )


def test_a_snapshot_accepts_the_sources_it_is_told_to(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    client.snapshot(sources=Source.SCANOUT)
    assert daemon.receive()[16:20] == bytes.fromhex("02000000")


def test_a_snapshot_has_the_pixels_of_the_buffer(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    with client.snapshot() as picture:
        assert picture.array.tobytes() == b"BGRXbgrx"


def test_a_snapshot_knows_its_output_and_sequence(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels, sequence=77)
    with client.snapshot() as picture:
        assert (picture.output, picture.sequence) == ("HDMI-A-1", 77)


def test_releasing_it_sends_a_release(client: Client, daemon: FakeDaemon, pixels: OwnedFd) -> None:
    daemon.send(buffer(3, generation=5), fds=[pixels])
    daemon.send(frame(77, number=3, generation=5), ENDED)
    client.snapshot().release()
    daemon.receive()  # SUBSCRIBE
    assert daemon.receive() == bytes.fromhex(
        "0400 0000 20000000 03000000 01000000 4d00000000000000 03000000 05000000"
    )


def test_releasing_it_twice_sends_one_release(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    picture = client.snapshot()
    picture.release()
    picture.release()
    assert codes_received(daemon) == [protocol.SUBSCRIBE.code, protocol.RELEASE.code]


def test_a_second_snapshot_uses_the_buffer_that_is_known(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels, sequence=1)
    client.snapshot().release()
    daemon.send(frame(2), ENDED)
    with client.snapshot() as picture:
        assert (picture.sequence, picture.array.tobytes()) == (2, b"BGRXbgrx")


def test_a_message_of_an_unknown_type_is_skipped(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    daemon.send(bytes.fromhex("ff8f 0100 14000000 00000000 01000000 01020304"))
    send_picture(daemon, pixels, sequence=5)
    with client.snapshot() as picture:
        assert picture.sequence == 5


def test_descriptors_of_an_unknown_message_are_closed(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    daemon.send(bytes.fromhex("ff8f 0100 10000000 00000000 01000000"), fds=[pixels])
    send_picture(daemon, pixels, sequence=5)
    client.snapshot().release()  # the leak check does the rest
    client.close()
    assert not client


def test_a_timeout_without_end_waits_for_the_frame(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    with client.snapshot(timeout=math.inf) as picture:
        assert picture.sequence == 1


def test_a_wait_without_end_outlasts_the_longest_that_a_socket_takes(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capturectl.reach.LONGEST_TIMEOUT", SHORT)
    later = threading.Timer(5 * SHORT, send_picture, (daemon, pixels))
    later.start()
    with client.stream() as stream:
        assert next(stream).sequence == 1
    later.join()


# --- a snapshot that fails -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ErrorCode.NO_STREAM, errors.NoOutputError),
        (ErrorCode.OUTPUT_OFF, errors.OutputOffError),
        (ErrorCode.BUSY, errors.CaptureBusyError),
        (ErrorCode.UNSUPPORTED, errors.CaptureUnsupportedError),
        (ErrorCode.TIMEOUT, errors.CaptureTimeoutError),
        (ErrorCode.DEVICE_LOST, errors.CaptureLostError),
        (ErrorCode.DENIED, errors.NotAllowedError),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_error_of_the_daemon_is_raised_as_its_class(
    client: Client, daemon: FakeDaemon, code: ErrorCode, kind: type[errors.CaptureError]
) -> None:
    daemon.send(error(code, "special"))
    with pytest.raises(kind) as caught:
        client.snapshot()
    assert caught.value.as_dict() == {"code": "special", "reason": "why", "hint": "what next"}


def test_an_error_does_not_spoil_the_next_snapshot(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    daemon.send(error(ErrorCode.BUSY))
    with pytest.raises(errors.CaptureBusyError):
        client.snapshot()
    send_picture(daemon, pixels, sequence=9)
    with client.snapshot() as picture:
        assert picture.sequence == 9


def test_no_frame_in_time_is_a_timeout(client: Client) -> None:
    with pytest.raises(errors.CaptureTimeoutError, match="HDMI-A-1"):
        client.snapshot(timeout=SHORT)


def test_after_a_timeout_the_subscription_is_taken_back(
    client: Client, daemon: FakeDaemon
) -> None:
    with pytest.raises(errors.CaptureTimeoutError):
        client.snapshot(timeout=SHORT)
    daemon.receive()  # SUBSCRIBE
    assert daemon.receive() == bytes.fromhex("0300 0000 10000000 03000000 01000000")


def test_after_ctrl_c_the_subscription_is_taken_back(
    client: Client, daemon: FakeDaemon, alarm: Callable[[Handler], None]
) -> None:
    alarm(signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        client.snapshot(timeout=60)
    daemon.receive()  # SUBSCRIBE
    assert daemon.receive() == bytes.fromhex("0300 0000 10000000 03000000 01000000")


def test_ctrl_c_is_ctrl_c_though_the_daemon_has_gone(
    client: Client, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c(*_: object) -> None:
        daemon.hang_up()
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "_await_frame", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        client.snapshot()


def test_a_frame_that_came_after_the_timeout_is_not_the_next_snapshot(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    with pytest.raises(errors.CaptureTimeoutError):
        client.snapshot(timeout=SHORT)
    send_picture(daemon, pixels, sequence=1)
    daemon.send(frame(2), ENDED)
    with client.snapshot() as picture:
        assert picture.sequence == 2


def test_a_frame_that_came_after_the_timeout_is_given_back(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    with pytest.raises(errors.CaptureTimeoutError):
        client.snapshot(timeout=SHORT)
    send_picture(daemon, pixels, sequence=1)
    daemon.send(frame(2), ENDED)
    client.snapshot()
    assert codes_received(daemon) == [
        protocol.SUBSCRIBE.code,
        protocol.UNSUBSCRIBE.code,
        protocol.RELEASE.code,
        protocol.SUBSCRIBE.code,
    ]


def test_an_error_that_came_after_the_timeout_is_not_the_next_snapshots(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    with pytest.raises(errors.CaptureTimeoutError):
        client.snapshot(timeout=SHORT)
    daemon.send(error(ErrorCode.TIMEOUT))
    send_picture(daemon, pixels, sequence=2)
    with client.snapshot() as picture:
        assert picture.sequence == 2


def test_a_late_frame_of_another_output_is_given_back(
    client_of_two: Client, two_outputs: FakeDaemon, pixels: OwnedFd
) -> None:
    with pytest.raises(errors.CaptureTimeoutError):
        client_of_two.snapshot("DP-1", timeout=SHORT)
    two_outputs.send(buffer(stream=2), fds=[pixels])
    two_outputs.send(frame(1, stream=2))
    send_picture(two_outputs, pixels)
    client_of_two.snapshot("HDMI-A-1")
    assert codes_received(two_outputs) == [
        protocol.SUBSCRIBE.code,
        protocol.UNSUBSCRIBE.code,
        protocol.SUBSCRIBE.code,
        protocol.RELEASE.code,
    ]


def test_a_late_error_of_another_output_is_not_this_snapshots(
    client_of_two: Client, two_outputs: FakeDaemon, pixels: OwnedFd
) -> None:
    with pytest.raises(errors.CaptureTimeoutError):
        client_of_two.snapshot("DP-1", timeout=SHORT)
    two_outputs.send(error(ErrorCode.DEVICE_LOST, stream=2))
    send_picture(two_outputs, pixels, sequence=4)
    with client_of_two.snapshot("HDMI-A-1") as picture:
        assert picture.sequence == 4


def test_a_subscription_that_ends_without_a_frame_is_lost(
    client: Client, daemon: FakeDaemon
) -> None:
    daemon.send(ENDED)
    with pytest.raises(errors.CaptureLostError, match="ended HDMI-A-1"):
        client.snapshot()


def test_a_daemon_that_says_bye_is_lost(client: Client, daemon: FakeDaemon) -> None:
    daemon.send(protocol.BYE.pack(protocol.Bye(protocol.ByeReason.SHUTDOWN)))
    with pytest.raises(errors.CaptureLostError, match="stopping"):
        client.snapshot()


def test_a_daemon_that_hangs_up_before_the_request_is_lost(
    client: Client, daemon: FakeDaemon
) -> None:
    daemon.hang_up()
    with pytest.raises(errors.CaptureLostError):
        client.snapshot()


def test_the_last_words_of_a_daemon_that_hung_up_are_raised_whenever_one_asks(
    client: Client, daemon: FakeDaemon
) -> None:
    daemon.send(error(ErrorCode.SLOW, "slow", stream=0, fatal=True))
    daemon.hang_up()
    for ask in (client.snapshot, client.stream, client.snapshot):
        with pytest.raises(errors.CaptureLostError) as caught:
            ask()
        assert caught.value.code == "slow"


def test_pausing_a_stream_of_a_daemon_that_hung_up_raises_its_last_words(
    client: Client, daemon: FakeDaemon
) -> None:
    stream = client.stream()
    daemon.receive()  # SUBSCRIBE
    daemon.send(error(ErrorCode.SLOW, "slow", stream=0, fatal=True))
    daemon.hang_up()
    with pytest.raises(errors.CaptureLostError) as caught:
        stream.pause()
    assert caught.value.code == "slow"


def test_a_daemon_that_hangs_up_after_the_request_is_lost(
    client: Client, daemon: FakeDaemon
) -> None:
    daemon.peer.shutdown(socket.SHUT_WR)
    with pytest.raises(errors.CaptureLostError, match="hung up"):
        client.snapshot()


def test_a_daemon_that_reads_nothing_is_a_timeout(
    client: Client, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client._transport is not None
    client._transport.set_timeout(0)
    daemon.wait_greeted()
    with contextlib.suppress(BlockingIOError):
        while True:
            client._transport.send(bytes(64))
    monkeypatch.setattr(capturectl.client, "DEFAULT_TIMEOUT", SHORT)
    with pytest.raises(errors.CaptureTimeoutError):
        client.snapshot(timeout=SHORT)


# --- a stream --------------------------------------------------------------------------------


def test_a_client_has_one_stream_of_an_output_and_says_so_at_once(
    client: Client, daemon: FakeDaemon
) -> None:
    with client.stream():
        for ask in (client.snapshot, client.stream):
            with pytest.raises(errors.CaptureBusyError) as caught:
                ask()
            assert caught.value.code == "subscribed"
    assert codes_received(daemon) == [protocol.SUBSCRIBE.code, protocol.UNSUBSCRIBE.code]


def test_a_stream_that_failed_is_in_nobodys_way(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    failed = client.stream(timeout=5)
    daemon.send(error(ErrorCode.DEVICE_LOST))
    with pytest.raises(errors.CaptureLostError):
        next(failed)
    send_picture(daemon, pixels)
    assert next(client.stream(timeout=5)).sequence == 1


# --- buffers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unknown", [frame(number=1), frame(generation=2)], ids=["number", "generation"]
)
def test_a_frame_in_a_buffer_that_was_never_sent_is_a_protocol_error(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd, unknown: bytes
) -> None:
    daemon.send(buffer(), fds=[pixels])
    daemon.send(unknown)
    with pytest.raises(errors.ProtocolError, match="never sent"):
        client.snapshot()


@pytest.mark.parametrize("count", [0, 2])
def test_a_buffer_with_another_number_of_fds_is_a_protocol_error(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd, count: int
) -> None:
    daemon.send(buffer(), fds=[pixels] * count)
    with pytest.raises(errors.ProtocolError, match=f"with {count} fds"):
        client.snapshot()


def test_a_buffer_of_several_planes_is_a_protocol_error(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    daemon.send(buffer(planes=2), fds=[pixels, pixels])
    with pytest.raises(errors.ProtocolError, match="2 planes"):
        client.snapshot()


def test_a_buffer_that_says_more_than_its_memory_is_a_protocol_error(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    daemon.send(buffer(size=9), fds=[pixels])
    with pytest.raises(errors.ProtocolError):
        client.snapshot()


def test_a_picture_that_does_not_fit_its_buffer_is_a_protocol_error(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    daemon.send(buffer(size=4), fds=[pixels])
    daemon.send(frame())
    with pytest.raises(errors.ProtocolError):
        client.snapshot()


def test_a_buffer_that_is_sent_again_takes_the_place_of_the_first(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    with memfd(b"BGRXnew!") as renewed:
        daemon.send(buffer(), fds=[pixels])
        daemon.send(buffer(), fds=[renewed])
    daemon.send(frame())
    with client.snapshot() as picture:
        assert bytes(picture.memory) == b"BGRXnew!"


def test_buffers_of_an_older_generation_are_dropped(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    daemon.send(buffer(generation=1), buffer(generation=2), fds=[pixels])
    daemon.send(frame(generation=1))
    with pytest.raises(errors.ProtocolError, match="never sent"):
        client.snapshot()


def test_a_frame_of_an_older_generation_can_still_be_released(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels, sequence=1)
    old = client.snapshot()
    _ = old.array
    daemon.send(buffer(generation=2), fds=[pixels])
    daemon.send(frame(2, generation=2), ENDED)
    client.snapshot()
    old.release()
    assert not old


# --- events ----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1])
def test_events_that_nobody_holds_any_more_are_asked_for_no_more(
    listen: Callable[[Sequence[bytes]], FakeDaemon], steps: int
) -> None:
    welcome = WELCOME._replace(capabilities=protocol.Capability.WATCH)
    daemon = listen([protocol.WELCOME.pack(welcome), *describe(STREAM, 1)])
    with connect(daemon.path) as client:
        events = client.events(timeout=SHORT)
        assert [*itertools.islice(events, steps)] == []
        del events
        wanted = [protocol.WATCH.unpack(daemon.receive()).is_wanted for _ in range(2)]
    assert wanted == [1, 0]


# --- leaving ---------------------------------------------------------------------------------


def test_closing_hangs_up(client: Client, daemon: FakeDaemon) -> None:
    daemon.wait_greeted()
    client.close()
    assert daemon.receive() == b""


def test_closing_twice_is_fine(client: Client) -> None:
    client.close()
    client.close()
    assert not client


def test_a_closed_client_takes_no_snapshot(client: Client) -> None:
    client.close()
    with pytest.raises(errors.CaptureClosedError):
        client.snapshot()


def test_a_frame_can_be_released_after_the_client_closed(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    picture = client.snapshot()
    client.close()
    picture.release()
    assert not picture


def test_a_frame_that_was_looked_at_can_be_released_after_the_client_closed(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    picture = client.snapshot()
    assert picture.array.size
    client.close()
    picture.release()
    assert not picture


def test_a_frame_cannot_be_looked_at_after_the_client_closed(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    picture = client.snapshot()
    client.close()
    with pytest.raises(errors.CaptureClosedError):
        _ = picture.array


def test_a_frame_that_was_looked_at_cannot_be_looked_at_after_the_client_closed(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    send_picture(daemon, pixels)
    picture = client.snapshot()
    assert picture.array.size
    client.close()
    with pytest.raises(errors.CaptureClosedError):
        _ = picture.array


def test_closing_a_stream_that_has_ended_leaves_the_next_one_of_its_output(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    ended = client.stream(timeout=1)
    daemon.send(ENDED)
    with pytest.raises(errors.CaptureLostError):
        next(ended)
    with client.stream(timeout=1) as stream:
        ended.close()
        daemon.send(buffer(), fds=[pixels])
        daemon.send(frame(1))
        assert next(stream).sequence == 1
        assert codes_received(daemon) == [protocol.SUBSCRIBE.code] * 2


# --- after a fork ----------------------------------------------------------------------------


@FORKS
def test_a_forked_child_cannot_use_its_parents_client(client: Client, daemon: FakeDaemon) -> None:
    assert status_of_child(client.snapshot) == 1
    assert not daemon.has_received()


@FORKS
def test_a_forked_child_that_leaves_its_parents_stream_says_nothing(
    client: Client, daemon: FakeDaemon, pixels: OwnedFd
) -> None:
    daemon.send(buffer(), fds=[pixels])
    daemon.send(frame(1), frame(2))
    with client.stream() as stream:
        next(stream)
        assert status_of_child(stream.close) == 0
        assert next(stream).sequence == 2
        codes = [protocol.SUBSCRIBE.code, protocol.RELEASE.code]
        assert codes_received(daemon) == codes
