# SPDX-License-Identifier: MIT
"""The command line: what every command shares, and one module for each command."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "list": "show the outputs that can be captured",
    "snapshot": "capture one picture of an output into a file",
}
"""Command to its line in the help; the module of that name has the rest."""

_EPILOG = """\
exit status:
  0 done  1 failed  2 usage  3 daemon not reachable  4 no such output or not capturable
  5 output is off  6 timeout  7 not allowed  130 interrupted
"""


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser for a command line.

    Args:
        words: The command line. Only the module of a command that stands in it is imported.
    """
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "-S", "--socket", metavar="SOCKET", default=argparse.SUPPRESS,
        help="the daemon's socket (default: $CAPTURECTL_SOCKET, else /run/captured/captured.sock)",
    )  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="capturectl",
        description="See what is really on the glass of this device.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=f"{line}.", parents=[shared])
        if name in words:
            module = import_module(f"capturectl.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


class _VersionAction(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, *unused: object, **also_unused: object
    ) -> None:
        from capturectl.version import VERSION

        sys.stdout.write(f"capturectl {VERSION}\n")
        parser.exit()


def seconds(text: str) -> float:
    """Read a time for an option: a number of seconds that is not negative."""
    value = float(text)
    if not value >= 0:  # nor NaN
        raise argparse.ArgumentTypeError(f"{text} is no time")
    return value


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
