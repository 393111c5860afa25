# SPDX-License-Identifier: MIT
"""Client library of captured: what is really on the glass, as numpy views of dma-bufs.

    import capturectl
    with capturectl.connect() as client, client.snapshot() as frame:
        print(frame.width, frame.height, frame.array[0, 0])

It never opens a card; all it needs is the daemon's socket.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.client import Client, connect
    from capturectl.conversation import Statistics
    from capturectl.errors import (
        CaptureBusyError,
        CaptureClosedError,
        CaptureError,
        CaptureLostError,
        CaptureTimeoutError,
        CaptureUnsupportedError,
        NoOutputError,
        NotAllowedError,
        OutputOffError,
        ProtocolError,
        UnreachableError,
        UsageError,
    )
    from capturectl.frame import Frame
    from capturectl.framestream import FrameStream
    from capturectl.output import Output
    from capturectl.protocol import Source, State
    from capturectl.version import VERSION as __version__  # noqa: N811 - its customary name

_HOMES = {
    "client": ("Client", "connect"),
    "conversation": ("Statistics",),
    "errors": (
        "CaptureBusyError",
        "CaptureClosedError",
        "CaptureError",
        "CaptureLostError",
        "CaptureTimeoutError",
        "CaptureUnsupportedError",
        "NoOutputError",
        "NotAllowedError",
        "OutputOffError",
        "ProtocolError",
        "UnreachableError",
        "UsageError",
    ),
    "frame": ("Frame",),
    "framestream": ("FrameStream",),
    "output": ("Output",),
    "protocol": ("Source", "State"),
}

__all__ = [  # noqa: RUF022 - the order of use
    "connect",
    "Client",
    "Output",
    "Frame",
    "FrameStream",
    "Statistics",
    "Source",
    "State",
    "CaptureError",
    "CaptureBusyError",
    "CaptureClosedError",
    "CaptureLostError",
    "CaptureTimeoutError",
    "CaptureUnsupportedError",
    "NoOutputError",
    "NotAllowedError",
    "OutputOffError",
    "ProtocolError",
    "UnreachableError",
    "UsageError",
    "__version__",
]


def __getattr__(name: str) -> object:
    # A command that prints its help must not wait for what a client needs, and `from capturectl
    # import protocol` asks here first.
    home = "version" if name == "__version__" else _home_of(name)
    if not home:
        raise AttributeError(f"module 'capturectl' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"capturectl.{home}")
    return getattr(module, "VERSION" if name == "__version__" else name)


def _home_of(name: str) -> str:
    return next((home for home, names in _HOMES.items() if name in names), "")
