# SPDX-License-Identifier: MIT
"""The package `capturectl`: its public names, loaded when they are used."""

from __future__ import annotations

import pytest

import capturectl
import capturectl.client
import capturectl.errors
from capturectl.version import VERSION


@pytest.mark.parametrize("name", capturectl.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(capturectl, name)


def test_a_public_name_is_the_modules_own() -> None:
    assert capturectl.connect is capturectl.client.connect


def test_every_error_that_a_call_can_raise_is_public() -> None:
    internal = {"InterruptedByUser"}
    classes = {name for name in vars(capturectl.errors) if name.endswith(("Error", "User"))}
    assert classes - internal <= set(capturectl.__all__)


def test_the_version_is_the_one_in_the_version_module() -> None:
    assert capturectl.__version__ == VERSION


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'capturectl' has no attribute 'Camera'"):
        _ = capturectl.Camera
