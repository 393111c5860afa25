# SPDX-License-Identifier: MIT
"""The command: finds the subcommand, runs it, and turns errors into one line and a status."""

from __future__ import annotations

import os
import sys

from capturectl.cli.options import build_parser
from capturectl.errors import CaptureError, InterruptedByUser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run capturectl; return its exit status."""
    # Not list(): the command of that name becomes an attribute of this package.
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    try:
        options = build_parser(words).parse_args(words)
        status: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except CaptureError as error:
        return _report(error, "--json" in words)
    except KeyboardInterrupt:
        sys.stderr.write("\n" if sys.stderr.isatty() else "")
        return InterruptedByUser.exit_code
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
    if isinstance(error, BrokenPipeError):
        # What is still buffered would fail once more at exit, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CaptureError(
            "standard output is closed", "its reader has gone", code="stdout-closed"
        )
    name = f"{error.filename}: " if error.filename else ""
    return CaptureError(f"{name}{error.strerror or error}")
