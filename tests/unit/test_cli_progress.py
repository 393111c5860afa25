# SPDX-License-Identifier: MIT
"""The progress line: on a terminal, short enough, and nowhere else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from capturectl.cli.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], str]]:
    """Standard error is a terminal; the call sets its width and returns what was written."""
    mine, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream, os.fdopen(mine, "rb", 0) as reader:
        monkeypatch.setattr("capturectl.cli.progress._EVERY", 0.0)

        def show(columns: int) -> str:
            size = struct.pack("HHHH", 24, columns, 0, 0)
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
            monkeypatch.setattr(sys, "stderr", stream)  # here: pytest sets it for each phase
            Progress().show(120, 3, 373_248_000, "the output is off")
            return os.read(reader.fileno(), 4096).decode()

        yield show


def test_it_says_frames_rate_drops_and_bytes(terminal: Callable[[int], str]) -> None:
    line = terminal(200)
    assert line.startswith("\r120 frames  ")
    assert line.endswith(" fps  3 dropped  373.2 MB  the output is off\x1b[K")


@pytest.mark.parametrize("columns", [10, 40])
def test_it_never_wraps(terminal: Callable[[int], str], columns: int) -> None:
    text = terminal(columns).removeprefix("\r").removesuffix("\x1b[K")
    assert len(text) == columns - 1


def test_without_a_terminal_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress.show(1, 0, 1)
    progress.end(1, 0, 1)
    assert capsys.readouterr() == ("", "")


def test_without_standard_error_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    Progress().end(1, 0, 1)


def test_a_terminal_that_has_gone_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr("capturectl.cli.progress._EVERY", 0.0)
        progress = Progress()
        os.close(mine)
        progress.show(1, 0, 1)
        progress.end(1, 0, 1)
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            stream.close()
