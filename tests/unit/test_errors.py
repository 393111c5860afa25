# SPDX-License-Identifier: MIT
"""Errors: one vocabulary, with a word, a sentence, a next step and an exit status."""

from __future__ import annotations

import inspect

import pytest

from capturectl import errors

TABLE: dict[type[errors.CaptureError], tuple[str, int]] = {
    errors.CaptureError: ("failed", 1),
    errors.CaptureClosedError: ("closed", 1),
    errors.CaptureLostError: ("lost", 1),
    errors.CaptureBusyError: ("busy", 1),
    errors.CaptureUnsupportedError: ("unsupported", 4),
    errors.CaptureTimeoutError: ("timeout", 6),
    errors.ProtocolError: ("protocol", 1),
    errors.UnreachableError: ("unreachable", 3),
    errors.NoOutputError: ("no-output", 4),
    errors.OutputOffError: ("output-off", 5),
    errors.NotAllowedError: ("not-allowed", 7),
    errors.UsageError: ("usage", 2),
    errors.InterruptedByUser: ("interrupted", 130),
}


def test_the_table_here_has_every_error_class() -> None:
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass)}
    assert classes == set(TABLE)


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_each_class_has_its_word_and_exit_status(kind: type[errors.CaptureError]) -> None:
    error = kind("it broke")
    assert (error.code, error.exit_code) == TABLE[kind]


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_text_is_reason_and_hint(kind: type[errors.CaptureError]) -> None:
    assert str(kind("it broke", "mend it")) == "it broke: mend it"


def test_text_without_a_hint_is_the_reason_alone() -> None:
    assert str(errors.CaptureError("it broke")) == "it broke"


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_json_object_has_code_reason_and_hint(kind: type[errors.CaptureError]) -> None:
    error = kind("it broke", "mend it", code="special")
    assert error.as_dict() == {"code": "special", "reason": "it broke", "hint": "mend it"}


def test_a_special_code_stays_with_its_instance() -> None:
    errors.CaptureBusyError("in use", code="subscribed")
    assert errors.CaptureBusyError("in use").code == "busy"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.CaptureTimeoutError, TimeoutError),
        (errors.NoOutputError, LookupError),
        (errors.NotAllowedError, PermissionError),
    ],
)
def test_it_is_caught_as_the_builtin_of_the_same_meaning(
    kind: type[errors.CaptureError], builtin: type[Exception]
) -> None:
    with pytest.raises(builtin):
        raise kind("it broke", "mend it")


def test_not_allowed_does_not_take_its_reason_for_an_errno() -> None:
    assert errors.NotAllowedError("it broke", "mend it").errno is None
