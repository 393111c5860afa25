# SPDX-License-Identifier: MIT
"""The command: finds the subcommand, runs it, and turns errors into one line and a status."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from capturectl.errors import CaptureError

_HELP = (["-h"], ["--help"], ["help"])
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run capturectl; return its exit status."""
    # Not list(): the command of that name becomes an attribute of this package.
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    if words in _HELP or not words:
        return _help(asked=bool(words))
    try:
        return _run(words)
    except KeyboardInterrupt:
        if sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write("\n")
        return _INTERRUPTED


def _help(*, asked: bool) -> int:
    from capturectl.cli.commands import usage

    if not asked:
        sys.stderr.write(usage())
        return 2
    try:
        sys.stdout.write(usage())
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    return 0


def _run(words: list[str]) -> int:
    from capturectl.errors import CaptureError

    try:
        from capturectl.cli.options import build_parser

        options = build_parser(words).parse_args(words)
        status: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except CaptureError as error:
        return _report(error, "--json" in words)
    except OSError as error:
        return _report(_system_error(error), "--json" in words)
    return status


def _report(error: CaptureError, as_json: bool) -> int:
    if as_json and sys.stdout is not None:
        from capturectl.cli.output import print_json

        print_json({"error": error.as_dict()}, "error")
    sys.stderr.write(f"capturectl: {error}\n")
    return error.exit_code


def _system_error(error: OSError) -> CaptureError:
    from capturectl.errors import CaptureError

    if isinstance(error, BrokenPipeError):
        _forget_stdout()
        return CaptureError(
            "standard output is closed", "its reader has gone", code="stdout-closed"
        )
    name = f"{error.filename}: " if error.filename else ""
    return CaptureError(f"{name}{error.strerror or error}")


def _forget_stdout() -> None:
    """What is still buffered would fail once more at exit, with a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
