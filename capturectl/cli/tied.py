# SPDX-License-Identifier: MIT
"""A command that was started from another machine ends when whoever started it does.

ssh without a terminal lets a command run on that has nothing to write: one that waits for events
would be there until the next one. So `-H` keeps its end of standard input open for as long as it
lives, and its command there ends with that.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal


def tie() -> None:
    """End this process when the other end of standard input is closed, or writes.

    Kernel: with O_ASYNC a pipe or socket sends SIGIO when its peer goes (fs/pipe.c, pipe_release;
    net/unix/af_unix.c, unix_release_sock). What SIGIO does by default is to end the process.
    """
    try:
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        return  # there is no standard input
    poller = select.poll()
    poller.register(0, 0)
    if poller.poll(0):  # it went before that
        os.kill(os.getpid(), signal.SIGIO)
