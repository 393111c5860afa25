# SPDX-License-Identifier: MIT
"""The command: finds the subcommand, runs it, and turns errors into one line and a status."""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from capturectl.errors import CaptureError
else:
    import _signal as signal  # `signal` makes enums of its numbers, which takes time

TIED = "CAPTURECTL_TIED"
"""In the environment of a command that `-H` started: see `tied`."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_HELP = (["-h"], ["--help"], ["help"])
_INTERRUPTED = 130
_PACKAGES = {"numpy": ("numpy", "python3-numpy"), "PIL": ("Pillow", "python3-pil")}
"""What may not be installed: module to its name, and to the package that Debian has it in."""


def entry() -> NoReturn:
    """Run capturectl as a process of its own.

    Nothing is open any more by then, so the interpreter need not be taken apart: three
    milliseconds. SIGINT may be blocked until here.
    """
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if sys.flags.no_site:
            from capturectl.cli import latesite

            latesite.install()
        if os.environ.pop(TIED, ""):  # children have another standard input
            from capturectl.cli import tied

            tied.tie()
        if isinstance(sys.stdout, io.TextIOWrapper):
            # The name of a file is any bytes, and must come out as it went in.
            is_utf8 = sys.stdout.encoding == "utf-8"
            sys.stdout.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")
            if sys.stdout.write_through:  # PYTHONUNBUFFERED: a write in part would pass for whole
                sys.stdout = _buffered(sys.stdout)
        status = main()
    except KeyboardInterrupt:
        status = _INTERRUPTED
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, AttributeError):  # main has said so, or they are closed
        pass
    os._exit(status)


def _buffered(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """Return the same with a buffer; the commands flush it where somebody waits for a line."""
    return open(
        stream.fileno(), "w", encoding=stream.encoding, errors=stream.errors, closefd=False
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run capturectl; return its exit status."""
    # Not list(): the command of that name becomes an attribute of this package.
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    if sys.stdout is None or sys.stderr is None:
        from capturectl.cli.closed import stand_in

        stand_in()
    try:
        if words in _HELP or not words:
            return _help(asked=bool(words))
        return _run(words)
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            sys.stderr.write("\n")
        return _INTERRUPTED


def _help(*, asked: bool) -> int:
    from capturectl.cli.commands import usage

    if not asked:
        sys.stderr.write(usage())
        return 2

    def run() -> int:
        sys.stdout.write(usage())
        return 0

    return _guarded(run, as_json=False)


def _run(words: list[str]) -> int:
    def run() -> int:
        options = _read(words)
        if hasattr(options, "host"):
            from capturectl.cli import remote

            return remote.run(options, words)
        status: int = options.run(options)
        return status

    return _guarded(run, as_json="--json" in words)


def _guarded(run: Callable[[], int], *, as_json: bool) -> int:
    """Run something to the last byte of its output; an error is one line and a status."""
    from capturectl.errors import CaptureError

    try:
        status = run()
        sys.stdout.flush()
    except CaptureError as error:
        return _report(error, as_json=as_json)
    except OSError as error:
        return _report(_system_error(error), as_json=as_json)
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        return _report(_not_installed(error.name), as_json=as_json)
    return status


def _read(words: list[str]) -> Any:  # noqa: ANN401 - argparse's, or one like it
    from capturectl.cli import plain

    try:
        return plain.read(words)
    except plain.NotPlain:
        from capturectl.cli.parser import build_parser

        return build_parser(words).parse_args(words)


def _report(error: CaptureError, *, as_json: bool) -> int:
    if as_json:
        report_as_json(error)
    from capturectl.cli.table import printable

    sys.stderr.write(f"capturectl: {printable(str(error))}\n")
    return error.exit_code


def report_as_json(error: CaptureError) -> None:
    """Print the object that a failure is with --json; nothing where that cannot be printed."""
    from capturectl.cli.output import forget_stdout, print_json
    from capturectl.errors import CaptureError

    try:
        print_json({"error": error.as_dict()}, "error")
        sys.stdout.flush()
    except (OSError, CaptureError):  # standard output may be what failed
        forget_stdout()


def _not_installed(module: str) -> CaptureError:
    from capturectl.errors import CaptureError

    name, package = _PACKAGES[module]
    return CaptureError(
        f"{name} is not installed for {sys.executable}",
        f"install it: Debian has it as {package}",
        code="not-installed",
    )


def _system_error(error: OSError) -> CaptureError:
    from capturectl.cli.output import forget_stdout, write_error
    from capturectl.errors import CaptureError

    if isinstance(error, BrokenPipeError):
        forget_stdout()
        return CaptureError(
            "standard output is closed", "its reader has gone", code="stdout-closed"
        )
    if error.errno in _FULL and not error.filename:  # every file has its name said
        forget_stdout()
        return write_error("standard output", error)
    try:
        sys.stdout.flush()
    except OSError:
        forget_stdout()  # that failed as well
    name = f"{error.filename}: " if error.filename else ""
    return CaptureError(f"{name}{error.strerror or error}")
