# SPDX-License-Identifier: MIT
"""Where data goes: standard output, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import sys

from capturectl.errors import CaptureError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = "captured/1"


def print_json(fields: Mapping[str, object], kind: str) -> None:
    """Print one JSON object on one line, with the schema it follows.

    Args:
        fields: Its content.
        kind: What it describes; together with the version it is the schema's name.
    """
    import json

    require_stdout()
    sys.stdout.write(json.dumps({"schema": f"{SCHEMA}/{kind}", **fields}) + "\n")


def require_stdout() -> None:
    """Check that there is a standard output.

    Raises:
        CaptureError: It was closed before the command began.
    """
    if sys.stdout is None or not sys.stdout.writable():
        raise no_stdout()


def no_stdout() -> CaptureError:
    """Return the error for data that has nowhere to go."""
    return CaptureError(
        "standard output is closed",
        "open it, or give a file name to a command that takes one",
        code="stdout-closed",
    )


def forget_stdout() -> None:
    """Let go of a standard output that takes nothing any more.

    What is still buffered would fail once more at exit, with a traceback.
    """
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return  # it is no file
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def write_stdout(data: bytes) -> None:
    """Write binary data to standard output.

    Raises:
        CaptureError: It is a terminal, is closed, or its disk is full.
    """
    require_stdout()
    if sys.stdout.isatty():
        raise CaptureError(
            "standard output is a terminal", "redirect it, or give a file name", code="terminal"
        )
    try:
        _write_all(data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise write_error("standard output", error) from error


def _write_all(data: bytes) -> None:
    """Write all of it, also where standard output is unbuffered and takes a part at a time."""
    stdout, left = sys.stdout.buffer, memoryview(data)
    while left:
        try:
            # None: unbuffered, and somebody else has made the pipe non-blocking.
            written: int | None = stdout.write(left)
        except BlockingIOError as error:
            written = error.characters_written
        left = left[written or 0 :]
        if left and not written:
            _wait_writable()
    while True:
        try:
            stdout.flush()
        except BlockingIOError:
            _wait_writable()
        else:
            return


def _wait_writable() -> None:
    import select

    poller = select.poll()
    poller.register(sys.stdout.fileno(), select.POLLOUT)
    poller.poll()


def write_file(path: str, data: bytes) -> None:
    """Write a file that appears whole or not at all, in place of one of that name.

    A pipe or a device of that name is written to instead; a link is followed. SIGTERM and SIGHUP
    end the process when the file is whole.

    Raises:
        CaptureError: The directory or the disk does not take it; nothing is left behind.
    """
    try:
        mode = _mode_of(path)
        if mode is not None and not stat.S_ISREG(mode):
            with open(path, "wb") as special:  # noqa: PTH123 - as below
                special.write(data)
        else:
            with _held_back():
                _replace(os.path.realpath(path), data, mode)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise write_error(path, error) from error


def _mode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - as below
    except FileNotFoundError:
        return None


def _replace(path: str, data: bytes, mode: int | None) -> None:
    # pathlib and tempfile would do all this as well, and cost start-up time.
    directory = os.path.dirname(path)  # noqa: PTH120
    temporary = f"{directory}/.capture-{os.urandom(8).hex()}"
    try:
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:  # noqa: PTH123
            file.write(data)
            os.fchmod(fd, 0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Let signals that would end this process at once do so on leaving, and not before.

    No mask: that is a thread's own, and another thread, such as numpy's, would take the signal.
    """
    import signal

    came: list[int] = []
    held = [n for n in (signal.SIGHUP, signal.SIGTERM) if signal.getsignal(n) == signal.SIG_DFL]
    for number in held:
        signal.signal(number, lambda got, _: came.append(got))
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, signal.SIG_DFL)
        for got in came:
            signal.raise_signal(got)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_error(name: str, error: OSError) -> CaptureError:
    """Return the error for data that a file or standard output did not take."""
    return CaptureError(
        f"cannot write {name}: {error.strerror or error}",
        "make room or choose another place",
        code="not-written",
    )
