# SPDX-License-Identifier: MIT
"""Where data goes: standard output, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile

from capturectl.errors import CaptureError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "captured/1"


def print_json(fields: Mapping[str, object], kind: str) -> None:
    """Print one JSON object on one line, with the schema it follows.

    Args:
        fields: Its content.
        kind: What it describes; together with the version it is the schema's name.
    """
    import json

    sys.stdout.write(json.dumps({"schema": f"{SCHEMA}/{kind}", **fields}) + "\n")


def write_stdout(data: bytes) -> None:
    """Write binary data to standard output.

    Raises:
        CaptureError: It is a terminal, is closed, or its disk is full.
    """
    if sys.stdout is None:
        raise CaptureError("standard output is closed", "give a file name", code="stdout-closed")
    if sys.stdout.isatty():
        raise CaptureError(
            "standard output is a terminal", "redirect it, or give a file name", code="terminal"
        )
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _write_error("standard output", error) from error


def write_file(path: str, data: bytes) -> None:
    """Write a file that appears whole or not at all, in place of one of that name.

    A pipe or a device of that name is written to instead; a link is followed.

    Raises:
        CaptureError: The directory or the disk does not take it; nothing is left behind.
    """
    try:
        path = os.path.realpath(path)
        if os.path.lexists(path) and not os.path.isfile(path):  # noqa: PTH113 - as below
            with open(path, "wb") as special:  # noqa: PTH123 - as below
                special.write(data)
        else:
            _replace(path, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _write_error(path, error) from error


def _replace(path: str, data: bytes) -> None:
    # pathlib would do all this as well, and costs start-up time.
    fd, temporary = tempfile.mkstemp(prefix=".capture-", dir=os.path.dirname(path))  # noqa: PTH120
    try:
        with open(fd, "wb") as file:  # noqa: PTH123
            file.write(data)
            os.fchmod(fd, 0o666 & ~_umask())
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_error(name: str, error: OSError) -> CaptureError:
    return CaptureError(
        f"cannot write {name}: {error.strerror or error}",
        "make room or choose another place",
        code="not-written",
    )
