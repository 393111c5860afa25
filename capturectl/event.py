# SPDX-License-Identifier: MIT
"""Something that happened at the daemon."""

from __future__ import annotations

from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl import protocol


class Event(NamedTuple):
    """Something that happened at the daemon."""

    kind: int
    """A `protocol.EventKind`; a newer daemon's may be unknown here."""
    output: str
    """The output that it is about; empty when it is about none."""
    client: int
    """The client's number; 0 when it is about none."""
    name: str
    """What the client calls itself, or the output's name."""
    pid: int
    """Of the client's process, with its user."""
    uid: int
    sequence: int
    """Of the frame or capture that it is about; 0 when it is about none.

    Of EVENTS_LOST how many.
    """
    time_ns: int
    """CLOCK_MONOTONIC."""
    code: str
    """What is wrong, as a word; empty when nothing is."""
    reason: str
    hint: str


def make_event(output: str, said: protocol.Event) -> Event:
    """Return the event that an EVENT about an output tells of."""
    return Event(
        said.kind,
        output,
        said.client,
        said.name,
        said.pid,
        said.uid,
        said.sequence,
        said.time_ns,
        said.word,
        said.reason,
        said.hint,
    )
