# SPDX-License-Identifier: MIT
"""The four manual pages, from the sources that the help comes from."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from capturectl.cli import commands
from capturectl.cli.describe import Argument, Command, describe, shared_options
from capturectl.cli.helptext import table_entry
from capturectl.protocol import DEFAULT_SOCKET
from capturectl.version import VERSION
from captured.commandline import build_parser
from captured.config import DEFAULT_FILE, Config
from captured.settings import SETTINGS
from docs.man import markdown
from docs.man.roff import Page, bold, italic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

_DOCUMENTS = "/usr/local/share/doc/captured/docs"
"""Where `make install` puts docs/; it adapts the path to PREFIX."""
PROTOCOL = Path(__file__).parents[1] / "protocol.md"
_TOML_EXAMPLE = (
    "# Members of the group video may capture; light a display that is dark.",
    'group = "video"',
    'modeset = "preferred"',
    "buffers = 8",
)
_KINDS = {
    str: "text", int: "whole number", float: "number", bool: "true or false", dict: "table",
    list: "list",
}  # fmt: skip
_SEE_ALSO = {
    "capturectl": (("captured", 8), ("captured.toml", 5), ("capture-protocol", 7)),
    "captured": (("capturectl", 1), ("captured.toml", 5), ("capture-protocol", 7)),
    "captured.toml": (("captured", 8), ("capturectl", 1)),
    "capture-protocol": (("captured", 8), ("capturectl", 1), ("unix", 7), ("recvmsg", 2)),
}


def pages(date: str) -> list[Page]:
    """Return all pages, dated so."""
    return [capturectl(date), captured(date), captured_toml(date), capture_protocol(date)]


# -- capturectl(1) ----------------------------------------------------------------------------


def capturectl(date: str) -> Page:
    """Return the page of the command."""
    page = Page("capturectl", 1, date, VERSION, "see what is really on the glass of this device")
    page.heading("SYNOPSIS")
    shared = " ".join(f"[{_flag(option)}]" for option in shared_options())
    page.item(f"{bold('capturectl')} {shared} {italic('COMMAND')} [{italic('ARGUMENT')}...]", "")
    page.heading("DESCRIPTION")
    page.paragraph(
        "`capturectl` asks the daemon `captured` what can be captured on this device, captures "
        "pictures, and says what the daemon does. What it prints on standard output is data; "
        "what it has to say goes to standard error. With `--json` every command prints JSON "
        "with a field `schema`, such as `captured/1/list`; a failure is then an object too, "
        "with a `code`, a `reason` and a `hint`."
    )
    page.heading("OPTIONS")
    for option in shared_options():
        page.item(_tag(option), _sentence(option.help))
    page.item(bold("--version"), "Print the version.")
    page.item(f"{bold('-h')}, {bold('--help')}", "Print the help, of a command after its name.")
    page.heading("COMMANDS")
    for command in describe():
        _add_command(page, command)
    page.heading("EXIT STATUS")
    for status, meaning in re.findall(r"(\d+) (.+?)(?=  |\n)", commands.EXIT_STATUS):
        page.item(bold(status), _sentence(meaning))
    page.heading("ENVIRONMENT")
    page.item(bold("CAPTURECTL_SOCKET"), "The daemon's socket, for lines without `-S`.")
    page.item(bold("NO_COLOR"), "Print no colours, on a terminal either.")
    page.item(bold("COLUMNS"), "The width of the terminal, where it is not known.")
    page.heading("FILES")
    page.item(italic(DEFAULT_SOCKET), "The socket of the service.")
    page.heading("EXAMPLES")
    page.literal(example for command in describe() for example in command.examples)
    _add_see_also(page)
    return page


def _add_command(page: Page, command: Command) -> None:
    words = [bold(command.name)]
    words += [f"[{_flag(option)}]" for option in command.options]
    words += [_place(place) for place in command.places]
    page.subheading(command.name)
    page.item(" ".join(words), _sentence(command.summary))
    for paragraph in filter(str.strip, command.about.split("\n\n")):
        lines = textwrap.dedent(paragraph).splitlines()
        entries = [table_entry(f" {line}") for line in lines]
        if paragraph.startswith(" ") and all(entries):
            for word, meaning in filter(None, entries):
                page.item(bold(word), _sentence(meaning))
        elif paragraph.startswith(" "):
            page.literal(lines)
        else:
            page.paragraph(paragraph)
    for argument in (*command.places, *command.options):
        page.item(_tag(argument), _sentence(argument.help))


def _place(place: Argument) -> str:
    word = bold(place.value) if place.words else italic(place.value)
    return f"[{word}]" if place.is_optional else word


def _flag(option: Argument) -> str:
    value = f" {italic(option.value)}" if option.value else ""
    return f"{bold(option.flags[0])}{value}"


def _tag(argument: Argument) -> str:
    if not argument.flags:
        return bold(argument.value) if argument.words else italic(argument.value)
    flags = ", ".join(map(bold, argument.flags))
    return f"{flags} {italic(argument.value)}" if argument.value else flags


# -- captured(8) ------------------------------------------------------------------------------


def captured(date: str) -> Page:
    """Return the page of the daemon."""
    parser = build_parser()
    page = Page("captured", 8, date, VERSION, "capture displays for many clients")
    page.heading("SYNOPSIS")
    page.item(f"{bold('captured')} [{italic('OPTION')}...]", "")
    page.heading("DESCRIPTION")
    page.paragraph(f"{parser.description} It attaches a writeback connector to the CRTC of a "
                   "display when the first client wants a picture, and detaches it a while after "
                   "the last has gone; otherwise the card is left to others.")  # fmt: skip
    page.paragraph(
        "Each option is a setting of captured.toml(5) as well; the command line has the last word."
    )
    page.heading("OPTIONS")
    for action in parser._actions:
        page.item(_action_tag(action), _sentence(_help(parser, action)))
    page.heading("SIGNALS")
    page.item(f"{bold('SIGTERM')}, {bold('SIGINT')}",
              "Say goodbye to all clients, give the displays back, and end.")  # fmt: skip
    page.item(bold("SIGHUP"),
              "Read the settings again and take over those that captured.toml(5) says a reload "
              "changes. Wrong ones are refused, and all stays as it was.")  # fmt: skip
    page.heading("EXIT STATUS")
    for status, meaning in re.findall(r"(\d+) ([^,.]+)", parser.epilog or ""):
        page.item(bold(status), _sentence(meaning))
    page.heading("FILES")
    page.item(italic(DEFAULT_FILE), f"Settings, with drop-ins in `{DEFAULT_FILE}.d/*.toml`.")
    page.item(italic(DEFAULT_SOCKET), "Where clients connect.")
    page.heading("EXAMPLES")
    page.paragraph("A test picture that needs no card, for developing clients:")
    page.literal(("captured --pattern 1920x1080@60 --socket /tmp/captured.sock",))
    _add_see_also(page)
    return page


def _action_tag(action: argparse.Action) -> str:
    flags = ", ".join(map(bold, action.option_strings))
    return f"{flags} {italic(str(action.metavar))}" if action.metavar else flags


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text: str = parser._get_formatter()._expand_help(action)
    return text


# -- captured.toml(5) -------------------------------------------------------------------------


def captured_toml(date: str) -> Page:
    """Return the page of the settings."""
    page = Page("captured.toml", 5, date, VERSION, "settings of the capture daemon")
    page.heading("SYNOPSIS")
    page.item(italic(DEFAULT_FILE), "")
    page.item(italic(f"{DEFAULT_FILE}.d/*.toml"), "")
    page.heading("DESCRIPTION")
    page.paragraph(
        "The file is TOML, one `name = value` a line, and need not exist. The files of the "
        "directory are read after it, by name; a later one wins, and options of captured(8) win "
        "over all. A setting that is not known, or a value that is not right, ends the daemon "
        "with a line that names both."
    )
    page.paragraph(
        "`capturectl config check` `FILE` says what the daemon would say of a file; "
        "`capturectl config show` prints every setting and where it comes from."
    )
    page.heading("SETTINGS")
    for name, setting in SETTINGS.items():
        default = Config._field_defaults[name]
        is_set = default is not None and default not in ("", {}, [])
        rule = "" if setting.rule == "a text" else f" It is {setting.rule}."
        kind = _KINDS[setting.kind]
        built_in = f"built in: `{default}`" if is_set else "built in: unset"
        live = "; a reload changes it" if getattr(setting, "is_live", False) else ""
        page.item(bold(name), f"{_sentence(setting.help)}{rule} ({kind}; {built_in}{live})")
    page.heading("EXAMPLES")
    page.literal(_TOML_EXAMPLE)
    _add_see_also(page)
    return page


# -- capture-protocol(7) ----------------------------------------------------------------------


def capture_protocol(date: str) -> Page:
    """Return the page of the protocol: the document, with its sections."""
    about = "how a client talks to the capture daemon, version 1"
    page = Page("capture-protocol", 7, date, VERSION, about)
    page.heading("DESCRIPTION")
    text = PROTOCOL.read_text(encoding="utf-8")
    # A page has no links: another file of docs/ is named by where it is.
    markdown.add(page, re.sub(r"\[[^]]+\]\(([^):#]+)\)", rf"`{_DOCUMENTS}/\1`", text))
    _add_see_also(page)
    return page


def _add_see_also(page: Page) -> None:
    page.heading("SEE ALSO")
    entries: Iterable[str] = (f"**{name}**({n})" for name, n in _SEE_ALSO[page.name])
    page.paragraph(", ".join(entries))


def _sentence(text: str) -> str:
    text = text.strip()
    ending = "" if text.endswith(".") else "."
    return f"{text[:1].upper()}{text[1:]}{ending}"
