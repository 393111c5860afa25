# SPDX-License-Identifier: MIT
"""Where the daemon's program is, for commands that ask it about this machine."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def find_captured() -> str:
    """Return the daemon's program: the one that belongs to this command, else the first in PATH.

    Empty if there is none. Debian gives an ordinary user no sbin in PATH.
    """
    import shutil

    for directory in _own_directories():
        if found := shutil.which(f"{directory}/captured"):
            return found
    return shutil.which("captured") or ""


def _own_directories() -> Iterator[str]:
    """Yield where installers put the daemon: beside the command, or in the sbin of its prefix."""
    # pathlib would do this as well, and cost start-up time.
    if os.sep not in sys.argv[0]:  # `python -c`: a virtual environment is known by its link
        yield os.path.dirname(sys.executable)  # noqa: PTH120
        return
    home = os.path.dirname(os.path.realpath(sys.argv[0]))  # noqa: PTH120
    yield home
    yield f"{os.path.dirname(home)}/sbin"  # noqa: PTH120
    yield os.path.dirname(os.path.abspath(sys.argv[0]))  # noqa: PTH100, PTH120
