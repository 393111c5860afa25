# SPDX-License-Identifier: MIT
"""The listening socket, and who is at the other end of a new connection."""

from __future__ import annotations

import _socket as socket  # as in capturectl.transport
import contextlib
import errno
import os
import stat

from capturectl.errors import CaptureBusyError, CaptureError, NotAllowedError
from capturectl.transport import Transport
from captured import log
from captured.server.access import gid_of
from captured.server.peer import peer_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capturectl.fd import OwnedFd
    from captured.reactor import Reactor, Timer
    from captured.server.peer import Peer


_BACKLOG = 64
_REST_S = 0.1
_ACCEPTS_AT_ONCE = 16
_SEND_BUFFER = 4608
"""Bytes. The default would queue seconds of stale frames for a client that does not read."""


class Listener:
    """Accepts connections until `close()`.

    Ownership: owns the socket and its path in the file system, borrows the loop.
    """

    def __init__(
        self,
        path: str,
        reactor: Reactor,
        accept: Callable[[Transport, Peer], None],
        group: str = "",
        inherited: OwnedFd | None = None,
    ) -> None:
        """Bind and listen, or go on with a socket that listens already.

        Args:
            path: Where; a socket that nobody answers any more is replaced.
            reactor: The loop that watches it.
            accept: Gets every new connection, and owns it.
            group: Whose members may connect; empty leaves the socket's group as it is.
            inherited: A socket of the service manager's, owned from here on; who may connect,
                and its path, are the manager's then.

        Raises:
            CaptureBusyError: Another daemon answers on the path.
            UsageError: There is no such group.
            NotAllowedError: EACCES on the directory.
            CaptureError: Any other errno, with the path.
        """
        self._path = path
        self._reactor = reactor
        self._accept = accept
        self._resume: Timer | None = None
        self._inode = 0
        if inherited is None:
            self._socket = _new_socket()
            self._listen(path, group)
        else:
            self._socket = socket.socket(fileno=inherited.detach())
            self._socket.setblocking(False)
        self._watch()

    def _listen(self, path: str, group: str) -> None:
        try:
            gid = gid_of(group) if group else -1
            self._bind()
            self._inode = os.stat(path).st_ino
            if group:
                os.chown(path, -1, gid)
            self._socket.listen(_BACKLOG)
        except CaptureError:
            self._socket.close()
            raise  # some of them are OSErrors too
        except OSError as error:
            self._socket.close()
            raise _bind_error(path, error) from error
        except BaseException:
            self._socket.close()
            raise

    def _bind(self) -> None:
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        old_mask = os.umask(0o117)
        try:
            try:
                self._socket.bind(self._path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                self._remove_stale()
                self._socket.bind(self._path)
        finally:
            os.umask(old_mask)

    def _remove_stale(self) -> None:
        if not stat.S_ISSOCK(os.stat(self._path).st_mode):
            raise CaptureError(
                f"{self._path} exists and is no socket",
                "choose another --socket",
                code="no-socket",
            )
        with contextlib.closing(_new_socket()) as probe:
            try:
                probe.connect(self._path)
            except ConnectionRefusedError:
                os.unlink(self._path)
                return
            except BlockingIOError:
                pass  # somebody is there, with a full backlog
        raise CaptureBusyError(
            f"another daemon answers on {self._path}",
            "stop it, or choose another --socket",
            code="socket-in-use",
        )

    def _accept_all(self, events: int) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                # What socket.accept is made of; the stubs leave it out.
                fd, _ = self._socket._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as error:
                self._rest(error)
                return
            connection = socket.socket(fileno=fd)
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            self._accept(Transport(connection), peer_of(connection))

    def _rest(self, error: OSError) -> None:
        """Leave the waiting client in the backlog for a while: EMFILE does not pass at once."""
        log.error("cannot accept a client: %s", error.strerror)
        self._reactor.unwatch(self._socket.fileno())
        self._resume = self._reactor.call_later(_REST_S, self._watch)

    def _watch(self) -> None:
        self._reactor.watch(self._socket.fileno(), self._accept_all)

    def close(self) -> None:
        """Stop listening and remove the path, if it is ours still. Twice is fine."""
        if self._socket.fileno() < 0:
            return
        if self._resume is not None:
            self._resume.cancel()
        self._reactor.unwatch(self._socket.fileno())
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            if self._inode and os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)


def _new_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)


def _bind_error(path: str, error: OSError) -> CaptureError:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return NotAllowedError(
            f"cannot make the socket {path}: {error.strerror}",
            "run as root, or choose a --socket in a directory of your own",
        )
    return CaptureError(
        f"cannot make the socket {path}: {error.strerror or error}", "choose another --socket"
    )
