# SPDX-License-Identifier: MIT
"""Captures some pictures through the daemon, so that it has losses and latencies to tell of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from capturectl.client import connect
from capturectl.doctor.service_checks import ENOUGH_CAPTURES
from capturectl.errors import CaptureError
from capturectl.protocol import Source, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from capturectl.client import Client
    from capturectl.output import Output

LONGEST_S = 10.0
_STEP_S = 5.0


def measure(socket: str | None, say: Callable[[str], object]) -> None:
    """Capture pictures of every display that is ready; what goes wrong shows in the checks.

    Args:
        socket: The daemon's; None takes the usual one.
        say: Told beforehand what is done: attaching may make the display flicker.
    """
    try:
        with connect(socket, name="capturectl doctor") as client:
            for output in client.outputs():
                if output.state == State.READY and output.source != Source.PATTERN:
                    say(f"capturing {ENOUGH_CAPTURES} pictures of {output.name}; it may flicker")
                    _capture(client, output)
    except CaptureError:
        return


def _capture(client: Client, output: Output) -> None:
    deadline = time.monotonic() + LONGEST_S
    with client.stream(output.name, timeout=_STEP_S) as stream:
        for number, _ in enumerate(stream, 1):
            if number == ENOUGH_CAPTURES or time.monotonic() > deadline:
                return
