# SPDX-License-Identifier: MIT
"""The command line as argparse reads it: what every command shares, and each command's own."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from capturectl.cli import commands, report_as_json
from capturectl.cli.helptext import HelpFormatter
from capturectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser with the width of the terminal, and one line for a wrong word.

    Attributes:
        wants_json: Whether a wrong word is an object on standard output as well.
    """

    wants_json = False

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(allow_abbrev=False, **options)
        self.formatter_class = HelpFormatter

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End, when all of the help is written; a reader that has gone raises OSError here."""
        sys.stdout.flush()
        super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with status 2."""
        error = UsageError(message, f"see {self.prog} --help")
        if self.wants_json:
            report_as_json(error)
        self.exit(2, f"{self.prog}: {error}\n")


def build_parser(words: Iterable[str]) -> Parser:
    """Return the parser for a command line.

    Args:
        words: The command line. Only modules of commands that stand in it are imported.
    """
    shared = _shared()
    parser = Parser(prog="capturectl", parents=[shared])
    parser.format_help = commands.usage  # type: ignore[method-assign]  # one text for all
    parser.add_argument(
        "--version", action=_VersionAction, nargs=0, default=argparse.SUPPRESS,
        help="print the version",
    )  # fmt: skip
    found = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = set(words)
    parser.wants_json = "--json" in wanted
    for name in commands.names():
        if name in wanted:
            _add_command(found, name, shared).wants_json = parser.wants_json
        else:
            found.add_parser(name, add_help=False)
    return parser


def _add_command(found: argparse._SubParsersAction[Parser], name: str, shared: Parser) -> Parser:
    module = import_module(f"capturectl.cli.{name}")
    line = commands.summary(name)
    about = f"{line[0].upper()}{line[1:]}.\n\n{getattr(module, 'ABOUT', '')}".rstrip()
    examples = "".join(f"  {example}\n" for example in getattr(module, "EXAMPLES", ()))
    command = found.add_parser(
        name, description=about, parents=[shared], epilog=examples and f"examples:\n{examples}"
    )
    module.add_arguments(command)
    command.usage = f"%(prog)s [OPTION]... {' '.join(_places(command))}".rstrip()
    command.set_defaults(run=module.run)
    return command


def _places(command: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the words with a place of their own, for the usage; the options are listed below."""
    for action in arguments_of(command):
        if not action.option_strings:
            value = action.metavar or "|".join(map(str, action.choices or (action.dest,)))
            yield f"[{value}]" if action.nargs in {"?", "*"} else str(value)


def _shared() -> Parser:
    parser = Parser(add_help=False)
    for flags, about in commands.SHARED_OPTIONS:
        short, long, value = flags.replace(",", "").split(" ")
        parser.add_argument(
            short, long, metavar=value, default=argparse.SUPPRESS, help=about.replace("\n", " ")
        )
    return parser


class _VersionAction(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, *unused: object, **also_unused: object
    ) -> None:
        from capturectl.version import VERSION

        sys.stdout.write(f"capturectl {VERSION}\n")
        parser.exit()


def arguments_of(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """Return what a command takes, for manuals and completions."""
    return [a for a in parser._actions if a.help is not argparse.SUPPRESS]


def command_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a parser's commands, by name."""
    return {name: p for a in parser._actions for name, p in command_parsers_of(a).items()}


def command_parsers_of(action: argparse.Action) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers that an argument chooses between; none for most."""
    if not isinstance(action, argparse._SubParsersAction):
        return {}
    return {**action.choices}
