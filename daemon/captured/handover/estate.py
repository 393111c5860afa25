# SPDX-License-Identifier: MIT
"""What a former daemon left with the service manager: sorted, checked, and the rest let go."""

from __future__ import annotations

import _socket as socket  # as in capturectl.transport
import contextlib
import os
import stat

from capturectl import protocol
from capturectl.errors import CaptureError
from capturectl.transport import Transport
from captured import log
from captured.handover.keeper import CARD, CLIENT, STATE
from captured.handover.records import OutputRecord, SessionRecord
from captured.handover.state import ROWS, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from capturectl.fd import OwnedFd
    from captured.notify import Notifier


class Estate:
    """A former daemon's state, card and clients. Open until `close()`.

    Ownership: owns what nobody has taken yet; what is closed here the manager forgets as well.
    """

    def __init__(self, state: State, fds: dict[str, OwnedFd], notifier: Notifier) -> None:
        """Own what was left."""
        self.state = state
        self._fds = fds
        self._notifier = notifier
        self.output = self._read_output()
        """What was attached; None when nothing was, or when its card is missing."""

    def _read_output(self) -> OutputRecord | None:
        content = self.state.output.load()
        if not content or CARD not in self._fds:
            return None
        try:
            return OutputRecord.unpack(content)
        except ValueError as error:
            log.warning("the former daemon's output is not kept: %s", error)
            return None

    def drop_output(self) -> None:
        """Do not go on with what was attached."""
        self.output = None
        self.state.output.clear()
        if (card := self._fds.pop(CARD, None)) is not None:
            _let_go({CARD: card}, self._notifier)

    def take_card(self) -> OwnedFd:
        """Give the card's open file away."""
        return self._fds.pop(CARD)

    def take_clients(self) -> Iterator[tuple[int, SessionRecord, socket.socket]]:
        """Give each client's row, record and socket away; it does not block."""
        for row in range(ROWS):
            cell = self.state.session(row)
            if not (content := cell.load()):
                continue
            try:
                record = SessionRecord.unpack(content)
                connection = self._fds.pop(f"{CLIENT}{record.number}")
            except (ValueError, KeyError):
                cell.clear()  # it hung up meanwhile, or was never stored
                continue
            sock = socket.socket(fileno=connection.detach())
            sock.setblocking(False)
            yield row, record, sock

    def say_bye(self) -> None:
        """Take leave of the clients, whom nobody goes on with, and let go of the rest."""
        bye = protocol.BYE.pack(protocol.Bye(protocol.ByeReason.SHUTDOWN))
        for _, record, sock in self.take_clients():
            transport = Transport(sock)
            with contextlib.suppress(OSError, CaptureError):  # it has left, or does not read
                transport.send(bye)
            transport.hang_up()
            self._notifier.forget(f"{CLIENT}{record.number}")
        self.close()

    def close(self) -> None:
        """Let go of what nobody took. Twice is fine."""
        _let_go(self._fds, self._notifier)


def sort(fds: list[OwnedFd], notifier: Notifier) -> tuple[list[OwnedFd], Estate | None]:
    """Tell the sockets that listen from what a former daemon stored.

    Args:
        fds: What the manager gave; owned from here on.
        notifier: To the manager.

    Returns:
        The sockets, owned by the caller, and what there is to go on with; None after a clean
        start, or when it is of no use.
    """
    listening, stored = [], {}
    for fd in fds:
        if _listens(fd.fileno()):
            listening.append(fd)
        elif fd.name in stored:
            fd.close()
        else:
            stored[fd.name] = fd
    memfd = stored.pop(STATE, None)
    state = State.adopt(memfd) if memfd is not None else None
    if state is not None:
        return listening, Estate(state, stored, notifier)
    if memfd is not None:
        log.warning("the former daemon's state is of another kind; starting afresh")
        notifier.forget(STATE)
    _let_go(stored, notifier)
    return listening, None


def _let_go(fds: dict[str, OwnedFd], notifier: Notifier) -> None:
    while fds:
        name, fd = fds.popitem()
        if _is_socket(fd.fileno()):
            _hang_up(fd.fileno())
        fd.close()
        notifier.forget(name)


def _hang_up(fd: int) -> None:
    """Let a client see the end now, and not when the manager has closed its socket as well."""
    sock = socket.socket(fileno=fd)
    with contextlib.suppress(OSError):  # it has left
        sock.shutdown(socket.SHUT_RDWR)
    sock.detach()


def _listens(fd: int) -> bool:
    if not _is_socket(fd):
        return False
    sock = socket.socket(fileno=fd)
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    finally:
        sock.detach()


def _is_socket(fd: int) -> bool:
    return stat.S_ISSOCK(os.fstat(fd).st_mode)
