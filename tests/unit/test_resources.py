# SPDX-License-Identifier: MIT
"""captured.drm.resources: what is read of a card whose connectors come and go."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import TYPE_CHECKING

import pytest

from captured.drm import libdrm, resources, uapi
from captured.drm.resources import read_plugs, read_resources
from tests.support import topology
from tests.support.fake_card import FakeCard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LISTED = (30, 31, 32)
"""Connectors, as GETRESOURCES lists them."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], FakeCard]]:
    """Make a card that fails with an errno for connector 31, listed a moment ago."""
    with FakeCard() as card:

        def make(code: int) -> FakeCard:
            def check(connector_id: int) -> None:
                if connector_id == 31:
                    raise OSError(code, os.strerror(code), "connector 31")

            @contextlib.contextmanager
            def fetched(
                getter: str, structure: type[ctypes.Structure], fd: int, *ids: int, what: str
            ) -> Iterator[ctypes.Structure]:
                answer = structure()
                if isinstance(answer, uapi.Resources):
                    listed = (ctypes.c_uint32 * len(LISTED))(*LISTED)
                    answer.connectors = ctypes.cast(listed, ctypes.POINTER(ctypes.c_uint32))
                    answer.count_connectors = len(LISTED)
                if isinstance(answer, uapi.Connector):
                    check(ids[0])
                    answer.connector_type, answer.connector_type_id = 10, ids[0]
                yield answer

            def read(card: FakeCard, connector_id: int, *, probe: bool) -> object:
                check(connector_id)
                return topology.connector(connector_id - 30, f"DP-{connector_id}", ())

            monkeypatch.setattr(libdrm, "fetched", fetched)
            monkeypatch.setattr(resources, "read_connector", read)
            return card

        yield make


def test_a_connector_that_has_gone_since_it_was_listed_is_left_out(
    hub: Callable[[int], FakeCard],
) -> None:
    card = hub(errno.ENOENT)
    assert [c.name for c in read_resources(card).connectors] == ["DP-30", "DP-32"]
    assert [plug.name for plug in read_plugs(card)] == ["DP-30", "DP-32"]


@pytest.mark.parametrize("read", [read_resources, read_plugs])
def test_a_card_that_has_gone_is_an_error(
    hub: Callable[[int], FakeCard], read: Callable[[FakeCard], object]
) -> None:
    with pytest.raises(OSError, match="connector 31") as caught:
        read(hub(errno.ENODEV))
    assert caught.value.errno == errno.ENODEV
