# SPDX-License-Identifier: MIT
"""Errors on the wire: one table, read in both directions."""

from __future__ import annotations

from capturectl import errors
from capturectl.protocol import Error, ErrorCode, ErrorFlag, State, StateChange

_CLASSES: tuple[tuple[ErrorCode, type[errors.CaptureError]], ...] = (
    (ErrorCode.PROTOCOL, errors.ProtocolError),
    (ErrorCode.VERSION, errors.ProtocolError),
    (ErrorCode.DENIED, errors.NotAllowedError),
    (ErrorCode.NO_STREAM, errors.NoOutputError),
    (ErrorCode.OUTPUT_OFF, errors.OutputOffError),
    (ErrorCode.UNSUPPORTED, errors.CaptureUnsupportedError),
    (ErrorCode.FORMAT, errors.CaptureUnsupportedError),
    (ErrorCode.BUSY, errors.CaptureBusyError),
    (ErrorCode.CAPACITY, errors.CaptureBusyError),
    (ErrorCode.TIMEOUT, errors.CaptureTimeoutError),
    (ErrorCode.DEVICE_LOST, errors.CaptureLostError),
    (ErrorCode.SLOW, errors.CaptureLostError),
    (ErrorCode.STOPPED, errors.CaptureLostError),
    (ErrorCode.MODE_CHANGED, errors.CaptureLostError),
    (ErrorCode.INTERNAL, errors.CaptureError),
)
_BY_WORD = {
    "version": ErrorCode.VERSION,
    "format": ErrorCode.FORMAT,
    "capacity": ErrorCode.CAPACITY,
    "slow": ErrorCode.SLOW,
    "disconnected": ErrorCode.STOPPED,
    "mode-changed": ErrorCode.MODE_CHANGED,
}
"""Words that say more than the class of the error."""

_BY_CODE: dict[int, type[errors.CaptureError]] = dict(_CLASSES)


def words_of(error: errors.CaptureError | None) -> dict[str, str]:
    """Return code, reason and hint; all empty where nothing is wrong."""
    return error.as_dict() if error else {"code": "", "reason": "", "hint": ""}


def to_message(error: errors.CaptureError, *, fatal: bool = False) -> Error:
    """Return the ERROR that says the same."""
    code = _BY_WORD.get(error.code)
    if code is None:
        code = next(code for code, kind in _CLASSES if isinstance(error, kind))
    flags = ErrorFlag.FATAL if fatal else ErrorFlag(0)
    number = getattr(error.__cause__, "errno", None) or 0
    return Error(code, flags, number, error.code, error.reason, error.hint)


def from_state(state: StateChange) -> errors.CaptureError:
    """Return the exception that a STATE other than READY stands for."""
    kind = errors.OutputOffError if state.state == State.OFF else errors.CaptureLostError
    return kind(state.reason, state.hint, code=state.word)


def to_exception(message: Error) -> errors.CaptureError:
    """Return the exception that an ERROR stands for; unknown codes become CaptureError."""
    kind = _BY_CODE.get(message.code, errors.CaptureError)
    return kind(message.reason, message.hint, code=message.word)
