# SPDX-License-Identifier: MIT
"""What can go wrong, in one vocabulary for the library, the wire, the command and the log.

Every error has a stable word (`code`), a sentence (`reason`) and the next step (`hint`).
Kernel errors that we do not understand stay `OSError`, with the object's name as filename.
"""

from __future__ import annotations


class CaptureError(Exception):
    """Base of the errors that this project raises itself.

    Attributes:
        code: A stable word for programs, the same on the wire and in JSON.
        reason: One sentence for people: what happened, to which object.
        hint: One sentence: what to do next. May be empty.
        exit_code: What `capturectl` exits with.
    """

    code = "failed"
    exit_code = 1

    def __init__(self, reason: str, hint: str = "", *, code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.reason}: {self.hint}" if self.hint else self.reason

    def as_dict(self) -> dict[str, str]:
        """Return the error object of the JSON contract: code, reason, hint."""
        return {"code": self.code, "reason": self.reason, "hint": self.hint}


class CaptureClosedError(CaptureError):
    """You closed it and used it afterwards."""

    code = "closed"


class CaptureLostError(CaptureError):
    """The outside took it: card gone, master lost, daemon hung up. The cause is chained."""

    code = "lost"


class CaptureBusyError(CaptureError):
    """Somebody else is using it; it may be free later."""

    code = "busy"


class CaptureUnsupportedError(CaptureError):
    """This card, output or pixel format cannot do it; trying again does not help."""

    code = "unsupported"
    exit_code = 4


class CaptureTimeoutError(CaptureError, TimeoutError):
    """The deadline passed."""

    code = "timeout"
    exit_code = 6


class ProtocolError(CaptureError):
    """The peer sent nonsense; the connection is gone."""

    code = "protocol"


class UnreachableError(CaptureError):
    """No daemon answers on the socket."""

    code = "unreachable"
    exit_code = 3


class NoOutputError(CaptureError, LookupError):
    """There is no output of that name."""

    code = "no-output"
    exit_code = 4


class OutputOffError(CaptureError):
    """The output's CRTC is not active, so there is nothing on the glass."""

    code = "output-off"
    exit_code = 5


class NotAllowedError(CaptureError, PermissionError):
    """The kernel or the daemon's policy forbids it."""

    code = "not-allowed"
    exit_code = 7


class UsageError(CaptureError):
    """The call cannot be right, whatever the machine."""

    code = "usage"
    exit_code = 2


class InterruptedByUser(CaptureError):  # noqa: N818 - it is a wish, not an error
    """Ctrl-C arrived before the work was finished."""

    code = "interrupted"
    exit_code = 130
