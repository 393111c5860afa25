# SPDX-License-Identifier: MIT
"""captured.memfd: who can write, and that nothing is left; the fixture counts fds."""

from __future__ import annotations

import fcntl
import mmap
import os

import pytest

from captured.memfd import SEALS, make_memory

SIZE = mmap.PAGESIZE


def test_memory_with_all_seals_is_written_by_its_maker_alone() -> None:
    memfd, memory = make_memory("test", SIZE, SEALS)
    with memfd, memory:
        memory[:4] = b"ours"
        assert os.pread(memfd.fileno(), 4, 0) == b"ours"
        with pytest.raises(PermissionError):
            os.pwrite(memfd.fileno(), b"x", 0)
        with pytest.raises(PermissionError):
            mmap.mmap(memfd.fileno(), SIZE)
        for size in (0, 2 * SIZE):
            with pytest.raises(PermissionError):
                os.ftruncate(memfd.fileno(), size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(memfd.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_memory_that_cannot_be_sealed_leaves_no_descriptor() -> None:
    with pytest.raises(OSError, match="busy"):
        make_memory("test", SIZE, fcntl.F_SEAL_WRITE)  # there is a mapping to write through
    with pytest.raises(ValueError, match="empty"):
        make_memory("test", 0, SEALS)
