# SPDX-License-Identifier: MIT
"""A client of a test: streams until its input ends, looks at every frame, says what it saw.

    python -m tests.support.watcher SOCKET [look]

Prints "begun" after some frames, "gap" after each gap, and at the end a line of JSON.
"""

from __future__ import annotations

import json
import select
import sys
from typing import TYPE_CHECKING

import capturectl as library

if TYPE_CHECKING:
    from typing import Any

GAP = 5
"""Frames missed at once that are worth a word."""

STEADY = 30
"""Frames after which the start is over."""
WATCHED = 20
"""Frames in the beginning and after a gap whose pixels are looked at."""


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def numbers(frame: library.Frame) -> set[int | None]:
    """Return the frame numbers that stand in the corners of every layer."""
    from tests.support import picture  # and with it numpy, which most clients do without

    seen = frame.array[:, :, 2::-1]
    return {
        picture.read_stamp(seen, layer.x + x, layer.y + y)
        for layer in picture.layers_for(frame.width, frame.height)
        for x, y in picture.mark_places(layer.width, layer.height)
    }


def watch(stream: library.FrameStream, *, looks: bool) -> list[dict[str, Any]]:
    """Take frames until the input ends."""
    seen: list[dict[str, Any]] = []
    missed = watched_from = 0
    for frame in stream:
        if seen and frame.missed - missed >= GAP:
            watched_from = len(seen)
            say("gap")
        missed = frame.missed
        is_watched = looks and len(seen) - watched_from < WATCHED
        stamps = numbers(frame) if is_watched else ()
        seen.append({
            "sequence": frame.sequence, "missed": frame.missed, "buffer": frame.buffer_id,
            "commit_ns": frame.time_commit_ns, "done_ns": frame.time_done_ns,
            "stamps": sorted(-1 if stamp is None else stamp for stamp in stamps),
        })  # fmt: skip
        if len(seen) == STEADY:
            say("begun")
        if select.select([sys.stdin], [], [], 0)[0]:
            break
    return seen


def main() -> None:
    """Stream."""
    path, looks = sys.argv[1], "look" in sys.argv[2:]
    said: dict[str, Any] = {"error": None}
    with library.connect(path, name="watcher") as client:
        said["seen"] = []
        try:
            with client.stream(timeout=10) as stream:
                said["seen"] = watch(stream, looks=looks)
        except library.CaptureError as error:
            said["error"] = str(error)
        said["statistics"] = client.statistics()._asdict()
    say(json.dumps(said))


if __name__ == "__main__":
    main()
