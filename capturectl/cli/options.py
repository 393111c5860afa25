# SPDX-License-Identifier: MIT
"""The command line: what every command shares, and one module for each command."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from capturectl.cli import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, NoReturn

    from capturectl.protocol import Source


class Parser(argparse.ArgumentParser):
    """A parser with the width of the terminal, and one line for a wrong word."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        # Not set afterwards: adding --help would already make a formatter, which imports shutil.
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with status 2."""
        self.exit(2, f"{self.prog}: {message}: see {self.prog} --help\n")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        # argparse would import shutil to find the width.
        super().__init__(prog, max_help_position=26, width=_columns() - 2)


def _columns() -> int:
    words = os.environ.get("COLUMNS", "")
    if words.isdigit() and int(words):
        return max(int(words), 40)
    try:
        return max(os.get_terminal_size(1).columns, 40)
    except (OSError, ValueError):
        return 80


def build_parser(words: Iterable[str]) -> Parser:
    """Return the parser for a command line.

    Args:
        words: The command line. Only modules of commands that stand in it are imported.
    """
    shared = _shared()
    parser = Parser(prog="capturectl", parents=[shared])
    parser.format_help = commands.usage  # type: ignore[method-assign]  # one text for all
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="print the version")
    found = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = set(words)
    for name in commands.names():
        if name in wanted:
            _add_command(found, name, shared)
        else:
            found.add_parser(name, add_help=False)
    return parser


def _add_command(found: argparse._SubParsersAction[Parser], name: str, shared: Parser) -> None:
    module = import_module(f"capturectl.cli.{name}")
    line = commands.summary(name)
    about = f"{line[0].upper()}{line[1:]}.\n\n{getattr(module, 'ABOUT', '')}".rstrip()
    examples = "".join(f"  {example}\n" for example in getattr(module, "EXAMPLES", ()))
    command = found.add_parser(
        name, description=about, parents=[shared], epilog=examples and f"examples:\n{examples}"
    )
    module.add_arguments(command)
    command.set_defaults(run=module.run)


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


# -- kinds of values --------------------------------------------------------------------------


def seconds(text: str) -> float:
    """Read a time for an option: a number of seconds that is not negative."""
    value = float(text)
    if not value >= 0:  # nor NaN
        raise argparse.ArgumentTypeError(f"{text} is no time")
    return value


def count(text: str) -> int:
    """Read a number of things: 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def rate(text: str) -> float:
    """Read frames a second, or a factor: more than nothing."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


# -- options that several commands have -------------------------------------------------------


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json to a command."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add -o to a command."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUTPUT",
        help="the output, such as HDMI-A-1 (default: the only one)",
    )


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add --source to a command."""
    parser.add_argument(
        "--source", choices=("writeback", "any"), default="writeback",
        help="where pixels may come from: what the display really shows, or also framebuffers "
        "that were read back (default: %(default)s; the test picture of `captured --pattern` "
        "counts as either, and its frames say pattern)",
    )  # fmt: skip


def sources_of(options: argparse.Namespace) -> Source:
    """Return what --source allows."""
    from capturectl.protocol import Source

    # A daemon that serves the pattern has no display that it could be taken for.
    allowed = Source.WRITEBACK | Source.PATTERN
    return allowed | Source.SCANOUT if options.source == "any" else allowed


def add_region(parser: argparse.ArgumentParser) -> None:
    """Add -g to a command."""
    from capturectl.region import parse_region

    def region(text: str) -> object:
        try:
            return parse_region(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    parser.add_argument(
        "-g", "--region", type=region, metavar='"X,Y WxH"',
        help="only this part of the picture, as slurp prints it",
    )  # fmt: skip


def add_wait_active(parser: argparse.ArgumentParser) -> None:
    """Add --wait-active to a command."""
    parser.add_argument(
        "--wait-active", type=seconds, default=0.0, metavar="SEC",
        help="wait so long for an output that is off, a card with another master, and a daemon "
        "that is not there yet",
    )  # fmt: skip


def socket_of(options: argparse.Namespace) -> str | None:
    """Return the socket of the command line; None leaves it to the library."""
    path: str | None = getattr(options, "socket", None)
    return path


def arguments_of(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """Return what a command takes, for manuals and completions."""
    return [a for a in parser._actions if a.help is not argparse.SUPPRESS]
