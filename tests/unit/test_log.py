# SPDX-License-Identifier: MIT
"""captured.log: what gets a line, and what the line looks like."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from captured import log

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    log.begin("info")


def say_all() -> None:
    for name in log.LEVELS:
        getattr(log, name)("%s of %d", name, 4)


@pytest.mark.parametrize("level", log.LEVELS)
def test_what_matters_less_than_the_level_is_left_out(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.begin(level)
    say_all()
    wanted = log.LEVELS[log.LEVELS.index(level) :]
    assert capsys.readouterr().err == "".join(f"captured: {name} of 4\n" for name in wanted)


def test_a_message_without_parts_may_hold_a_percent_sign(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.info("100 %")
    assert capsys.readouterr().err == "captured: 100 %\n"


def test_each_line_of_a_message_is_one_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    log.warning("%s", "one\ntwo")
    assert capsys.readouterr().err == "captured: one\ncaptured: two\n"


def test_the_journal_gets_the_priority_of_syslog(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    log.begin("debug")
    say_all()
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["<7>debug of 4", "<6>info of 4", "<4>warning of 4", "<3>error of 4"]


def test_a_redirected_log_is_not_taken_for_the_journal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "9:12345")
    log.begin("info")
    log.info("here")
    assert capsys.readouterr().err == "captured: here\n"


def test_an_exception_is_told_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("%s: internal error", "client 1")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "captured: client 1: internal error"
    assert lines[-1] == "captured: ValueError: wrong"


class _ClosedPipe:
    def write(self, text: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_log_that_nobody_reads_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", _ClosedPipe())
    log.error("nobody hears")
