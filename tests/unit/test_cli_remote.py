# SPDX-License-Identifier: MIT
"""What -H makes of a command line, before ssh has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capturectl.cli import list as command
from capturectl.cli import main
from capturectl.cli.remote import without_host

if TYPE_CHECKING:
    from typing import Self

WORDS = {"-t": "capturectl list", "-T": "env CAPTURECTL_TIED=1 capturectl list"}
"""With a terminal the command hears of its end from that."""


@pytest.mark.parametrize(
    "words",
    [
        ["-H", "me@board", "list", "--json"],
        ["list", "--json", "-H", "me@board"],
        ["--host", "me@board", "list", "--json"],
        ["list", "--host=me@board", "--json"],
        ["-Hme@board", "list", "--json"],
    ],
    ids=" ".join,
)
def test_the_host_is_taken_off_the_line(words: list[str]) -> None:
    assert list(without_host(words)) == ["list", "--json"]


class Recorded:
    """Stands for subprocess.Popen: keeps the words, and says that the command went well."""

    words: list[str]
    returncode = 0

    def __init__(self, words: list[str], **_: object) -> None:
        Recorded.words = words

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


@pytest.mark.parametrize(
    ("draws", "is_terminal", "flag"),
    [(True, True, "-t"), (True, False, "-T"), (False, True, "-T"), (False, False, "-T")],
)
def test_a_terminal_is_asked_for_only_where_one_is_and_the_command_draws_on_it(
    draws: bool, is_terminal: bool, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", Recorded)
    monkeypatch.setattr(command, "TERMINAL", draws, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    assert main(["-H", "board", "list"]) == 0
    assert Recorded.words[:2] == ["ssh", flag]
    assert Recorded.words[-3:] == ["--", "board", WORDS[flag]]
