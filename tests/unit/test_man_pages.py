# SPDX-License-Identifier: MIT
"""The manual pages say everything that can be typed, set and sent."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from capturectl import errors, protocol
from capturectl.cli import commands
from capturectl.cli.parser import arguments_of, build_parser, command_parsers
from captured.commandline import build_parser as daemon_parser
from captured.settings import SETTINGS
from docs.man import markdown, pages, roff

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"


@cache
def text_of(name: str) -> str:
    """Return a page as text: without fonts, its minus signs and quotes as people type them."""
    (page,) = (page for page in pages.pages("2026-01-02") if page.name == name)
    text = re.sub(r"\\f[BIR]", "", page.text)
    return text.replace("\\-", "-").replace("\\(dq", '"').replace("\\e", "\\")


def part_of(name: str, heading: str) -> str:
    """Return what stands under a heading of a page."""
    _, _, rest = text_of(name).partition(f'"{heading}"\n')
    return re.split(r"^\.S[HS] ", rest, maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("command", commands.names())
def test_every_argument_of_a_command_has_an_entry_under_its_name(command: str) -> None:
    parser = command_parsers(build_parser([command]))[command]
    shared = {"-h", "--help", *re.findall(r"-[-\w]+", str(commands.SHARED_OPTIONS))}
    entries = re.findall(r"^\.TP\n(.*)", part_of("capturectl", command), re.MULTILINE)
    documented = {word for entry in entries[1:] for word in re.split(r", | ", entry)}
    wanted = {
        word
        for action in arguments_of(parser)
        for word in action.option_strings or [str(action.metavar or action.dest)]
    }
    assert wanted - shared - documented == set()


@pytest.mark.parametrize("command", commands.names())
def test_the_first_entry_under_a_command_is_how_it_is_typed(command: str) -> None:
    assert part_of("capturectl", command).splitlines()[1].split()[0] == command


def test_what_all_commands_share_is_under_options() -> None:
    flags = re.findall(r"-[-\w]+", " ".join(flags for flags, _ in commands.SHARED_OPTIONS))
    part = part_of("capturectl", "OPTIONS")
    assert [flag for flag in [*flags, "--help", "--version"] if flag not in part] == []


def test_every_exit_status_is_explained() -> None:
    kinds = [kind for kind in vars(errors).values() if hasattr(kind, "exit_code")]
    statuses = {"0", *(str(kind.exit_code) for kind in kinds)}
    listed = re.findall(r"^\.TP\n(\d+)$", part_of("capturectl", "EXIT STATUS"), re.MULTILINE)
    assert set(listed) == statuses


def test_every_option_of_the_daemon_has_an_entry() -> None:
    entries = re.findall(r"^\.TP\n(.*)", part_of("captured", "OPTIONS"), re.MULTILINE)
    documented = {word for entry in entries for word in re.split(r", | ", entry)}
    flags = {flag for a in daemon_parser()._actions for flag in a.option_strings}
    assert flags - documented == set()


def test_every_setting_has_an_entry() -> None:
    entries = re.findall(r"^\.TP\n(.*)", part_of("captured.toml", "SETTINGS"), re.MULTILINE)
    assert entries == list(SETTINGS)


def test_a_setting_says_its_kind_its_rule_and_its_default() -> None:
    part = " ".join(part_of("captured.toml", "SETTINGS").split())
    assert "two buffers are never lent. It is a whole number from 4 to 64. " in part
    assert "(whole number; built in: 6)" in part


def test_every_heading_and_field_of_the_protocol_is_on_its_page() -> None:
    page = text_of("capture-protocol")
    headings = re.findall(r"^### `?(\w+)", DOCUMENT.read_text(), re.MULTILINE)
    messages = [*protocol.FROM_CLIENT, *protocol.FROM_DAEMON]
    fields = {field for message in messages for field in message.body._fields}
    assert len(headings) > 40
    assert [word for word in (*headings, *fields) if not re.search(rf"\b{word}\b", page)] == []


@pytest.mark.parametrize("page", pages.pages("2026-01-02"), ids=lambda page: page.name)
def test_a_page_is_ascii_and_dated(page: roff.Page) -> None:
    assert (page.text.isascii(), '"2026-01-02"' in page.text.splitlines()[1]) == (True, True)


# --- the writer itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a `--flag` b", "a \\fB\\-\\-flag\\fR b"),
        ("**not** *so*", "\\fBnot\\fR \\fIso\\fR"),
        ("see [there](x.md)", "see there"),
        ("read-only -1", "read-only \\-1"),
        ("C:\\x", "C:\\ex"),
        ("1 · 2", "1 \\[u00B7] 2"),
    ],
)
def test_markup_becomes_fonts(text: str, written: str) -> None:
    assert roff.marked(text) == written


def page() -> roff.Page:
    return roff.Page("x", 1, "d", "v", "y")


def test_every_signal_that_the_daemon_handles_has_an_entry() -> None:
    source = (DOCUMENT.parents[1] / "daemon/captured/main.py").read_text(encoding="utf-8")
    handled = {
        name
        for names in re.findall(r"handle_signals\(\((.*?)\)", source)
        for name in re.findall(r"SIG\w+", names)
    }
    entries = re.findall(r"^\.TP\n(.*)", part_of("captured", "SIGNALS"), re.MULTILINE)
    assert {word for entry in entries for word in entry.split(", ")} == handled


def test_a_line_that_begins_like_a_request_is_none() -> None:
    written = page()
    written.paragraph(".TH 'x'")
    assert written.text.endswith("\\&.TH 'x'\n")


def test_a_list_of_a_document_becomes_bullets_with_their_lines() -> None:
    written = page()
    markdown.add(written, "# T\n\n- one\n  more\n- two\n")
    assert written.text.endswith(".IP \\(bu 2\none more\n.IP \\(bu 2\ntwo\n")


def test_a_table_of_a_document_keeps_its_cells() -> None:
    written = page()
    markdown.add(written, "| a | b |\n|---|---|\n| `1` | x \\| y |\n")
    assert written.text.endswith("\nl l.\na\tb\n\\fB1\\fR\tx | y\n.TE\n")


def test_code_of_a_document_stays_as_it_is() -> None:
    written = page()
    markdown.add(written, "```\n.a  b\n\n# c\n```\n")
    assert written.text.endswith(".nf\n.RS 4\n\\&.a  b\n\\&\n# c\n.RE\n.fi\n")
