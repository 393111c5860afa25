# SPDX-License-Identifier: MIT
"""Commands against a daemon that sends what a test tells it to: two pixels a frame."""

from __future__ import annotations

import contextlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from capturectl import protocol
from capturectl.protocol import ErrorCode, Source, State
from tests.support.fake_daemon import STREAM, FakeDaemon, Script, greeting
from tests.support.fds import memfd
from tests.support.frames import XR24

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from capturectl.fd import OwnedFd

RED_GREEN = bytes.fromhex("0000ff11 00ff0022")
RATE_MHZ = 60000
PERIOD_NS = 16_666_667
FIRST_NS = time.monotonic_ns()


def buffer(width: int = 2, height: int = 1, number: int = 0) -> bytes:
    """Return BUFFER of 8 bytes of XR24."""
    layout = protocol.Buffer(
        0, 8, number, 1, XR24, width, height, 1, (0, 0, 0, 0), (4 * width, 0, 0, 0)
    )
    return protocol.BUFFER.pack(layout, stream=1)


def frame(sequence: int, vblank: int | None = None, number: int = 0) -> bytes:
    """Return FRAME of a 60 Hz display; its vblank is its sequence where nothing else is said."""
    vblank = sequence if vblank is None else vblank
    time_ns = FIRST_NS + vblank * PERIOD_NS
    message = protocol.Frame(
        sequence, vblank, 0, time_ns - 1, time_ns, time_ns + 1, number, 1, Source.WRITEBACK, 0
    )
    return protocol.FRAME.pack(message, stream=1)


ENDED = protocol.ENDED.pack(protocol.Ended(), stream=1)
BYE = protocol.BYE.pack(protocol.Bye(1))
OFF = protocol.ERROR.pack(
    protocol.Error(ErrorCode.OUTPUT_OFF, 0, 0, "output-off", "it is off", "switch it on"), stream=1
)
GONE_OFF = protocol.STATE.pack(
    protocol.StateChange(State.OFF, "output-off", "it is off", "switch it on"), stream=1
)


@contextmanager
def scripted(
    socket: Path, *messages: bytes, pixels: tuple[bytes, ...] = (RED_GREEN,)
) -> Iterator[FakeDaemon]:
    """Run a daemon with one output that says these things.

    Args:
        socket: Where it listens.
        messages: What it says, after the greeting.
        pixels: What the buffers hold, in their order; the last of it goes on.
    """
    with contextlib.ExitStack() as memories:
        script: list[Script] = [(message, ()) for message in greeting(STREAM)]
        contents = list(pixels)
        for message in messages:
            fds: tuple[OwnedFd, ...] = ()
            if protocol.unpack_header(message).code == protocol.BUFFER.code:
                content = contents.pop(0) if len(contents) > 1 else contents[0]
                fds = (memories.enter_context(memfd(content)),)
            script.append((message, fds))
        socket.unlink(missing_ok=True)
        daemon = FakeDaemon(socket, script)
        try:
            yield daemon
        finally:
            daemon.close()
