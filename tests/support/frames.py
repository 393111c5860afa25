# SPDX-License-Identifier: MIT
"""Frames in plain memory, without a daemon."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from capturectl import protocol
from capturectl.buffers import FrameBuffer
from capturectl.dmabuf import MappedDmabuf
from capturectl.frame import Frame
from tests.support.fds import memfd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

XR24 = 0x34325258
AR24 = 0x34325241
RG16 = 0x36314752
XR30 = 0x30335258

MESSAGE = protocol.Frame(
    sequence=41,
    vblank=1000,
    missed=3,
    time_commit_ns=5_000_000_001,
    time_vblank_ns=5_000_000_002,
    time_done_ns=5_000_000_003,
    buffer=2,
    generation=7,
    source=protocol.Source.WRITEBACK,
    flags=0,
)


def layout(
    size: int, fourcc: int, width: int, height: int, pitch: int, offset: int = 0
) -> protocol.Buffer:
    """Return a BUFFER of one linear plane."""
    return protocol.Buffer(
        modifier=0,
        size=size,
        buffer=MESSAGE.buffer,
        generation=MESSAGE.generation,
        fourcc=fourcc,
        width=width,
        height=height,
        planes=1,
        offset=(offset, 0, 0, 0),
        pitch=(pitch, 0, 0, 0),
    )


def _ignore(frame: Frame) -> None:
    del frame


@contextmanager
def lent_frame(
    data: bytes,
    *,
    fourcc: int = XR24,
    width: int,
    height: int,
    pitch: int,
    offset: int = 0,
    give_back: Callable[[Frame], None] = _ignore,
) -> Iterator[Frame]:
    """Lend a frame of HDMI-A-1 whose buffer holds `data`."""
    described = layout(len(data), fourcc, width, height, pitch, offset)
    buffer = FrameBuffer(described, MappedDmabuf(memfd(data), len(data)))
    try:
        yield Frame(buffer, MESSAGE, "HDMI-A-1", give_back)
    finally:
        buffer.dmabuf.close()
