# SPDX-License-Identifier: MIT
"""captured.server.stream: what clients are told of an output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capturectl import protocol
from capturectl.errors import CaptureUnsupportedError, OutputOffError
from capturectl.fourcc import fourcc_code
from capturectl.protocol import Source, State
from captured.capture.engine import Engine, Settings
from captured.capture.pacing import Policy
from captured.server.stream import OutputLook, Stream
from tests.support.fakes import GEOMETRY, FakeClock, FakeSource, FakeSubscriber

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capturectl.errors import CaptureError

XR24, RG24 = fourcc_code("XR24"), fourcc_code("RG24")
CLONES = ("Writeback-1", "Writeback-2")
READY = OutputLook("HDMI-A-1", 31, 51, "Writeback-1", GEOMETRY, (RG24, XR24), None, CLONES)


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine("HDMI-A-1", FakeSource(), FakeClock(), Settings(), Policy())
    yield made
    made.close()


def described(engine: Engine, look: OutputLook) -> list[bytes]:
    return Stream(
        3, engine, Source.WRITEBACK, "/dev/dri/card1", lambda: look, lambda: XR24
    ).describe()


def state_of(engine: Engine, problem: CaptureError | None) -> protocol.Stream:
    return protocol.STREAM.unpack(described(engine, READY._replace(problem=problem))[0])


def test_an_output_is_described_by_stream_formats_and_done(engine: Engine) -> None:
    headers = [protocol.unpack_header(message) for message in described(engine, READY)]
    codes = [header.code for header in headers]
    assert codes == [0x8002, 0x8003, 0x8003, 0x8004]
    assert {header.stream for header in headers} == {3}


def test_a_stream_says_what_is_captured_and_how(engine: Engine) -> None:
    stream = protocol.STREAM.unpack(described(engine, READY)[0])
    assert (stream.name, stream.card, stream.writeback) == (
        "HDMI-A-1",
        "/dev/dri/card1",
        "Writeback-1",
    )
    assert (stream.width, stream.height, stream.refresh_millihertz) == (64, 32, 60_000)
    assert (stream.connector_id, stream.crtc_id, stream.source) == (31, 51, Source.WRITEBACK)
    assert stream.clones == "Writeback-1 Writeback-2"


def test_a_stream_says_how_many_subscriptions_it_has(engine: Engine) -> None:
    engine.subscribe(FakeSubscriber())
    assert protocol.STREAM.unpack(described(engine, READY)[0]).clients == 1


def test_formats_come_in_the_drivers_order_and_the_active_one_says_so(engine: Engine) -> None:
    formats = [protocol.FORMAT.unpack(message) for message in described(engine, READY)[1:-1]]
    assert [(entry.fourcc, entry.active) for entry in formats] == [(RG24, 0), (XR24, 1)]


def test_an_output_that_can_be_captured_is_ready(engine: Engine) -> None:
    stream = state_of(engine, None)
    assert (stream.state, stream.code, stream.reason) == (State.READY, "", "")


def test_a_dark_output_is_off_and_has_no_size(engine: Engine) -> None:
    problem = OutputOffError("HDMI-A-1 is off", "switch it on")
    dark = READY._replace(geometry=None, problem=problem)
    stream = protocol.STREAM.unpack(described(engine, dark)[0])
    assert (stream.state, stream.width, stream.height) == (State.OFF, 0, 0)
    assert (stream.code, stream.reason, stream.hint) == (
        "output-off",
        "HDMI-A-1 is off",
        "switch it on",
    )


def test_an_output_with_something_in_the_way_is_blocked_and_says_by_what(engine: Engine) -> None:
    stream = state_of(engine, CaptureUnsupportedError("no clones", code="clone-refused"))
    assert (stream.state, stream.code) == (State.BLOCKED, "clone-refused")
