# SPDX-License-Identifier: MIT
"""Who is at the other end of a connection, as the kernel says it."""

from __future__ import annotations

import _socket as socket  # as in capturectl.transport
import struct
from functools import lru_cache

from capturectl.typed import NamedTuple

_UCRED = struct.Struct("=iII")  # Kernel: include/linux/socket.h, struct ucred
_SO_PEERGROUPS = 59  # Kernel: include/uapi/asm-generic/socket.h
_MOST_GROUPS = 256
"""socket.getsockopt takes no more than 1024 bytes."""


class Peer(NamedTuple):
    """The process at the other end, as it was when it connected."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    """Its supplementary groups; none when they are more than 256, so that rules for a group do
    not admit it."""

    def __str__(self) -> str:
        return f"pid {self.pid} uid {self.uid}"

    @property
    def log_fields(self) -> dict[str, object]:
        """What the journal says of it."""
        return {"pid": self.pid, "uid": self.uid}


def peer_of(connection: socket.socket) -> Peer:
    """Ask the kernel who has connected; the answer does not change with the process."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    return Peer(pid, uid, gid, _groups(connection))


def _groups(connection: socket.socket) -> frozenset[int]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError:
        # Kernel: net/core/sock.c, sk_getsockopt: ERANGE when they do not fit; ENOPROTOOPT
        # before 4.13.
        return frozenset()
    return _unpack(raw)


@lru_cache(maxsize=64)  # a user's connections share one: it is as large as all else of a peer
def _unpack(raw: bytes) -> frozenset[int]:
    return frozenset(struct.unpack(f"={len(raw) // 4}I", raw))
