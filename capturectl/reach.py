# SPDX-License-Identifier: MIT
"""How the daemon is reached: its socket, and who tries again when."""

from __future__ import annotations

import _socket as socket  # as in transport
import contextlib
import os
import struct
import time

from capturectl.errors import (
    CaptureClosedError,
    CaptureError,
    CaptureLostError,
    CaptureTimeoutError,
    NoOutputError,
    NotAllowedError,
    UnreachableError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET_VARIABLE = "CAPTURECTL_SOCKET"
LONGEST_TIMEOUT = 10.0**6
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


def open_socket(address: str, timeout: float) -> socket.socket:
    """Return a socket that is connected to the daemon; errors as of `connect`."""
    with connecting(address) as sock:
        _connect_within(sock, address, timeout)
    return sock


@contextlib.contextmanager
def connecting(address: str) -> Iterator[socket.socket]:
    """Lend a socket to be connected; what goes wrong closes it, errors as of `connect`.

    Ownership: it is the caller's when this ends well.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        yield sock
    except OSError as error:
        sock.close()
        raise _connect_error(address, error) from error
    except BaseException:
        sock.close()
        raise


def pauses() -> Iterator[float]:
    """Yield how long to wait before each attempt to reach a daemon again, in seconds."""
    pause = _SHORTEST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def may_come_back(error: CaptureError) -> bool:
    """Whether trying again may help: the daemon is away or silent, or its source has failed.

    Somebody who disconnected this client by hand does not want it back.
    """
    gone = (CaptureLostError, CaptureTimeoutError, UnreachableError)
    return isinstance(error, gone) and error.code != "disconnected"


class Comeback:
    """When a stream begins again: after pauses that grow until a frame has come."""

    def __init__(self) -> None:
        self.error: CaptureError | None = None
        """What failed last; None while the stream runs."""
        self._due = 0.0
        self._had_frames = False
        self._pauses = pauses()

    def may_follow(self, error: CaptureError) -> bool:
        """Whether trying again may help.

        Who had frames before also waits for a daemon that is back before its card: then it knows
        no output of that name, or cannot capture it yet.
        """
        is_early = isinstance(error, NoOutputError) or error.code == "no-card"
        return may_come_back(error) or (is_early and self._had_frames)

    def after(self, error: CaptureError) -> None:
        """Note a failure."""
        self.error = error
        self._due = time.monotonic() + next(self._pauses)

    @property
    def wants_news(self) -> bool:
        """Whether the wanted output is none of those that this connection was told of."""
        return isinstance(self.error, NoOutputError)

    def seconds(self) -> float:
        """Return how long it is until the next attempt."""
        return max(0.0, self._due - time.monotonic())

    def has_begun(self) -> None:
        """Note that the stream runs again; whether frames come is yet to be seen."""
        self.error = None

    def frame_came(self) -> None:
        """Note that all is well."""
        self._had_frames = True
        self._pauses = pauses()


def require_own(pid: int) -> None:
    """Check that a connection was made by this process.

    Parent and child would take each other's messages, and give back frames that the other holds.

    Raises:
        CaptureClosedError: It was made by the process that this one was forked from.
    """
    if os.getpid() != pid:
        raise CaptureClosedError("the connection belongs to the parent", "connect after the fork")


def within(seconds: float) -> float:
    """Return a timeout that a socket takes: not 0, which would not wait, and not without end."""
    return min(max(seconds, 0.000001), LONGEST_TIMEOUT)


def _connect_within(sock: socket.socket, address: str, timeout: float) -> None:
    """Connect; BlockingIOError when nobody has accepted in time.

    Kernel: a non-blocking connect to a full backlog fails at once, a blocking one waits for
    SO_SNDTIMEO (net/unix/af_unix.c, unix_stream_connect).
    """
    deadline = time.monotonic() + timeout
    while True:
        _limit_sends(sock, within(deadline - time.monotonic()))
        sock.connect(address)
        if _is_connected(sock):
            break
    _limit_sends(sock, 0)


def _limit_sends(sock: socket.socket, seconds: float) -> None:
    whole = int(seconds)
    limit = struct.pack("@ll", whole, int((seconds - whole) * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _is_connected(sock: socket.socket) -> bool:
    """Whether a connect that has returned was not cut short by a signal.

    Python takes EINTR for a connection under way, and a unix socket for one that it has made.
    """
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _connect_error(address: str, error: OSError) -> CaptureError:
    if isinstance(error, BlockingIOError):
        return CaptureTimeoutError(f"nobody accepts on {address} in time", "see the daemon's log")
    if isinstance(error, PermissionError):
        return NotAllowedError(
            f"{address}: permission denied",
            "ask for membership in the group that the daemon serves (its setting `group`)",
        )
    if isinstance(error, FileNotFoundError):
        reason = f"there is no socket {address}"
    else:
        reason = f"nobody answers on {address} ({error.strerror or error})"
    return UnreachableError(
        reason, f"start captured, or name its socket with -S or ${SOCKET_VARIABLE}"
    )
