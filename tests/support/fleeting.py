# SPDX-License-Identifier: MIT
"""A daemon that lives several times on one socket, each time for one client and a few words."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from capturectl import protocol
from tests.support.fake_daemon import STREAM, Script, greeting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATIENCE_S = 5.0

HEAR: Script = b"", ()
"""Wait for a message of the client's."""
GREETING: tuple[Script, ...] = tuple((message, ()) for message in greeting(STREAM))


class FleetingDaemon:
    """Listens on a path and plays one script a life; the last life lasts until the client goes.

    Ownership: owns its sockets, lends its `path`.
    """

    def __init__(self, path: Path, *lives: Sequence[Script]) -> None:
        """Listen; each script is played when the client has said HELLO, then it hangs up."""
        self.path = str(path)
        self.heard: list[list[int]] = [[] for _ in lives]
        """The codes of what came in each life, HELLO first."""
        self._lives = lives
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen(4)
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def _live(self) -> None:
        for number, script in enumerate(self._lives):
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return  # closed before all lives were over
            with peer, contextlib.suppress(ConnectionError):
                peer.settimeout(_PATIENCE_S)
                self._hear(peer, number)
                self._play(script, peer, number)
                while script is self._lives[-1] and self._hear(peer, number):
                    pass

    def _play(self, script: Sequence[Script], peer: socket.socket, number: int) -> None:
        for message, fds in script:
            if message:
                socket.send_fds(peer, [message], [fd.fileno() for fd in fds])
            elif not self._hear(peer, number):
                return

    def _hear(self, peer: socket.socket, number: int) -> bool:
        packet = peer.recv(protocol.MAX_MESSAGE)
        if packet:
            self.heard[number].append(protocol.unpack_header(packet).code)
        return bool(packet)

    def close(self) -> None:
        """Close everything, when the last client has gone. Twice is fine."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._thread.join(_PATIENCE_S)
        self._listener.close()
