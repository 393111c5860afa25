# SPDX-License-Identifier: MIT
"""Ownership of file descriptors."""

from __future__ import annotations

import os

from capturectl.errors import CaptureClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class OwnedFd:
    """One file descriptor with one owner.

    Open until `close()`, which may be called twice. `bool(fd)` tells whether it is open;
    `fileno()` lends the number, `detach()` gives the ownership away. Not closed by the
    garbage collector: whoever makes one closes it. Threads may share it read-only.
    """

    __slots__ = ("_fd", "_name")

    def __init__(self, fd: int, name: str = "fd") -> None:
        """Take ownership of a number.

        Args:
            fd: An open file descriptor; from now on nobody else may close it.
            name: What it is, for messages.

        Raises:
            ValueError: The number is negative, so there is nothing to own.
        """
        if fd < 0:
            raise ValueError(f"{name}: {fd} is not a file descriptor")
        self._fd = fd
        self._name = name

    @property
    def name(self) -> str:
        """What the descriptor is, for messages."""
        return self._name

    def fileno(self) -> int:
        """Lend the number; it stays valid until `close()` or `detach()`.

        Raises:
            CaptureClosedError: Already closed or given away.
        """
        if self._fd < 0:
            raise CaptureClosedError(f"{self._name} is closed")
        return self._fd

    def detach(self) -> int:
        """Give the number and its ownership away."""
        fd = self.fileno()
        self._fd = -1
        return fd

    def duplicate(self) -> OwnedFd:
        """Return a second descriptor of the same open file, close-on-exec."""
        return OwnedFd(os.dup(self.fileno()), self._name)

    def close(self) -> None:
        """Close the descriptor; does nothing when it is closed already."""
        # The number goes first: a close that is interrupted must not be tried again.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __bool__(self) -> bool:
        return self._fd >= 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<OwnedFd {self._name} {self._fd if self._fd >= 0 else 'closed'}>"
