# SPDX-License-Identifier: MIT
"""capturectl snapshot: one picture into a file."""

from __future__ import annotations

import os
import time

from capturectl.cli.options import add_json, add_output, seconds
from capturectl.cli.output import print_json, write_file, write_stdout
from capturectl.client import DEFAULT_TIMEOUT, connect
from capturectl.encode import KINDS, describe, encode, kind_of
from capturectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from capturectl.frame import Frame

STDOUT = "-"
FILES = {"file": "whole"}
_EXTENSIONS = {"jpeg": "jpg"}
_TEXT_FIELDS = ("output", "source", "driver", "format")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `snapshot` takes."""
    add_output(parser)
    parser.add_argument(
        "-t", "--type", choices=KINDS, help="file type (default: from FILE's extension, else png)"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=DEFAULT_TIMEOUT, metavar="SEC",
        help="give up after so many seconds (default: %(default)g)",
    )  # fmt: skip
    add_json(parser)
    parser.add_argument(
        "file", nargs="?", metavar="FILE",
        help="where to write; - is standard output (default: OUTPUT-DATE-TIME.png here)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Capture, write the file, and print its path; return 0."""
    kind = _kind(options)
    if options.json and options.file == STDOUT:
        raise UsageError("--json and - both want standard output", "give a file name")
    deadline = time.monotonic() + options.timeout
    with connect(getattr(options, "socket", None), timeout=options.timeout) as client:
        with client.snapshot(options.output, timeout=deadline - time.monotonic()) as frame:
            data = encode(frame, kind, driver=client.driver)
        path = options.file or _default_name(frame, kind)
        if path == STDOUT:
            write_stdout(data)
            return 0
        write_file(path, data)
        if options.json:
            print_json(_as_json(frame, client.driver, path, kind), "snapshot")
        else:
            print(path)
    return 0


def words_there(options: argparse.Namespace) -> list[str]:
    """Return what FILE says of the picture, for a command that gets - in its place."""
    return [] if options.type else ["-t", _kind(options)]


def _kind(options: argparse.Namespace) -> str:
    name = os.path.basename(options.file or "")  # noqa: PTH119 - pathlib costs start-up time
    kind: str | None = options.type or kind_of(name)
    if kind is None and "." in name[1:]:
        raise UsageError(
            f"{options.file}: no file type of that extension", f"give -t {', -t '.join(KINDS)}"
        )
    return kind or "png"


def _default_name(frame: Frame, kind: str) -> str:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return f"{frame.output}-{stamp}.{_EXTENSIONS.get(kind, kind)}"


def _as_json(frame: Frame, driver: str, path: str, kind: str) -> dict[str, object]:
    known = describe(frame, driver)
    del known["Software"]
    numbers = {name: int(text) for name, text in known.items() if name not in _TEXT_FIELDS}
    texts = {name: known[name] for name in _TEXT_FIELDS}
    size = {"width": frame.width, "height": frame.height, "missed": frame.missed}
    return {"file": path, "type": kind, **texts, **size, **numbers}
