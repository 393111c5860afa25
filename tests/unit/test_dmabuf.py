# SPDX-License-Identifier: MIT
"""Mapped dma-bufs: read between balanced sync calls, closed once."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from capturectl.dmabuf import MappedDmabuf
from capturectl.fourcc import fourcc_code, pixel_format
from capturectl.pixels import view
from tests.support.fds import memfd

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/dma-buf.h: _IOW('b', 0, __u64), DMA_BUF_SYNC_READ, DMA_BUF_SYNC_END | READ.
SYNC = 1 << 30 | 8 << 16 | ord("b") << 8 | 0
BEGIN_READ = bytes.fromhex("0100000000000000")
END_READ = bytes.fromhex("0500000000000000")


class Kernel:
    """Takes the place of ioctl: notes the calls, fails those it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bytes]] = []
        self.failures: list[int] = []

    def ioctl(self, fd: int, request: int, argument: bytes) -> bytes:
        os.fstat(fd)
        self.calls.append((request, argument))
        if self.failures:
            number = self.failures.pop()
            raise OSError(number, os.strerror(number))
        return argument


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    fake = Kernel()
    monkeypatch.setattr(fcntl, "ioctl", fake.ioctl)
    return fake


@pytest.fixture
def dmabuf() -> Iterator[MappedDmabuf]:
    mapped = MappedDmabuf(memfd(b"pixels"), 6)
    yield mapped
    mapped.close()


def test_the_mapping_has_the_bytes(dmabuf: MappedDmabuf) -> None:
    assert bytes(dmabuf.memory) == b"pixels"


def test_the_mapping_cannot_be_written(dmabuf: MappedDmabuf) -> None:
    with pytest.raises(TypeError):
        dmabuf.memory[0] = 0


def test_a_read_begins_and_ends_with_one_sync_each(dmabuf: MappedDmabuf, kernel: Kernel) -> None:
    dmabuf.begin_read()
    dmabuf.end_read()
    assert kernel.calls == [(SYNC, BEGIN_READ), (SYNC, END_READ)]


def test_nested_reads_sync_once(dmabuf: MappedDmabuf, kernel: Kernel) -> None:
    dmabuf.begin_read()
    dmabuf.begin_read()
    dmabuf.end_read()
    assert kernel.calls == [(SYNC, BEGIN_READ)]
    dmabuf.end_read()
    assert kernel.calls == [(SYNC, BEGIN_READ), (SYNC, END_READ)]


def test_a_memfd_that_knows_no_sync_is_read_all_the_same(dmabuf: MappedDmabuf) -> None:
    dmabuf.begin_read()
    assert bytes(dmabuf.memory) == b"pixels"
    dmabuf.end_read()


def test_another_failure_of_sync_is_an_os_error(dmabuf: MappedDmabuf, kernel: Kernel) -> None:
    kernel.failures = [errno.EIO]
    with pytest.raises(OSError, match="Input/output error") as caught:
        dmabuf.begin_read()
    assert caught.value.errno == errno.EIO


# Kernel: Documentation/driver-api/dma-buf.rst: "can fail with -EAGAIN or -EINTR, in which
# case it must be restarted".
@pytest.mark.parametrize("number", [errno.EINTR, errno.EAGAIN])
def test_an_interrupted_sync_is_tried_again(
    dmabuf: MappedDmabuf, kernel: Kernel, number: int
) -> None:
    kernel.failures = [number]
    dmabuf.begin_read()
    assert kernel.calls == [(SYNC, BEGIN_READ), (SYNC, BEGIN_READ)]


def test_a_failed_begin_leaves_no_read_open(dmabuf: MappedDmabuf, kernel: Kernel) -> None:
    kernel.failures = [errno.EIO]
    with pytest.raises(OSError, match="Input/output error"):
        dmabuf.begin_read()
    dmabuf.begin_read()
    assert [argument for _, argument in kernel.calls] == [BEGIN_READ, BEGIN_READ]


def test_a_descriptor_that_cannot_be_mapped_is_closed() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    fd = memfd(b"")
    os.dup2(read_end, fd.fileno())
    os.close(read_end)
    with pytest.raises(OSError, match="No such device"):
        MappedDmabuf(fd, 4096)
    assert not fd


def test_closing_closes_the_descriptor() -> None:
    fd = memfd(b"pixels")
    MappedDmabuf(fd, 6).close()
    assert not fd


def test_closing_twice_is_fine() -> None:
    fd = memfd(b"pixels")
    mapped = MappedDmabuf(fd, 6)
    mapped.close()
    mapped.close()
    assert not fd


def test_closing_unmaps_the_memory() -> None:
    mapped = MappedDmabuf(memfd(b"pixels"), 6)
    memory = mapped.memory
    mapped.close()
    assert memory.closed


def test_a_view_that_somebody_keeps_outlives_the_closing() -> None:
    mapped = MappedDmabuf(memfd(b"pixels"), 6)
    kept = memoryview(mapped.memory)
    mapped.close()
    assert bytes(kept) == b"pixels"


@pytest.mark.parametrize("fourcc", ["XR24", "XR48", "XR30"])
def test_a_numpy_view_that_somebody_keeps_outlives_the_closing(fourcc: str) -> None:
    layout = pixel_format(fourcc_code(fourcc))
    row = bytes(range(layout.bytes_per_pixel * 2))
    mapped = MappedDmabuf(memfd(row), len(row))
    memory = mapped.memory
    kept = view(memoryview(memory), layout, 2, 1, len(row))[0, 1:]
    mapped.close()
    assert not memory.closed
    assert kept.tobytes() == row[layout.bytes_per_pixel :]
