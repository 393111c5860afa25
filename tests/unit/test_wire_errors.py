# SPDX-License-Identifier: MIT
"""Errors on the wire: what the daemon raises is what the client raises."""

from __future__ import annotations

import errno

import pytest

from capturectl import errors
from capturectl.protocol import ERROR, Error, ErrorCode, ErrorFlag
from capturectl.wire_errors import to_exception, to_message

TRAVEL = [
    errors.ProtocolError,
    errors.NotAllowedError,
    errors.NoOutputError,
    errors.OutputOffError,
    errors.CaptureUnsupportedError,
    errors.CaptureBusyError,
    errors.CaptureTimeoutError,
    errors.CaptureLostError,
    errors.CaptureError,
]

CODES = {
    ErrorCode.PROTOCOL: errors.ProtocolError,
    ErrorCode.VERSION: errors.ProtocolError,
    ErrorCode.DENIED: errors.NotAllowedError,
    ErrorCode.NO_STREAM: errors.NoOutputError,
    ErrorCode.FORMAT: errors.CaptureUnsupportedError,
    ErrorCode.CAPACITY: errors.CaptureBusyError,
    ErrorCode.SLOW: errors.CaptureLostError,
    ErrorCode.STOPPED: errors.CaptureLostError,
    ErrorCode.MODE_CHANGED: errors.CaptureLostError,
    ErrorCode.DEVICE_LOST: errors.CaptureLostError,
    ErrorCode.INTERNAL: errors.CaptureError,
    ErrorCode.UNSUPPORTED: errors.CaptureUnsupportedError,
    ErrorCode.OUTPUT_OFF: errors.OutputOffError,
    ErrorCode.TIMEOUT: errors.CaptureTimeoutError,
    ErrorCode.BUSY: errors.CaptureBusyError,
}


def over_the_wire(error: errors.CaptureError) -> errors.CaptureError:
    return to_exception(ERROR.unpack(ERROR.pack(to_message(error))))


@pytest.mark.parametrize("kind", TRAVEL, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_the_same_class(kind: type[errors.CaptureError]) -> None:
    assert type(over_the_wire(kind("it broke"))) is kind


@pytest.mark.parametrize("kind", TRAVEL, ids=lambda kind: kind.__name__)
def test_an_error_arrives_with_word_reason_and_hint(kind: type[errors.CaptureError]) -> None:
    error = kind("it broke", "mend it", code="special")
    assert over_the_wire(error).as_dict() == {
        "code": "special",
        "reason": "it broke",
        "hint": "mend it",
    }


@pytest.mark.parametrize("kind", [errors.UsageError, errors.CaptureClosedError])
def test_an_error_without_a_code_of_its_own_keeps_its_word(
    kind: type[errors.CaptureError],
) -> None:
    assert over_the_wire(kind("it broke")).code == kind.code


def test_the_table_here_has_every_error_code() -> None:
    assert set(CODES) == set(ErrorCode)


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_each_code_has_its_class(code: ErrorCode) -> None:
    assert type(to_exception(Error(code, 0, 0, "word", "why", ""))) is CODES[code]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ProtocolError("it broke", code="version"), ErrorCode.VERSION),
        (errors.CaptureUnsupportedError("it broke", code="format"), ErrorCode.FORMAT),
        (errors.CaptureBusyError("it broke", code="capacity"), ErrorCode.CAPACITY),
        (errors.CaptureLostError("it broke", code="slow"), ErrorCode.SLOW),
        (errors.CaptureLostError("it broke", code="mode-changed"), ErrorCode.MODE_CHANGED),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_a_word_that_says_more_than_the_class_has_its_own_code(
    error: errors.CaptureError, code: ErrorCode
) -> None:
    assert to_message(error).code == code


def test_an_unknown_code_is_a_capture_error() -> None:
    error = to_exception(Error(9999, 0, 0, "from-the-future", "it broke", ""))
    assert (type(error), error.code) == (errors.CaptureError, "from-the-future")


def test_the_kernels_errno_travels() -> None:
    error = errors.CaptureLostError("the card is gone")
    error.__cause__ = OSError(errno.ENODEV, "No such device")
    assert to_message(error).errno == 19


def test_an_error_without_a_cause_has_no_errno() -> None:
    assert to_message(errors.CaptureLostError("the card is gone")).errno == 0


def test_an_error_is_fatal_only_when_told() -> None:
    error = errors.ProtocolError("nonsense")
    flags = to_message(error).flags, to_message(error, fatal=True).flags
    assert flags == (0, ErrorFlag.FATAL)
