# SPDX-License-Identifier: MIT
"""Standard output and standard error that were closed before the command began (`>&-`)."""

from __future__ import annotations

import io
import os
import sys

from capturectl.cli.output import no_stdout


class ClosedOutput(io.TextIOBase):
    """Standard output where there is none: data that is written to it has nowhere to go."""

    def write(self, text: str) -> int:
        """Refuse.

        Raises:
            CaptureError: stdout-closed, unless there is nothing to write.
        """
        if text:
            raise no_stdout()
        return 0

    @property
    def buffer(self) -> io.BufferedIOBase:
        """Refuse binary data as well."""
        raise no_stdout()


def stand_in() -> None:
    """Take the place of what is closed, so that nobody need ask.

    The descriptors are taken too: the next file that is opened would get the number, and
    a child's messages would land in it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Opening takes the lowest number that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - a descriptor, kept
