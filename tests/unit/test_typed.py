# SPDX-License-Identifier: MIT
"""capturectl.typed.NamedTuple does what typing's does."""

from __future__ import annotations

import copy
import pickle
from typing import NamedTuple as Original

import pytest

from capturectl.typed import NamedTuple


class Point(NamedTuple):
    """A tuple of ours."""

    x: int
    y: int = 2

    @property
    def sum(self) -> int:
        """A method works."""
        return self.x + self.y


class Same(Original):
    """The same, of typing's."""

    x: int
    y: int = 2


class Nothing(NamedTuple):
    """No field at all."""


def test_it_is_a_tuple() -> None:
    assert Point(1, 3) == (1, 3)


def test_a_field_has_a_name_and_a_default() -> None:
    assert (Point(y=5, x=1).y, Point(1).y) == (5, 2)


def test_a_class_without_fields_is_an_empty_tuple() -> None:
    assert Nothing() == ()


def test_methods_see_the_fields() -> None:
    assert Point(1).sum == 3


@pytest.mark.parametrize(("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"z": 3})])
def test_wrong_fields_are_a_type_error_as_there(
    values: tuple[int, ...], named: dict[str, int]
) -> None:
    for kind in (Same, Point, Point):  # the second time its constructor is another
        with pytest.raises(TypeError):
            kind(*values, **named)


def test_a_copy_can_have_other_values() -> None:
    assert Point(1)._replace(y=7) == (1, 7)


def test_a_copy_has_no_other_fields() -> None:
    with pytest.raises(ValueError, match="z"):
        Point(1)._replace(z=7)  # type: ignore[call-arg]  # checkers know


def test_it_prints_like_the_original() -> None:
    assert repr(Point(1)) == repr(Same(1)).replace("Same", "Point")


@pytest.mark.parametrize("name", ["_fields", "_field_defaults", "__match_args__", "__slots__"])
def test_what_is_known_of_the_class_is_the_same(name: str) -> None:
    assert getattr(Point, name) == getattr(Same, name)


def test_it_is_as_large_as_the_original() -> None:
    assert Point(1).__sizeof__() == Same(1).__sizeof__()


def test_nothing_can_be_set() -> None:
    with pytest.raises(AttributeError):
        Point(1).x = 2  # type: ignore[misc]  # checkers know


def test_it_can_be_made_of_a_sequence_and_into_a_dictionary() -> None:
    assert Point._make([3, 4])._asdict() == {"x": 3, "y": 4}


def test_it_can_be_copied_and_pickled() -> None:
    assert (copy.copy(Point(1)), pickle.loads(pickle.dumps(Point(1)))) == ((1, 2), (1, 2))
