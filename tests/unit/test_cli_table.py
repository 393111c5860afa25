# SPDX-License-Identifier: MIT
"""Tables and lists for people: alignment, narrow terminals, colours, hostile texts."""

from __future__ import annotations

import io
import os
import pty
import struct
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from capturectl.cli import table as tables

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = [("NAME", "STATE", "FRAMES"), ("a", "ready", "7"), ("long-name", "off", "1200")]


class Terminal:
    """Standard output is one end of a pseudo-terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._master, slave = pty.openpty()
        self.file = open(slave, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - closed below
        # pytest puts its own sys.stdout back when the test begins.
        monkeypatch.setattr(tables, "sys", SimpleNamespace(stdout=self.file))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.delenv("COLUMNS", raising=False)

    def resize(self, width: int) -> None:
        import fcntl
        import termios

        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))

    def close(self) -> None:
        self.file.close()
        os.close(self._master)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    opened = Terminal(monkeypatch)
    opened.resize(80)
    yield opened
    monkeypatch.undo()
    opened.close()


# -- the terminal -----------------------------------------------------------------------------


def test_the_width_is_that_of_the_terminal(terminal: Terminal) -> None:
    terminal.resize(132)
    assert tables.columns() == 132


def test_the_environment_may_say_another_width(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert tables.columns() == 40


@pytest.mark.parametrize("words", ["", "0", "wide", "-5", "²"])
def test_what_is_no_width_is_not_heeded(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("COLUMNS", words)
    assert tables.columns() == 80


def test_a_serial_line_that_says_0_has_no_known_width(terminal: Terminal) -> None:
    terminal.resize(0)
    assert tables.columns() is None


def test_what_is_no_terminal_has_neither_width_nor_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setenv("TERM", "xterm")
    assert (tables.columns(), tables.has_colour()) == (None, False)


def test_a_closed_standard_output_has_neither_width_nor_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setenv("TERM", "xterm")
    assert (tables.columns(), tables.has_colour()) == (None, False)


def test_a_terminal_shows_a_state_in_its_colour(terminal: Terminal) -> None:
    assert tables.paint("ready") == "\x1b[32mready\x1b[0m"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_unwanted(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert tables.paint("ready") == "ready"


def test_an_empty_no_color_says_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert tables.has_colour()


# -- texts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mpv", "mpv"),
        ("Café", "Café"),
        ("\x1b[2J\x1b[31mred", "?[2J?[31mred"),
        ("two\nlines\r", "two?lines?"),
        ("\x9b31m", "?31m"),
        ("\x07bell\x00", "?bell?"),
        ("\u202eturned", "?turned"),
        ("\u200bhidden\ufeff", "?hidden?"),
        ("\ud800", "?"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(text: str, shown: str) -> None:
    assert tables.printable(text) == shown


def test_what_standard_output_cannot_encode_is_a_question_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as ascii_only:
        monkeypatch.setattr(sys, "stdout", ascii_only)
        assert tables.printable("Café 日本") == "Caf? ??"
        monkeypatch.undo()


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0)])
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str, width: int) -> None:
    assert tables.width_of(text) == width


def test_a_text_is_clipped_at_a_whole_character() -> None:
    assert tables.clip("日本", 3) == "日"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (59.9, "59s"),
        (60, "1m 0s"),
        (3599, "59m 59s"),
        (3600, "1h 0m"),
        (90_061, "1d 1h"),
    ],
)
def test_an_age_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert tables.age(seconds) == text


# -- tables -----------------------------------------------------------------------------------


def test_columns_are_aligned() -> None:
    assert list(tables.table(ROWS, right=("FRAMES",))) == [
        "NAME       STATE  FRAMES",
        "a          ready       7",
        "long-name  off      1200",
    ]


def test_wide_characters_are_aligned_too() -> None:
    assert list(tables.table([("NAME", "N"), ("日本語", "1")])) == ["NAME    N", "日本語  1"]


def test_a_cell_cannot_break_out_of_its_line() -> None:
    assert list(tables.table([("NAME",), ("a\x1b[H\nb",)])) == ["NAME", "a?[H?b"]


def test_in_a_narrow_terminal_each_row_is_a_block(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.resize(23)
    monkeypatch.setenv("NO_COLOR", "1")
    assert list(tables.table(ROWS)) == [
        "  NAME: a",
        " STATE: ready",
        "FRAMES: 7",
        "",
        "  NAME: long-name",
        " STATE: off",
        "FRAMES: 1200",
    ]


def test_a_table_that_just_fits_stays_a_table(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.resize(24)
    assert next(iter(tables.table(ROWS))) == "NAME       STATE  FRAMES"


def test_a_narrow_table_goes_without_its_last_columns() -> None:
    assert tables.narrow_table(ROWS, 20) == [
        "NAME       STATE",
        "a          ready",
        "long-name  off",
    ]


def test_a_narrow_table_without_a_limit_has_them_all() -> None:
    assert tables.narrow_table(ROWS, None)[0] == "NAME       STATE  FRAMES"


def test_what_does_not_fit_at_all_is_clipped() -> None:
    assert tables.narrow_table(ROWS, 4) == ["NAME", "a", "long"]


def test_a_table_of_headings_alone_is_one_line() -> None:
    assert list(tables.table([("A", "B")])) == ["A  B"]


def test_pairs_align_their_labels_and_leave_out_what_is_empty() -> None:
    fields = [("State", "ready"), ("Reason", ""), ("Planes", "one\ntwo")]
    assert list(tables.pairs(fields)) == [" State: ready", "Planes: one", "        two"]


def test_values_of_pairs_are_wrapped_to_the_terminal(terminal: Terminal) -> None:
    terminal.resize(24)
    fields = [("Reason", "it is off: switch it on"), ("A", "x" * 30)]
    assert list(tables.pairs(fields)) == [
        "Reason: it is off:",
        "        switch it on",
        "     A: " + "x" * 30,
    ]


def test_values_of_pairs_are_one_line_where_programs_read_them() -> None:
    assert list(tables.pairs([("Reason", "word " * 50 + "end")])) == [
        "Reason: " + "word " * 50 + "end"
    ]


def test_a_value_of_a_pair_cannot_command_the_terminal() -> None:
    assert list(tables.pairs([("Name", "a\x1b[2Jb")])) == ["Name: a?[2Jb"]
