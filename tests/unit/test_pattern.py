# SPDX-License-Identifier: MIT
"""The pattern source: what it draws, and that nobody else can draw there."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest

from capturectl.errors import UsageError
from captured.capture.pattern import PatternMemory, PatternSource, parse_geometry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

GEOMETRY = parse_geometry("700x200@50")
BARS = [
    (192, 192, 192), (192, 192, 0), (0, 192, 192), (0, 192, 0),
    (192, 0, 192), (192, 0, 0), (0, 0, 192),
]  # fmt: skip


@pytest.fixture
def memory() -> Iterator[PatternMemory]:
    made = PatternMemory(GEOMETRY)
    yield made
    made.close()


def pixels(memory: PatternMemory) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    data = os.pread(memory.planes[0].dmabuf.fileno(), memory.size, 0)
    return np.frombuffer(data, np.uint8).reshape(200, 700, 4)[:, :, 2::-1]


def test_a_geometry_is_read_with_its_rate() -> None:
    assert GEOMETRY[:3] == (700, 200, 50_000)


def test_a_geometry_without_a_rate_has_60_hertz() -> None:
    assert parse_geometry("1920x1080").refresh_mhz == 60_000


@pytest.mark.parametrize(
    "text", ["", "x", "700", "700x", "0x0", "100x100", "700x200@0", "700x200@nan",
             "99999x99999", "700x200@2000", "-700x200"],
)  # fmt: skip
def test_what_is_no_geometry_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_geometry(text)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("255x48", "smaller than 256x48"),
        ("256x47", "smaller than 256x48"),
        ("256x48@0", "slower than 0.001 Hz"),
        ("256x48@-1", "slower than 0.001 Hz"),
        ("256x48@1001", "faster than 1000 Hz"),
        ("256x16385", "larger than 16384x16384"),
        ("256x48@inf", "not WxH or WxH@HZ"),
    ],
)
def test_what_is_wrong_with_a_geometry_is_said(text: str, wrong: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_geometry(text)
    assert caught.value.reason == f"pattern {text!r} is {wrong}"


@pytest.mark.parametrize("text", ["256x48@0.001", "16384x16384@1000"])
def test_a_geometry_at_the_limits_is_read(text: str) -> None:
    assert parse_geometry(text)


def test_seven_bars_stand_from_left_to_right(memory: PatternMemory) -> None:
    seen = pixels(memory)
    assert [tuple(seen[150, 100 * bar + 50]) for bar in range(7)] == BARS


def test_the_number_stands_in_the_top_rows_highest_bit_first(memory: PatternMemory) -> None:
    memory.draw(0xA5000001)
    bits = pixels(memory)[4, 4 : 32 * 8 : 8, 0] > 127
    assert int("".join(str(int(bit)) for bit in bits), 2) == 0xA5000001


def test_the_box_moves_and_leaves_the_bars_behind_it(memory: PatternMemory) -> None:
    memory.draw(10)
    assert tuple(pixels(memory)[110, 80]) == (255, 255, 255)
    memory.draw(50)
    assert tuple(pixels(memory)[110, 80]) == BARS[0]
    assert tuple(pixels(memory)[110, 400]) == (255, 255, 255)


def test_nobody_else_can_write_to_it(memory: PatternMemory) -> None:
    fd = memory.planes[0].dmabuf.fileno()
    with pytest.raises(PermissionError):
        mmap.mmap(fd, memory.size)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)


def test_the_daemon_still_can(memory: PatternMemory) -> None:
    memory.draw(1)
    before = pixels(memory).tobytes()
    memory.draw(2)
    assert pixels(memory).tobytes() != before


def refuse(*arguments: object) -> NoReturn:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


@pytest.mark.parametrize(("module", "call"), [(os, "ftruncate"), (mmap, "mmap"), (fcntl, "fcntl")])
def test_memory_that_is_refused_half_way_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, call: str
) -> None:
    monkeypatch.setattr(module, call, refuse)
    with pytest.raises(OSError, match="memory") as caught:
        PatternMemory(GEOMETRY)
    assert caught.value.errno == errno.ENOMEM


def test_poison_is_gone_once_a_picture_is_drawn(memory: PatternMemory) -> None:
    memory.poison()
    assert memory.is_poisoned()
    memory.draw(3)
    assert not memory.is_poisoned()


def test_a_capture_is_due_at_the_next_frame_of_the_clock() -> None:
    source = PatternSource(GEOMETRY)
    source.attach()
    memory = source.allocate()
    try:
        fence = source.commit(memory, 1)
        assert fence.wait(5)
        (status, done_ns), vblank = fence.read_result(), source.vblank_of(1)
    finally:
        memory.close()
        source.detach()
    assert status == 1
    assert done_ns % 20_000_000 == 0
    assert vblank == (done_ns // 20_000_000, done_ns)


def test_a_capture_is_pending_until_then() -> None:
    source = PatternSource(parse_geometry("700x200@0.01"))
    source.attach()
    memory = source.allocate()
    try:
        assert source.commit(memory, 1).read_result() == (0, 0)
    finally:
        memory.close()
        source.detach()
