# SPDX-License-Identifier: MIT
"""A daemon that hangs up with a reason before the client has said anything."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

import capturectl.aio
import capturectl.client
from capturectl import errors, protocol
from capturectl.protocol import ErrorCode, ErrorFlag

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSAL = protocol.ERROR.pack(
    protocol.Error(ErrorCode.CAPACITY, ErrorFlag.FATAL, 0, "capacity", "too many", "wait")
)
BYE = protocol.BYE.pack(protocol.Bye(1))


def connect() -> None:
    capturectl.client.connect("sock").close()


def connect_awaited() -> None:
    asyncio.run(capturectl.aio.connect("sock"))


BOTH = pytest.mark.parametrize("connect", [connect, connect_awaited])


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the next connection be to a daemon that says these things and hangs up."""

    def prepare(*messages: bytes) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for message in messages:
            theirs.send(message)
        theirs.close()

        async def open_awaited(*_: object) -> socket.socket:
            ours.setblocking(False)
            return ours

        monkeypatch.setattr(capturectl.client, "open_socket", lambda *_: ours)
        monkeypatch.setattr(capturectl.aio, "_open_socket", open_awaited)

    return prepare


@BOTH
def test_the_reason_is_raised(refuse: Callable[..., None], connect: Callable[[], None]) -> None:
    refuse(REFUSAL)
    with pytest.raises(errors.CaptureBusyError) as caught:
        connect()
    assert (caught.value.code, caught.value.reason) == ("capacity", "too many")


@BOTH
@pytest.mark.parametrize("messages", [(), (BYE,)], ids=["nothing", "bye"])
def test_without_a_reason_the_daemon_is_lost(
    refuse: Callable[..., None], connect: Callable[[], None], messages: tuple[bytes, ...]
) -> None:
    refuse(*messages)
    with pytest.raises(errors.CaptureLostError):
        connect()
