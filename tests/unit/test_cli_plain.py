# SPDX-License-Identifier: MIT
"""The quick way through a command line ends where argparse would."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capturectl.cli import commands, plain
from capturectl.cli.parser import build_parser, command_parsers

if TYPE_CHECKING:
    from collections.abc import Iterator


def by_argparse(words: list[str]) -> dict[str, Any] | None:
    """Return what argparse makes of a line; None when it ends the program."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return vars(build_parser(words).parse_args(words))
        except SystemExit:
            return None


def words_of(command: str) -> st.SearchStrategy[list[str]]:
    """Return lines of a command: its flags, its choices, and words that fit or do not."""
    flags, choices = ["-S", "--socket"], ["-", "", "x.png", "1", "2.5", "-1", "nan", "--", "-h"]
    for argument in command_parsers(build_parser([command]))[command]._actions:
        flags += argument.option_strings
        choices += map(str, argument.choices or ())
    return st.lists(st.sampled_from([*flags, *choices, "--socket=x", "--frob"]), max_size=6)


def options_first(words: list[str], command: str) -> Iterator[str]:
    """Yield a line with its options before its words: argparse wants the words together."""
    parsers = command_parsers(build_parser([command]))
    valued = {f for a in parsers[command]._actions if a.nargs is None for f in a.option_strings}
    rest, texts = iter(words), []
    for word in rest:
        if word.startswith("-") and word != "-":
            yield word
            if word in valued:
                yield next(rest)
        elif word == command and command not in texts:
            texts.append(word)
            yield word
        else:
            texts.append(word)
    yield from texts[1:]


@pytest.mark.parametrize("command", commands.names())
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_line_that_is_read_is_read_as_argparse_reads_it(command: str, data: Any) -> None:
    words = [*data.draw(st.sampled_from([[], ["-S", "/x"]])), command]
    words += data.draw(words_of(command))
    try:
        read = vars(plain.read(words))
    except plain.NotPlain:
        return
    expected = by_argparse([*options_first(words, command)])
    assert expected is not None, "argparse refuses what was read"
    comparable = {name: repr(value) for name, value in expected.items()}
    assert {name: repr(value) for name, value in read.items()} == comparable


@pytest.mark.parametrize(
    "words",
    [["list"], ["list", "--json"], ["-S", "/x", "list"], ["snapshot", "-t", "png", "-"]],
    ids=" ".join,
)
def test_what_people_type_needs_no_argparse(words: list[str]) -> None:
    assert vars(plain.read(words)) == by_argparse(words)


@pytest.mark.parametrize(
    "words",
    [["list", "-h"], ["list", "extra"], ["frob"], ["snapshot", "-t", "gif"], ["snapshot", "-t"]],
    ids=" ".join,
)
def test_help_and_mistakes_are_left_to_argparse(words: list[str]) -> None:
    with pytest.raises(plain.NotPlain):
        plain.read(words)
