# SPDX-License-Identifier: MIT
"""A frame: lent, looked at without copying, and given back once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from capturectl.buffers import FrameBuffer
from capturectl.dmabuf import MappedDmabuf
from capturectl.errors import CaptureClosedError, CaptureUnsupportedError
from capturectl.frame import Frame
from capturectl.protocol import Source
from tests.support.fds import memfd
from tests.support.frames import MESSAGE, XR24, layout, lent_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

PIXELS = bytes.fromhex("eeeeeeee 01020304 05060708 eeeeeeee 11121314 15161718")
NV12 = 0x3231564E


class Lender:
    """The frame's way home, and its buffer."""

    def __init__(self) -> None:
        self.fd = memfd(PIXELS)
        self.dmabuf = MappedDmabuf(self.fd.duplicate(), len(PIXELS))
        self.syncs: list[str] = []
        self.returned: list[Frame] = []
        described = layout(len(PIXELS), XR24, 2, 2, pitch=12, offset=4)
        buffer = FrameBuffer(described, self.dmabuf)
        self.frame = Frame(buffer, MESSAGE, "HDMI-A-1", self.returned.append)

    def close(self) -> None:
        self.dmabuf.close()
        self.fd.close()


@pytest.fixture
def lender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lender]:
    both = Lender()
    monkeypatch.setattr(both.dmabuf, "begin_read", lambda: both.syncs.append("begin"))
    monkeypatch.setattr(both.dmabuf, "end_read", lambda: both.syncs.append("end"))
    yield both
    both.close()


@pytest.fixture
def frame(lender: Lender) -> Frame:
    return lender.frame


# --- what it says ----------------------------------------------------------------------------


def test_its_geometry_is_the_buffers(frame: Frame) -> None:
    assert (frame.width, frame.height, frame.pitch, frame.offset) == (2, 2, 12, 4)


def test_its_format_is_the_buffers(frame: Frame) -> None:
    assert (frame.fourcc, frame.pixel_format.name, frame.modifier) == (XR24, "XRGB8888", 0)


def test_its_counts_are_the_messages(frame: Frame) -> None:
    assert (frame.sequence, frame.vblank, frame.missed) == (41, 1000, 3)


def test_its_times_are_the_messages(frame: Frame) -> None:
    times = (frame.time_commit_ns, frame.time_vblank_ns, frame.time_done_ns)
    assert times == (5_000_000_001, 5_000_000_002, 5_000_000_003)


def test_it_says_its_source_and_output(frame: Frame) -> None:
    assert (frame.source, frame.output) == (Source.WRITEBACK, "HDMI-A-1")


def test_its_memory_is_named_by_generation_and_buffer(frame: Frame) -> None:
    assert frame.buffer_id == (7, 2)


def test_repr_names_output_size_and_sequence(frame: Frame) -> None:
    assert repr(frame) == "<Frame HDMI-A-1 2x2 #41>"


def test_repr_of_a_released_frame_says_so(frame: Frame) -> None:
    frame.release()
    assert repr(frame) == "<Frame HDMI-A-1 2x2 #41 released>"


def test_an_unknown_pixel_format_is_unsupported() -> None:
    with (
        lent_frame(bytes(16), fourcc=NV12, width=2, height=2, pitch=4) as lent,
        pytest.raises(CaptureUnsupportedError, match="NV12"),
    ):
        _ = lent.pixel_format


# --- its pixels ------------------------------------------------------------------------------


def test_the_array_has_the_pixels_in_memory_order(frame: Frame) -> None:
    assert frame.array.tolist() == [
        [[1, 2, 3, 4], [5, 6, 7, 8]],
        [[0x11, 0x12, 0x13, 0x14], [0x15, 0x16, 0x17, 0x18]],
    ]


def test_the_array_is_a_view_and_no_copy(lender: Lender) -> None:
    array = lender.frame.array
    os.pwrite(lender.fd.fileno(), b"\x99", 4)
    assert array[0, 0, 0] == 0x99


def test_the_array_cannot_be_written(frame: Frame) -> None:
    with pytest.raises(ValueError, match="read-only"):
        frame.array[0, 0, 0] = 1


def test_the_array_steps_by_the_pitch(frame: Frame) -> None:
    assert (frame.array.dtype.str, frame.array.strides) == ("|u1", (12, 4, 1))


def test_the_memory_is_the_whole_buffer(frame: Frame) -> None:
    assert bytes(frame.memory) == PIXELS


def test_the_memory_cannot_be_written(frame: Frame) -> None:
    assert frame.memory.readonly


def test_the_array_after_release_is_refused(frame: Frame) -> None:
    frame.release()
    with pytest.raises(CaptureClosedError, match="frame 41 was released"):
        _ = frame.array


def test_the_memory_after_release_is_refused(frame: Frame) -> None:
    frame.release()
    with pytest.raises(CaptureClosedError, match="frame 41 was released"):
        _ = frame.memory


# --- sync ------------------------------------------------------------------------------------


def test_several_looks_are_one_read_of_the_buffer(lender: Lender) -> None:
    _ = lender.frame.array, lender.frame.memory, lender.frame.array
    assert lender.syncs == ["begin"]


def test_release_ends_the_read_that_a_look_began(lender: Lender) -> None:
    _ = lender.frame.array
    lender.frame.release()
    assert lender.syncs == ["begin", "end"]


def test_a_frame_that_nobody_looked_at_is_not_synced(lender: Lender) -> None:
    lender.frame.release()
    assert lender.syncs == []


def test_a_second_release_does_not_end_the_read_again(lender: Lender) -> None:
    _ = lender.frame.array
    lender.frame.release()
    lender.frame.release()
    assert lender.syncs == ["begin", "end"]


# --- giving it back --------------------------------------------------------------------------


def test_release_gives_it_back(lender: Lender) -> None:
    lender.frame.release()
    assert lender.returned == [lender.frame]


def test_a_second_release_does_not_give_it_back_again(lender: Lender) -> None:
    lender.frame.release()
    lender.frame.release()
    assert lender.returned == [lender.frame]


def test_the_read_has_ended_when_it_is_given_back() -> None:
    order: list[str] = []
    with lent_frame(
        PIXELS, width=2, height=2, pitch=8, give_back=lambda _: order.append("back")
    ) as lent:
        _ = lent.memory
        lent._buffer.dmabuf.end_read = lambda: order.append("end")  # type: ignore[method-assign]
        lent.release()
    assert order == ["end", "back"]


def test_leaving_its_block_gives_it_back(lender: Lender) -> None:
    with lender.frame:
        assert not lender.returned
    assert lender.returned == [lender.frame]


def test_an_exception_in_its_block_gives_it_back_too(lender: Lender) -> None:
    with pytest.raises(ZeroDivisionError), lender.frame:
        raise ZeroDivisionError
    assert lender.returned == [lender.frame]


def test_it_is_true_until_released(frame: Frame) -> None:
    assert frame
    frame.release()
    assert not frame
