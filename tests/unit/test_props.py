# SPDX-License-Identifier: MIT
"""captured.drm.props: properties of an object, by the kernel's names."""

from __future__ import annotations

import pytest

from captured.drm.ids import PropId
from captured.drm.props import Properties, Property

ROTATION = Property(PropId(7), "rotation", 4, ((1, "rotate-0"), (4, "rotate-180")))
PROPERTIES = Properties("plane 33", {"rotation": ROTATION})


def test_a_property_is_found_by_its_name() -> None:
    assert PROPERTIES["rotation"] is ROTATION
    assert PROPERTIES.value("rotation") == 4
    assert PROPERTIES.prop_id("rotation") == 7


def test_the_value_of_a_property_that_is_not_there_is_the_default() -> None:
    assert PROPERTIES.value("zpos", 3) == 3


def test_the_number_of_a_property_that_is_not_there_is_an_error_that_names_both() -> None:
    with pytest.raises(KeyError, match="plane 33 has no property zpos"):
        PROPERTIES.prop_id("zpos")


def test_an_enums_value_has_a_name() -> None:
    assert ROTATION.enum_name == "rotate-180"


def test_a_value_that_the_enum_does_not_list_has_none() -> None:
    assert ROTATION._replace(value=2).enum_name == ""


@pytest.mark.parametrize(
    ("value", "expected"), [(5, 5), (2**63 - 1, 2**63 - 1), (2**64 - 1, -1), (2**63, -(2**63))]
)
def test_a_signed_value_is_twos_complement(value: int, expected: int) -> None:
    assert ROTATION._replace(value=value).signed_value == expected
