# SPDX-License-Identifier: MIT
"""Messages and file descriptors over one SEQPACKET socket; owns what is in transit."""

from __future__ import annotations

import _socket as socket  # `socket` takes three milliseconds to make enums of its numbers
import array
import contextlib

from capturectl.errors import CaptureClosedError, CaptureError, CaptureLostError, ProtocolError
from capturectl.fd import OwnedFd
from capturectl.protocol import MAX_FDS, MAX_MESSAGE, Header, unpack_header
from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

_LAST_MESSAGES = 64
_AWAY = "see the daemon's log; it may be restarting"
_FD_SIZE = array.array("i").itemsize
_CONTROL_SPACE = socket.CMSG_SPACE(MAX_FDS * _FD_SIZE)


class Packet(NamedTuple):
    """One received message; `with` closes the descriptors that nobody took."""

    header: Header
    data: bytes
    """The whole message, header included."""
    fds: tuple[OwnedFd, ...]
    """Owned by the receiver; close them if the message does not take them."""

    def close(self) -> None:
        """Close the descriptors that came along."""
        for fd in self.fds:
            fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Transport:
    """One end of a connection. Open until `close()`.

    Ownership: owns the socket. Not thread-safe.
    """

    __slots__ = ("_socket",)

    def __init__(self, sock: socket.socket) -> None:
        """Take ownership of a connected AF_UNIX SOCK_SEQPACKET socket."""
        self._socket: socket.socket | None = sock

    def fileno(self) -> int:
        """Lend the fd, for a poller."""
        return self._open().fileno()

    def set_timeout(self, timeout: float | None) -> None:
        """Let `send` and `receive` wait at most so many seconds; 0 never waits."""
        self._open().settimeout(timeout)

    def send(self, data: bytes | bytearray, fds: Sequence[int] = ()) -> None:
        """Send one message, whole or not at all.

        Args:
            data: The message.
            fds: Borrowed; the kernel duplicates them for the receiver.

        Raises:
            BlockingIOError: The socket's buffer is full, and the timeout is 0.
            TimeoutError: It stayed full for the whole timeout.
            CaptureLostError: The peer is gone.
        """
        sock = self._open()
        try:
            if fds:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
                sock.sendmsg([data], [rights], socket.MSG_NOSIGNAL)
            else:
                sock.send(data, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionError) as error:
            raise CaptureLostError("the peer has closed the connection", _AWAY) from error

    def raw_receive(self) -> Callable[[bytearray], int]:
        """Lend the socket's own recv_into, for a peer that may send no descriptors.

        Kernel: without room for them, descriptors that come along are dropped before they are
        installed. Closing one of a stranger's choice could take as long as the stranger likes.
        """
        return self._open().recv_into

    def raw_send(self) -> Callable[[bytes | bytearray], int]:
        """Lend the socket's own send, for a message without descriptors; errors are an OSError."""
        return self._open().send

    def receive(self) -> Packet | None:
        """Receive one message; None when the peer has hung up.

        Raises:
            BlockingIOError: None is there, and the timeout is 0.
            TimeoutError: None came within the timeout.
            ProtocolError: It is too long, came with too many fds, or has no valid header.
            CaptureLostError: The connection was reset; or `no-descriptors`, EMFILE, this process
                may not have the fds that came along.
        """
        try:
            data, control, flags = self._receive_once()
        except ConnectionError as error:
            # Kernel: a reset is told once, before what the peer has sent until then
            # (net/core/datagram.c, __skb_try_recv_datagram): it may have said why.
            data, control, flags = self._receive_once()
            if not data:
                raise CaptureLostError("the connection was reset", _AWAY) from error
        fds = tuple(_owned(control))
        if not data and not fds:
            return None
        try:
            if flags & socket.MSG_CTRUNC and len(fds) < MAX_FDS:
                # Kernel: so it says as well that no number was free (net/core/scm.c,
                # scm_detach_fds); the descriptors are lost.
                raise CaptureLostError(
                    "this process has too many files open to take what the daemon sent",
                    "close some, or allow more (ulimit -n), and connect again",
                    code="no-descriptors",
                )
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ProtocolError(
                    "a message is longer than the protocol allows, or has fds that may not come"
                )
            return Packet(unpack_header(data), data, fds)
        except CaptureError:
            for fd in fds:
                fd.close()
            raise

    def _receive_once(self) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
        # Python's socket.recv_fds ignores its flags, so descriptors would be inherited.
        return self._open().recvmsg(MAX_MESSAGE, _CONTROL_SPACE, socket.MSG_CMSG_CLOEXEC)[:3]

    def hang_up(self) -> None:
        """Close so that the peer still reads what was sent last. Twice is fine.

        Kernel: closing a unix socket with unread data in it resets the peer, which may then
        lose our last message (net/unix/af_unix.c, unix_release_sock): read it away first.
        """
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.setblocking(False)
            for _ in range(_LAST_MESSAGES):
                if not self._socket.recv(MAX_MESSAGE):
                    break
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self.close()

    def close(self) -> None:
        """Close the socket. Twice is fine."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def __bool__(self) -> bool:
        return self._socket is not None

    def _open(self) -> socket.socket:
        if self._socket is None:
            raise CaptureClosedError("the connection is closed")
        return self._socket


def _owned(control: list[tuple[int, int, bytes]]) -> list[OwnedFd]:
    fds = array.array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _FD_SIZE])
    return [OwnedFd(fd, "received fd") for fd in fds]
