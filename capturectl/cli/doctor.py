# SPDX-License-Identifier: MIT
"""capturectl doctor: what can be captured on this machine, and why not."""

from __future__ import annotations

import sys

from capturectl.cli.doctor_text import as_json, lines
from capturectl.cli.options import add_json, socket_of
from capturectl.cli.output import print_json, require_stdout, write_file
from capturectl.cli.table import columns
from capturectl.doctor.examination import examine, summary
from capturectl.doctor.gather import gather
from capturectl.doctor.measure import measure
from capturectl.doctor.verdict import exit_status
from capturectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from capturectl.doctor.facts import Facts

ABOUT = """\
Looks at cards, service and socket, and says of each step from the display to a picture whether
it works; for what does not, what to do. Nothing is attached and the display is left alone, but
for --measure. Works without the daemon and without root as far as it can; SKIP says what could
not be seen. A FAIL is a cause: what follows from it is a SKIP.

The exit status is 0 when captures work, else that of the first FAIL."""

EXAMPLES = (
    "sudo capturectl doctor",
    "capturectl doctor --measure",
    "sudo capturectl doctor --report doctor.txt",
)


FILES = {"report": "report"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `doctor` takes."""
    add_json(parser)
    parser.add_argument(
        "--measure", action="store_true",
        help="capture some pictures first, to see losses and latency; the display may flicker",
    )  # fmt: skip
    parser.add_argument(
        "--report", metavar="FILE",
        help="write all that was seen to a file to send along ('-': standard output): no "
        "pictures, and without names of users and hosts, serial numbers and addresses",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Print the checks; return the exit status that they stand for."""
    require_stdout()
    if options.report == "-" and options.json:
        raise UsageError("--json and --report - both want standard output", "name a file")
    if options.measure:
        measure(socket_of(options), _say)
    facts = gather(socket_of(options))
    checks = examine(facts)
    sentence = summary(facts, checks)
    if options.report:
        _report(options.report, facts, lines(checks, sentence, None))
    if options.json:
        print_json(as_json(checks, sentence), "doctor")
    elif options.report != "-":
        print("\n".join(lines(checks, sentence, columns())))
    return exit_status(checks)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _report(path: str, facts: Facts, checks: Iterable[str]) -> None:
    from capturectl.doctor.report import write

    text = write(facts, "\n".join(checks))
    if path == "-":
        sys.stdout.write(text)
    else:
        write_file(path, text.encode())
        _say(f"{path} is written; read it before you send it")
