# SPDX-License-Identifier: MIT
"""What holds for every test: it leaves no file descriptor behind."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.fds import open_fds

if TYPE_CHECKING:
    from collections.abc import Iterator

# A shell that runs the tests in the background has SIGINT ignored, and nohup SIGHUP, which every
# program that they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def fd_leak() -> Iterator[None]:
    """Fail a test that leaves a descriptor open."""
    before = open_fds()
    yield
    left = {fd: target for fd, target in open_fds().items() if before.get(fd) != target}
    assert not left, f"left open: {left}"
