# SPDX-License-Identifier: MIT
"""Kinds of values, and options that several commands have.

Nothing here loads argparse: a plain command line is read without it (`plain`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from capturectl.protocol import Source

# -- kinds of values --------------------------------------------------------------------------


def seconds(text: str) -> float:
    """Read a time for an option: a number of seconds that is not negative."""
    value = float(text)
    if not value >= 0:  # nor NaN
        raise refusal(f"{text} is no time")
    return value


def count(text: str) -> int:
    """Read a number of things: 1 or more."""
    value = int(text)
    if value < 1:
        raise refusal(f"{text} is not 1 or more")
    return value


def rate(text: str) -> float:
    """Read frames a second, or a factor: more than nothing."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise refusal(f"{text} is not more than 0")
    return value


def refusal(why: str) -> Exception:
    """Return what a kind raises for a value that is none, with a sentence of its own."""
    import argparse

    return argparse.ArgumentTypeError(why)


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
            raise refusal(str(error)) from error

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
