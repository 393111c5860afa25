# SPDX-License-Identifier: MIT
"""How many clients there may be, so that none can use up the daemon's descriptors."""

from __future__ import annotations

import resource

from capturectl.typed import NamedTuple
from captured.capture.retired import MOST_POOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_OWN_FDS = 64
"""Descriptors that the daemon keeps for itself: fences, cards, the loop; then those of buffers."""
_POOLS = 1 + MOST_POOLS + 1
"""Whose buffers it has at most: the present one, and those of which clients keep something."""
_MOST = 1024


class ClientLimits(NamedTuple):
    """Connections that are accepted at once."""

    total: int
    per_uid: int
    """One user cannot take the places of all others; root may."""

    @classmethod
    def from_rlimit(cls, buffers: int, per_uid: int = 0) -> ClientLimits:
        """Take as many as RLIMIT_NOFILE leaves, after raising it as far as is allowed.

        Args:
            buffers: Size of the pool.
            per_uid: What one user gets at most; 0 gives him three quarters of all.
        """
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        own = _OWN_FDS + _POOLS * buffers
        wanted = _MOST + own
        allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        total = max(1, allowed - own)
        return cls(total, min(total, per_uid) if per_uid else max(1, total * 3 // 4))

    def refuse(self, uid: int, connected: Sequence[int]) -> str:
        """Say why a user may not connect; empty when he may.

        Args:
            uid: The user.
            connected: The users of the connections that there are.
        """
        if len(connected) >= self.total:
            return f"the daemon has {self.total} clients, which is all it takes"
        if uid and connected.count(uid) >= self.per_uid:
            return f"user {uid} has {self.per_uid} connections, which is all one user gets"
        return ""
