# SPDX-License-Identifier: MIT
"""The writer beside the capture: order, blocked readers, readers that go, full disks."""

from __future__ import annotations

import os
import pty
import resource
import stat
import sys
import time
from typing import TYPE_CHECKING

import pytest

from capturectl.cli.sink import Sink, open_for_writing
from capturectl.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = bytes(20 << 20)
"""Two of them are more than may wait."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, Sink]]:
    """The reader's end, and a sink for the other."""
    reader, writer = os.pipe()
    sink = Sink(writer, "pipe")
    yield reader, sink
    try:
        os.close(reader)
    except OSError:
        return  # the test did


def read_all(reader: int) -> bytes:
    with os.fdopen(os.dup(reader), "rb") as file:
        return file.read()


def test_pieces_are_written_in_order_and_as_often_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    sink = Sink(open_for_writing(str(path), binary=True), str(path))
    assert sink.offer([b"head"])
    assert sink.offer([b"a", b"b"], 3)
    sink.close()
    assert path.read_bytes() == b"headababab"
    assert sink.written == 10


def test_what_was_offered_before_the_end_is_written(pipe: tuple[int, Sink]) -> None:
    reader, sink = pipe
    for number in range(100):
        assert sink.offer([b"%03d" % number])
    sink.close()
    assert read_all(reader) == b"".join(b"%03d" % number for number in range(100))


def test_a_reader_that_reads_nothing_blocks_nobody(pipe: tuple[int, Sink]) -> None:
    reader, sink = pipe
    began = time.monotonic()
    taken = [sink.offer([PIECE]) for _ in range(10)]
    assert time.monotonic() - began < 5
    assert taken[0]
    assert not taken[-1]
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        sink.close()


def test_a_reader_that_has_gone_is_noticed(pipe: tuple[int, Sink]) -> None:
    reader, sink = pipe
    os.close(reader)
    sink.offer([b"x"])
    with pytest.raises(BrokenPipeError):
        sink.close()
    assert sink.is_broken
    assert not sink.offer([b"x"])


def test_a_pipe_that_somebody_made_non_blocking_gets_everything(pipe: tuple[int, Sink]) -> None:
    reader, sink = pipe
    os.set_blocking(sink._fd, False)
    sink.offer([bytes(3 << 20)])
    read = 0
    while read < 3 << 20:
        read += len(os.read(reader, 1 << 20))
    sink.close()
    assert sink.written == 3 << 20


def test_a_full_disk_leaves_whole_pieces_and_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = Sink(open_for_writing(str(path), binary=True), str(path))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        for _ in range(4):
            sink.offer([bytes(300)])
        with pytest.raises(CaptureError) as caught:
            sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.code, str(path) in caught.value.reason) == ("not-written", True)
    assert path.stat().st_size == 900


def test_a_new_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        os.close(open_for_writing(str(tmp_path / "a"), binary=True))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError) as caught:
        open_for_writing(str(tmp_path / "missing" / "a"), binary=True)
    assert caught.value.code == "not-written"


def test_a_terminal_gets_no_binary_data() -> None:
    mine, theirs = pty.openpty()
    try:
        with pytest.raises(CaptureError) as caught:
            open_for_writing(os.ttyname(theirs), binary=True)
        os.close(open_for_writing(os.ttyname(theirs), binary=False))
    finally:
        os.close(mine)
        os.close(theirs)
    assert caught.value.code == "terminal"


def test_standard_output_is_named_as_people_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stdout", full)
        sink = Sink(open_for_writing("-", binary=True), "-")
    sink.offer([b"x"])
    with pytest.raises(CaptureError, match="cannot write standard output: No space left"):
        sink.close()
