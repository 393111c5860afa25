# SPDX-License-Identifier: MIT
"""A card that comes and goes under the service: no root, a network of its own, a store of fds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from capturectl.protocol import State
from tests.support import module, service
from tests.support.processes import wait_until
from tests.support.units import journal

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_card(stopped: None) -> Iterator[None]:
    """The service was started while there was no card; it lights the display that comes."""
    module.remove()
    service.start()
    yield
    if not module.CARD_EVENT.exists():
        module.insert()


def wait_for_card(client: library.Client) -> None:
    wait_until(lambda: client.refresh()[0].state is not State.BLOCKED, "the card is served")


def wait_for_loss(client: library.Client) -> None:
    wait_until(lambda: client.refresh()[0].state is State.BLOCKED, "the card is gone")


def test_a_card_that_comes_goes_and_comes_back_is_served() -> None:
    with library.connect(str(service.SOCKET), wait=5) as client:
        assert client.output().code == "no-card"
        module.insert()
        wait_for_card(client)
        for _ in range(2):
            with client.snapshot() as frame:
                assert frame.width > 0
        module.announce_removal()
        wait_for_loss(client)
        module.remove()
        module.insert()
        wait_for_card(client)
        with client.snapshot() as frame:
            assert frame.width > 0
    assert "hotplug is not noticed" not in journal()
    assert "Traceback" not in journal()


def reload_driver() -> None:
    module.remove()
    module.insert()


def test_a_driver_can_be_unloaded_under_a_stream_though_the_manager_keeps_descriptors() -> None:
    module.insert()
    with (
        ThreadPoolExecutor() as pool,
        library.connect(str(service.SOCKET), wait=5) as client,
    ):
        wait_for_card(client)
        with client.stream(timeout=30) as stream:
            before, _ = next(stream).buffer_id
            pid = service.main_pid()
            reloaded = pool.submit(
                reload_driver
            )  # the client has to hear that its buffers are gone
            generation = next(g for g, _ in (f.buffer_id for f in stream) if g > before)
            reloaded.result()
    assert generation > before
    assert service.main_pid() == pid
