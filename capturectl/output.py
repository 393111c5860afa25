# SPDX-License-Identifier: MIT
"""What the daemon says of one output."""

from __future__ import annotations

from capturectl import protocol
from capturectl.errors import ProtocolError
from capturectl.typed import NamedTuple


class Output(NamedTuple):
    """What the daemon says of one output."""

    stream: int
    """Its number on the wire."""
    name: str
    """"HDMI-A-1"."""
    state: protocol.State
    source: protocol.Source
    """Where its frames come from."""
    width: int
    """Pixels; 0 when it is off."""
    height: int
    refresh_mhz: int
    """Frames per 1000 seconds."""
    card: str
    writeback: str
    """The writeback connector's name."""
    connector_id: int
    crtc_id: int
    clients: int
    """Subscriptions it has."""
    fourccs: tuple[int, ...]
    """Pixel formats that it can have."""
    fourcc: int
    """The one it has now; 0 while nobody captures."""
    code: str
    """Why it is not ready, as a word; empty when it is."""
    reason: str
    hint: str
    clones: tuple[str, ...] = ()
    """The writeback connectors that may share its CRTC."""


def make_output(stream: int, described: protocol.Stream, fourccs: tuple[int, ...]) -> Output:
    """Return the output that STREAM and its FORMATs describe.

    Raises:
        ProtocolError: It is in a state that is not known here.
    """
    try:
        state = protocol.State(described.state)
    except ValueError as error:
        raise ProtocolError(
            f"{described.name} is in the unknown state {described.state}"
        ) from error
    return Output(
        stream,
        described.name,
        state,
        protocol.Source(described.source),
        described.width,
        described.height,
        described.refresh_millihertz,
        described.card,
        described.writeback,
        described.connector_id,
        described.crtc_id,
        described.clients,
        fourccs,
        described.fourcc,
        described.code,
        described.reason,
        described.hint,
        tuple(described.clones.split()),
    )
