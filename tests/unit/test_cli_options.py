# SPDX-License-Identifier: MIT
"""The command line: the socket before and after the command, help, version, usage errors."""

from __future__ import annotations

import pytest

from capturectl.cli import main
from capturectl.cli.commands import names
from capturectl.cli.helptext import HelpFormatter
from capturectl.cli.parser import build_parser


def socket_of(*words: str) -> str | None:
    socket: str | None = getattr(build_parser(words).parse_args(words), "socket", None)
    return socket


@pytest.mark.parametrize(
    "words",
    [
        ("-S", "/run/x", "list"),
        ("list", "-S", "/run/x"),
        ("--socket", "/run/x", "list"),
        ("list", "--socket=/run/x"),
        ("-S", "/run/x", "snapshot", "a.png"),
        ("snapshot", "a.png", "-S", "/run/x"),
        ("snapshot", "-S", "/run/x", "a.png"),
        ("-S", "list", "snapshot", "-S", "/run/x"),
    ],
    ids=" ".join,
)
def test_the_socket_is_taken_before_and_after_the_command(words: tuple[str, ...]) -> None:
    assert socket_of(*words) == "/run/x"


def test_without_the_option_no_socket_is_named() -> None:
    assert socket_of("list") is None


@pytest.mark.parametrize("command", names())
def test_each_command_has_its_own_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert (caught.value.code, f"usage: capturectl {command}" in capsys.readouterr().out) == (
        0,
        True,
    )


def test_the_help_names_every_command_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [word for word in (*names(), "130 interrupted") if word not in text] == []


def test_without_a_command_the_help_goes_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert (out, "usage: capturectl" in err) == ("", True)


def test_a_wrong_word_is_one_line_that_says_where_to_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["list", "--frobnicate"])
    assert capsys.readouterr().err == (
        "capturectl: unrecognized arguments: --frobnicate: see capturectl --help\n"
    )


def test_the_version_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out[:11]) == (0, "capturectl ")


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("list", "--frobnicate"),
        ("list", "extra"),
        ("snapshot", "-t", "gif"),
        ("snapshot", "--timeout", "soon"),
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_read_exits_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2


ABOUT = """\
A paragraph that is longer than a narrow terminal is wide.

  WORD, WORDS  what it means, at some length, so that it must be broken
  X            short

  capturectl an example that stays as it is, however long it may be
"""


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            62,
            [
                "A paragraph that is longer than a narrow terminal is wide.",
                "",
                "  WORD, WORDS  what it means, at some length, so that it must",
                "               be broken",
                "  X            short",
                "",
                "  capturectl an example that stays as it is, however long it may be",
            ],
        ),
        (
            32,
            [
                "A paragraph that is longer than",
                "a narrow terminal is wide.",
                "",
                "  WORD, WORDS: what it means, at",
                "      some length, so that it",
                "      must be broken",
                "  X: short",
                "",
                "  capturectl an example that stays as it is, however long it may be",
            ],
        ),
    ],
)
def test_what_a_command_says_of_itself_is_fitted_to_the_terminal(
    width: int, lines: list[str]
) -> None:
    formatter = HelpFormatter("x")
    assert formatter._fill_text(ABOUT.rstrip(), width, "").splitlines() == lines
