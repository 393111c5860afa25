# SPDX-License-Identifier: MIT
"""The order of the tests of a driver that is out of step for good once it has lost a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the doctor last: it needs a driver that loses, others one that has not lost yet."""
    items.sort(key=lambda item: "kernel/lossy/test_doctor" in item.nodeid)
