# SPDX-License-Identifier: MIT
"""capturectl snapshot: one picture into a file."""

from __future__ import annotations

import os
import sys
import time

from capturectl.cli.options import (
    add_json,
    add_output,
    add_region,
    add_source,
    add_wait_active,
    count,
    rate,
    seconds,
    socket_of,
    sources_of,
)
from capturectl.cli.output import print_json, write_file, write_stdout
from capturectl.cli.waiting import series, when_active
from capturectl.client import DEFAULT_TIMEOUT, connect
from capturectl.encode import KINDS, kind_of, take
from capturectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from capturectl.client import Client
    from capturectl.encode import Picture

ABOUT = """\
The file appears whole or not at all, and its path is printed. With --count,
%d or %03d in FILE is the picture's number, and other codes are strftime's:
glass-%F-%03d.png."""
EXAMPLES = (
    "capturectl snapshot glass.png",
    'capturectl snapshot -g "$(slurp)" --scale 0.5 - | display',
    "capturectl snapshot --count 60 --interval 1 glass-%03d.png",
)

STDOUT = "-"
FILES = {"file": "whole"}
_LONGEST_INTERVAL = 366 * 86400
_EXTENSIONS = {"jpeg": "jpg"}
_TEXTS = ("output", "source", "driver", "format", "region")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `snapshot` takes."""
    add_output(parser)
    parser.add_argument(
        "-t", "--type", choices=KINDS, help="file type (default: from FILE's extension, else png)"
    )
    add_region(parser)
    parser.add_argument(
        "--scale", type=rate, default=1.0, metavar="FACTOR",
        help="multiply the sides, such as 0.5 (box filter: means, or copies, of whole pixels)",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=count, metavar="N", help="so many pictures; FILE has their number"
    )
    parser.add_argument(
        "--interval", type=seconds, default=0.0, metavar="SEC",
        help="time from one of them to the next (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=seconds, default=DEFAULT_TIMEOUT, metavar="SEC",
        help="give a picture up after so many seconds (default: %(default)g)",
    )  # fmt: skip
    add_wait_active(parser)
    add_source(parser)
    add_json(parser)
    parser.add_argument(
        "file", nargs="?", metavar="FILE",
        help="where to write; - is standard output (default: OUTPUT-DATE-TIME.png here)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Capture, write the files, and print their paths; return 0."""
    kind = _kind(options)
    _check(options, kind)
    with connect(socket_of(options), timeout=options.timeout, wait=options.wait_active) as client:
        for number in series(options.count or 1, options.interval):
            picture = _capture(client, options, kind)
            path = options.file or _default_name(picture, numbered=options.count is not None)
            if options.count is not None:
                from capturectl.cli.names import expand

                path = expand(path, number, time.localtime())
            _write(picture, path, as_json=options.json)
    return 0


def _check(options: argparse.Namespace, kind: str) -> None:
    if options.json and options.file == STDOUT:
        raise UsageError("--json and - both want standard output", "give a file name")
    if kind == "raw" and options.scale != 1:
        raise UsageError("--scale cannot be had of raw pixels", "choose another -t")
    if options.interval > _LONGEST_INTERVAL:
        raise UsageError(f"--interval {options.interval:g} is too long", "a year is the longest")
    if options.count is None:
        if options.interval:
            raise UsageError("--interval is for several pictures", "give --count as well")
    elif options.file not in {None, STDOUT}:
        from capturectl.cli.names import has_number

        if not has_number(options.file):
            raise UsageError(
                f"{options.file} has no place for a number", "put %d or %03d into the name"
            )


def _capture(client: Client, options: argparse.Namespace, kind: str) -> Picture:
    sources = sources_of(options)
    frame = when_active(
        lambda: client.snapshot(options.output, timeout=options.timeout, sources=sources),
        options.wait_active,
    )
    with frame:
        picture = take(frame, kind, driver=client.driver, region=options.region)
    return picture if options.scale == 1 else picture.scaled(options.scale)


def _write(picture: Picture, path: str, *, as_json: bool) -> None:
    data = picture.encode()
    if path == STDOUT:
        write_stdout(data)
        return
    write_file(path, data)
    if as_json:
        print_json(_as_json(picture, path), "snapshot")
    else:
        print(path)
    sys.stdout.flush()  # of a series, each line is waited for


def words_there(options: argparse.Namespace) -> list[str]:
    """Return what FILE says of the picture, for a command that gets - in its place."""
    if options.count is not None:
        raise UsageError("--count and FILE cannot go through -H", "take them one by one")
    return [] if options.type else ["-t", _kind(options)]


def _kind(options: argparse.Namespace) -> str:
    name = os.path.basename(options.file or "")  # noqa: PTH119 - pathlib costs start-up time
    kind: str | None = options.type or kind_of(name)
    if kind is None and "." in name[1:]:
        raise UsageError(
            f"{options.file}: no file type of that extension", f"give -t {', -t '.join(KINDS)}"
        )
    return kind or "png"


def _default_name(picture: Picture, *, numbered: bool) -> str:
    name = f"{picture.texts['output']}-{time.strftime('%Y%m%d-%H%M%S')}"
    if numbered:
        name = name.replace("%", "%%") + "-%03d"
    return f"{name}.{_EXTENSIONS.get(picture.kind, picture.kind)}"


def _as_json(picture: Picture, path: str) -> dict[str, object]:
    known = {name: text for name, text in picture.texts.items() if name != "Software"}
    texts = {name: known.pop(name) for name in _TEXTS if name in known}
    numbers = {name: int(text) for name, text in known.items()}
    size = {"width": picture.width, "height": picture.height}
    return {"file": path, "type": picture.kind, **texts, **size, **numbers}
