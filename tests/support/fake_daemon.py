# SPDX-License-Identifier: MIT
"""A daemon that says what a test tells it to, on a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from capturectl import protocol
from tests.support.frames import XR24

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from capturectl.fd import OwnedFd

Script = tuple[bytes, tuple["OwnedFd", ...]]
"""A message and the descriptors that travel with it."""

_PATIENCE_S = 5.0

WELCOME = protocol.Welcome(1, 1, 0, 0xC0FFEE, 4, 250, "vkms", "0.1.0")
STREAM = protocol.Stream(
    state=protocol.State.READY,
    source=protocol.Source.WRITEBACK,
    width=1920,
    height=1080,
    refresh_millihertz=60000,
    fourcc=0,
    connector_id=38,
    crtc_id=36,
    clients=2,
    name="HDMI-A-1",
    card="/dev/dri/card0",
    writeback="Writeback-1",
    code="",
    reason="",
    hint="",
    clones="Writeback-1 Writeback-2",
)


def describe(
    stream: protocol.Stream, number: int, fourccs: Sequence[int] = (XR24,)
) -> list[bytes]:
    """Return STREAM, FORMAT..., DONE of one output."""
    return [
        protocol.STREAM.pack(stream, stream=number),
        *(
            protocol.FORMAT.pack(protocol.Format(0, fourcc, 0), stream=number)
            for fourcc in fourccs
        ),
        protocol.DONE.pack(protocol.Done(), stream=number),
    ]


def greeting(*streams: protocol.Stream, fourccs: Sequence[int] = (XR24,)) -> list[bytes]:
    """Return what a daemon with these outputs answers to HELLO; they count from 1."""
    messages = [protocol.WELCOME.pack(WELCOME._replace(streams=len(streams)))]
    for number, stream in enumerate(streams, 1):
        messages += describe(stream, number, fourccs)
    return messages


class FakeDaemon:
    """Listens on a path; greets one client, then sends and receives as the test says.

    Ownership: owns its sockets, lends its `path`.
    """

    def __init__(self, path: Path, script: Sequence[Script]) -> None:
        """Listen, and play the script to the first client that has said something."""
        self.path = str(path)
        self.first = b""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self._script = script
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._greet)
        self._thread.start()

    def _greet(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return  # closed before anybody came
        peer.settimeout(_PATIENCE_S)
        self._peer = peer
        self.first = peer.recv(protocol.MAX_MESSAGE)
        with contextlib.suppress(ConnectionError):  # a client may have heard enough and left
            for message, fds in self._script:
                socket.send_fds(peer, [message], [fd.fileno() for fd in fds])

    def wait_greeted(self) -> None:
        """Wait until the script was played."""
        self._thread.join(_PATIENCE_S)

    @property
    def peer(self) -> socket.socket:
        """The connection to the client."""
        self.wait_greeted()
        assert self._peer is not None, "nobody connected"
        return self._peer

    def send(self, *messages: bytes, fds: Sequence[OwnedFd] = ()) -> None:
        """Send messages; the descriptors go with each of them."""
        for message in messages:
            socket.send_fds(self.peer, [message], [fd.fileno() for fd in fds])

    def receive(self) -> bytes:
        """Return the client's next message; b"" when it has hung up."""
        return self.peer.recv(protocol.MAX_MESSAGE)

    def has_received(self) -> bool:
        """Whether a message of the client waits."""
        self.peer.setblocking(False)
        try:
            return bool(self.peer.recv(protocol.MAX_MESSAGE, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self.peer.settimeout(_PATIENCE_S)

    def hang_up(self) -> None:
        """Close the connection."""
        self.peer.close()

    def close(self) -> None:
        """Close everything. Twice is fine."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._thread.join(_PATIENCE_S)
        self._listener.close()
        if self._peer is not None:
            self._peer.close()
