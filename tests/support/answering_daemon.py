# SPDX-License-Identifier: MIT
"""A daemon that answers questions with what a test made up, on a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

from capturectl import protocol
from tests.support.fake_daemon import STREAM, WELCOME, describe
from tests.support.frames import RG16, XR24

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOW_NS = 1_000_000_000_000
"""CLOCK_MONOTONIC of the daemon's answers."""

ENGINE = protocol.EngineStatus(
    state=protocol.EngineState.CAPTURING,
    subscribers=1,
    captured=1234,
    missed=5,
    lost=2,
    revoked=3,
    attached=4,
    time_ns=NOW_NS,
    time_error_ns=NOW_NS - 90_500_000_000,
    pool_bytes=6 * 1920 * 1080 * 4,
    retired_bytes=0,
    generation=7,
    buffers=6,
    buffers_free=3,
    buffers_lent=2,
    buffers_quarantined=1,
    fps_millihertz=59_940,
    commit_to_fence_p50_us=16_400,
    commit_to_fence_p99_us=17_900,
    fence_to_sent_p50_us=120,
    fence_to_sent_p99_us=2_300,
    word="out-of-step",
    reason="HDMI-A-1: the driver loses captures",
    hint="see the kernel's log",
)
PLANE = protocol.PlaneStatus(31, 70, XR24, 0, 0, 1920, 1080, 0, "Primary", "weston")
CURSOR = protocol.PlaneStatus(35, 72, 0, -8, 40, 64, 64, 2, "Cursor", "")
CLIENT = protocol.ClientStatus(
    client=9,
    time_connected_ns=NOW_NS - 3_725_000_000_000 // 10,
    sent=600,
    skipped=40,
    revoked=1,
    pid=4321,
    uid=0,
    gid=0,
    credits=1,
    held=2,
    max_fps_millihertz=30_000,
    flags=protocol.ClientFlag.CLOGGED,
    name="mpv",
)
LOOKER = CLIENT._replace(
    client=10, name="capturectl", sent=0, skipped=0, revoked=0, held=0, credits=0,
    max_fps_millihertz=0, flags=0, uid=4_000_000_000, time_connected_ns=NOW_NS,
)  # fmt: skip


class AnsweringDaemon:
    """Listens on a path and answers every client that comes, one after the other.

    Ownership: owns its sockets, lends its `path`.
    """

    def __init__(
        self,
        path: Path,
        *,
        streams: Sequence[protocol.Stream] = (STREAM,),
        engines: Sequence[protocol.EngineStatus] = (ENGINE,),
        planes: Sequence[protocol.PlaneStatus] = (PLANE, CURSOR),
        clients: Sequence[tuple[int, protocol.ClientStatus]] = ((1, CLIENT), (0, LOOKER)),
        events: Sequence[tuple[int, protocol.Event]] = (),
        last: bytes = b"",
        refusal: protocol.Error | None = None,
        capabilities: int = protocol.Capability.WATCH,
    ) -> None:
        """Listen.

        Args:
            path: Where.
            streams: The outputs; they count from 1.
            engines: One for each output.
            planes: Of the first output.
            clients: The number of the output, 0 for none, and the rest.
            events: What happens at the first question of somebody who watches; then it hangs up.
            last: A message before it does so.
            refusal: The answer to DISCONNECT; None grants it.
            capabilities: What WELCOME says.
        """
        self.path = str(path)
        self.disconnected: list[int] = []
        self._streams, self._capabilities = streams, capabilities
        self._engines, self._planes, self._clients = engines, planes, clients
        self._events, self._last, self._refusal = events, last, refusal
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen(4)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Close everything. Twice is fine."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(ConnectionError):
                peer.settimeout(5)
                self._talk(peer)

    def _talk(self, peer: socket.socket) -> None:
        is_watched = False
        while packet := peer.recv(protocol.MAX_MESSAGE):
            header = protocol.unpack_header(packet)
            if header.code == protocol.HELLO.code:
                self._greet(peer)
            elif header.code == protocol.QUERY.code:
                self._answer(peer, protocol.QUERY.unpack(packet).what, header.serial)
            elif header.code == protocol.DISCONNECT.code:
                self._disconnect(peer, protocol.DISCONNECT.unpack(packet).client, header.serial)
            elif header.code == protocol.WATCH.code:
                is_watched = bool(protocol.WATCH.unpack(packet).is_wanted)
            if is_watched and self._events and header.code == protocol.QUERY.code:
                for stream, event in self._events:
                    peer.send(protocol.EVENT.pack(event, stream=stream))
                if self._last:
                    peer.send(self._last)
                return

    def _greet(self, peer: socket.socket) -> None:
        welcome = WELCOME._replace(streams=len(self._streams), capabilities=self._capabilities)
        peer.send(protocol.WELCOME.pack(welcome))
        for number, stream in enumerate(self._streams, 1):
            for message in describe(stream, number, (XR24, RG16)):
                peer.send(message)

    def _answer(self, peer: socket.socket, what: int, serial: int) -> None:
        rows: list[tuple[protocol.Message[Any], int, Any]] = []
        if what & protocol.Query.ENGINES:
            rows += [(protocol.ENGINE, n, body) for n, body in enumerate(self._engines, 1)]
        if what & protocol.Query.PLANES:
            rows += [(protocol.PLANE, 1, body) for body in self._planes]
        if what & protocol.Query.CLIENTS:
            rows += [(protocol.CLIENT, stream, body) for stream, body in self._clients]
        for message, stream, body in rows:
            peer.send(message.pack(body, serial=serial, stream=stream))
        peer.send(protocol.DONE.pack(protocol.Done(), serial=serial))

    def _disconnect(self, peer: socket.socket, client: int, serial: int) -> None:
        self.disconnected.append(client)
        if self._refusal is None:
            peer.send(protocol.DONE.pack(protocol.Done(), serial=serial))
        else:
            peer.send(protocol.ERROR.pack(self._refusal, serial=serial))
