# SPDX-License-Identifier: MIT
"""Getting another program's open card, when that program or the operator wants it so."""

from __future__ import annotations

import ctypes
import os

from capturectl.errors import CaptureUnsupportedError, NotAllowedError
from capturectl.fd import OwnedFd
from captured.drm.card import is_card

_PIDFD_GETFD = 438  # asm-generic/unistd.h; the same on every architecture


def borrow_card(where: str) -> OwnedFd:
    """Return a descriptor of the open file that another program has.

    Args:
        where: "FD", inherited from whoever started us, or "PID:FD", taken from a process.

    Ownership: the caller owns the fd; the open file stays the other's.

    Raises:
        NotAllowedError: EPERM, the process may not be looked into.
        CaptureUnsupportedError: no-share, there is no such descriptor, or it is no card.
        OSError: Any other errno.
    """
    pid, _, number = where.rpartition(":")
    try:
        fd = _take(int(pid), int(number)) if pid else OwnedFd(os.dup(int(number)), "shared card")
    except PermissionError as error:
        raise NotAllowedError(
            f"descriptor {number} of process {pid} may not be taken",
            "it needs CAP_SYS_PTRACE; or let that program hand it over",
        ) from error
    except (ProcessLookupError, OSError) as error:
        raise _no_share(where, os.strerror(error.errno or 0)) from error
    if not is_card(os.fstat(fd.fileno())):
        fd.close()
        raise _no_share(where, "it is not an open card")
    return fd


def _take(pid: int, number: int) -> OwnedFd:
    """Duplicate another process's descriptor.

    Kernel: pidfd_getfd(2), allowed where ptrace would be (PTRACE_MODE_ATTACH_REALCREDS).
    """
    with OwnedFd(os.pidfd_open(pid), f"process {pid}") as process:
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.syscall(_PIDFD_GETFD, process.fileno(), number, 0)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), f"pidfd_getfd {pid}:{number}")
        return OwnedFd(fd, "shared card")


def _no_share(where: str, reason: str) -> CaptureUnsupportedError:
    return CaptureUnsupportedError(
        f"cannot share the card of {where}: {reason}",
        "name an open card as FD or PID:FD; see /proc/PID/fd",
        code="no-share",
    )
