# SPDX-License-Identifier: MIT
"""Gives a display back where no daemon is going to."""

from __future__ import annotations

from captured.output import WritebackOutput
from captured.reactor import Reactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.config import Config


def clean_up(settings: Config) -> int:
    """Take off what was left attached, as every start does; return 0.

    Raises:
        CaptureError: There is nothing to capture with, so nothing that could be given back.
        OSError: The card does not answer.
    """
    if settings.pattern or settings.share:
        return 0
    with Reactor() as reactor:
        output = WritebackOutput(0, settings._replace(missing="end"), reactor)
        try:
            output.open()
            output.start()
        finally:
            output.close()
    return 0
