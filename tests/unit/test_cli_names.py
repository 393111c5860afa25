# SPDX-License-Identifier: MIT
"""File names with a number and the time in them."""

from __future__ import annotations

import time

import pytest

from capturectl.cli.names import expand, has_number

NOON = time.strptime("2024-02-29 12:00:05", "%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize("name", ["%d.png", "a-%03d", "%%%d", "%H-%5d", "%d%d"])
def test_a_name_with_a_number(name: str) -> None:
    assert has_number(name)


@pytest.mark.parametrize("name", ["", "a.png", "%", "%%d", "%F", "100%", "%03x", "d", "%1000d"])
def test_a_name_without_one(name: str) -> None:
    assert not has_number(name)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("a-%d.png", "a-7.png"),
        ("a-%03d.png", "a-007.png"),
        ("%d-%02d", "7-07"),
        ("%F-%H%M%S-%03d.png", "2024-02-29-120005-007.png"),
        ("100%%-%d", "100%-7"),
        ("%%d-%d", "%d-7"),
    ],
)
def test_number_and_time_are_put_in(template: str, name: str) -> None:
    assert expand(template, 7, NOON) == name


def test_a_number_longer_than_its_place_is_whole() -> None:
    assert expand("%03d", 12345, NOON) == "12345"
