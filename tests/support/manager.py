# SPDX-License-Identifier: MIT
"""A small service manager: socket activation, notifications, and a store of descriptors.

What sd_notify(3) and sd_listen_fds(3) say, and nothing of the product.
"""

from __future__ import annotations

import array
import os
import socket
from typing import TYPE_CHECKING

from tests.support.processes import BareDaemon

if TYPE_CHECKING:
    from pathlib import Path

_FIRST_SPARE = 100
_TAKE_OVER = 'for n in $(seq $LISTEN_FDS); do eval "exec $((n + 2))<&$((n + 99))"; done; '
_START = f'{_TAKE_OVER} LISTEN_PID=$$ exec "$@"'


class Manager:
    """Keeps a socket and what a daemon stores, over the daemon's end. Open until `close()`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "captured.sock"
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listening.bind(str(self.path))
        self.listening.listen()
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(directory / "notify"))
        self.notified.settimeout(0)
        self.messages: list[str] = []
        self.kind: type[BareDaemon] = BareDaemon
        """Of the daemons that it starts."""
        self.store: dict[str, int] = {}

    def start(self, *arguments: str, **environment: str) -> BareDaemon:
        """Start a daemon with everything there is."""
        self.hear()
        names = ["captured.socket", *self.store]
        fds = [self.listening.fileno(), *self.store.values()]
        spare = range(_FIRST_SPARE, _FIRST_SPARE + len(fds))
        for fd, number in zip(fds, spare, strict=True):
            os.dup2(fd, number, inheritable=True)
        env = {
            "NOTIFY_SOCKET": str(self.notified.getsockname()),
            "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(names),
        } | environment  # fmt: skip
        words = [f"{name}={value}" for name, value in env.items()]
        try:
            return self.kind(
                self.path, *arguments, prefix=["env", *words, "bash", "-c", _START, "bash"],
                pass_fds=tuple(spare),
            )  # fmt: skip
        finally:
            for number in spare:
                os.close(number)

    def hear(self) -> list[str]:
        """Take what was sent, and do what it says to the store; return all there ever was."""
        while True:
            try:
                text, control, _, _ = self.notified.recvmsg(4096, socket.CMSG_SPACE(64))
            except BlockingIOError:
                return self.messages
            fds = array.array("i")
            for _, _, data in control:
                fds.frombytes(data)
            self._obey(dict(line.split("=", 1) for line in text.decode().splitlines()), fds)
            self.messages.append(text.decode())

    def _obey(self, message: dict[str, str], fds: array.array[int]) -> None:
        name = message.get("FDNAME", "")
        if "FDSTORE" in message:
            self._forget(name)
            (self.store[name],) = fds
        elif "FDSTOREREMOVE" in message:
            self._forget(name)

    def _forget(self, name: str) -> None:
        if (fd := self.store.pop(name, None)) is not None:
            os.close(fd)

    def close(self) -> None:
        self.hear()
        for name in list(self.store):
            self._forget(name)
        self.listening.close()
        self.notified.close()
