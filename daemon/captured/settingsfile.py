# SPDX-License-Identifier: MIT
"""One file of settings, read so that a daemon that runs can do it too: bounded, never waiting."""

from __future__ import annotations

import errno
import os
import stat
import tomllib

from capturectl.errors import UsageError
from capturectl.fd import OwnedFd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LARGEST = 1 << 18
_REACH = "captured's user has to reach it: mode 755 for directories and 644 for files"
_HINTS = {
    errno.EACCES: _REACH,
    errno.EPERM: _REACH,
    errno.ENOENT: "name another --config, or correct the link",
}


def read_file(file: str, *, is_once: bool) -> dict[str, Any]:
    """Read what is in a file.

    Args:
        file: Its path.
        is_once: Whether it may be a pipe, which is waited for and cannot be read again.

    Raises:
        UsageError: It cannot be read, is too large, or no TOML; the reason names it.
    """
    try:
        return tomllib.loads(_content(file, is_once=is_once).decode())
    except OSError as error:
        raise unreadable(file, error) from error
    except (ValueError, RecursionError) as error:  # of TOML, UTF-8, numbers, and of depth
        raise UsageError(f"{file}: {error}", "correct the file") from error


def _content(file: str, *, is_once: bool) -> bytes:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY
    # Opening a pipe that nobody writes to would wait.
    with OwnedFd(os.open(file, flags if is_once else flags | os.O_NONBLOCK), file) as owned:
        if not is_once and not stat.S_ISREG(os.fstat(owned.fileno()).st_mode):
            raise UsageError(f"{file} is no regular file", "it is read again at each reload")
        # A directory is refused here, and then open() would not close what it was given.
        with open(owned.fileno(), "rb", closefd=False) as opened:
            content = opened.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise UsageError(f"{file} is larger than {_LARGEST} bytes", "is it the right file?")
    return content


def unreadable(path: str, error: OSError) -> UsageError:
    """Return the error for a file or directory of settings that cannot be reached."""
    hint = _HINTS.get(error.errno or 0, "correct it, or remove it")
    return UsageError(f"{path}: {error.strerror}", hint)
