# SPDX-License-Identifier: MIT
"""Many clients in one process, which look at no pixels and never connect again.

    python -m tests.support.crowd SOCKET COUNT

Cheap enough for the guest's one CPU. Speaks as `tests.support.watcher` does: "begun" when frames
come to all, "gap" when all have had one, and a line of JSON at the end of the input.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from typing import Any

from capturectl import protocol
from tests.support.watcher import GAP, STEADY, say

Seen = dict[str, Any]


class Member:
    """One client."""

    def __init__(self, path: str) -> None:
        self.seen: list[Seen] = []
        self.has_gap = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(path)
        self.socket.send(protocol.HELLO.pack(protocol.Hello(protocol.MAGIC, 1, 1, 0, "crowd")))
        wish = protocol.Subscribe(0b1, 0, 0, 2, 0, 0)
        self.socket.send(protocol.SUBSCRIBE.pack(wish, serial=2, stream=1))

    def hear(self) -> None:
        """Take one message, and give a frame back at once."""
        data, fds, _, _ = socket.recv_fds(self.socket, protocol.MAX_MESSAGE, 4)
        for fd in fds:
            os.close(fd)
        code = protocol.unpack_header(data).code if data else 0
        if code in {0, protocol.ERROR.code, protocol.BYE.code}:
            raise SystemExit(f"the daemon hung up: {data!r}")
        if code == protocol.FRAME.code:
            self._note(protocol.FRAME.unpack(data))

    def _note(self, frame: protocol.Frame) -> None:
        release = protocol.Release(frame.sequence, frame.buffer, frame.generation)
        self.socket.send(protocol.RELEASE.pack(release, stream=1))
        if self.seen and frame.missed - self.seen[-1]["missed"] >= GAP:
            self.has_gap = True
        self.seen.append({
            "sequence": frame.sequence, "missed": frame.missed, "commit_ns": frame.time_commit_ns,
        })  # fmt: skip


def main() -> None:
    """Stream to all until the input ends."""
    members = {
        member.socket.fileno(): member for member in map(Member, [sys.argv[1]] * int(sys.argv[2]))
    }
    poller = select.epoll()
    for fd in (*members, sys.stdin.fileno()):
        poller.register(fd, select.EPOLLIN)
    words = ["begun", "gap"]
    while True:
        for fd, _ in poller.poll():
            if fd not in members:
                said = [member.seen for member in members.values()]
                say(json.dumps({"seen": said}))
                return
            members[fd].hear()
        if words and all(_has(member, words[0]) for member in members.values()):
            say(words.pop(0))


def _has(member: Member, word: str) -> bool:
    return member.has_gap if word == "gap" else len(member.seen) >= STEADY


if __name__ == "__main__":
    main()
