# SPDX-License-Identifier: MIT
"""A child made by fork, which has what its parent has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from capturectl import errors

if TYPE_CHECKING:
    from collections.abc import Callable

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
"""Newer Pythons warn where there are threads; the child here starts none and locks nothing."""


def status_of_child(act: Callable[[], object]) -> int:
    """Return the exit status of a forked child.

    It is 0 when all went well, 1 when it failed with CaptureClosedError, 2 with anything else.
    """
    pid = os.fork()
    if not pid:
        status = 2
        try:
            act()
            status = 0
        except errors.CaptureClosedError:
            status = 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
