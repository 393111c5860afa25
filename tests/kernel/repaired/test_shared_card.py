# SPDX-License-Identifier: MIT
"""Beside the program that owns the display, through its open card; and what it does meanwhile."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

import capturectl as library
from tests.support import kernel, picture
from tests.support.processes import (
    DaemonProcess,
    Lost,
    Process,
    SceneProcess,
    capturectl,
    program,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self


class Owner(SceneProcess):
    """The scene as a compositor would be: master, and never anything else."""

    def __init__(self) -> None:
        super().__init__("640x480@60", "--keep-master")

    @property
    def card(self) -> str:
        """Its open card, as --share takes it."""
        return f"{self.pid}:{self.tell('hold')['fd']}"


@pytest.fixture
def owner() -> Iterator[Owner]:
    with Owner() as process:
        yield process


@pytest.fixture
def shared(owner: Owner, start: Callable[..., DaemonProcess]) -> DaemonProcess:
    return start("--share", owner.card)


def numbers(frame: library.Frame) -> set[int | None]:
    """The frame numbers that stand in the corners of every layer."""
    seen = frame.array[:, :, 2::-1]
    return {
        picture.read_stamp(seen, layer.x + x, layer.y + y)
        for layer in picture.layers_for(frame.width, frame.height)
        for x, y in picture.mark_places(layer.width, layer.height)
    }


class Watcher:
    """A client that takes every frame, in a thread, and notes what it sees."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.frames: list[tuple[int, tuple[int, int], set[int | None]]] = []
        self.error: Exception | None = None
        self._daemon = daemon
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with (
                library.connect(str(self._daemon.socket)) as client,
                client.stream(timeout=20) as stream,
            ):
                for frame in stream:
                    size = frame.width, frame.height
                    self.frames.append((frame.sequence, size, numbers(frame)))
                    if self._stop.is_set():
                        return
        except Exception as error:
            self.error = error

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.frames or self.error, "the first frame")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def seen(self) -> set[int | None]:
        """Return the numbers that were in any frame so far."""
        return set().union(*(numbers for _, _, numbers in self.frames))

    def wait_for(self, width: int, number: int) -> None:
        """Wait for a frame of a width that shows a number everywhere."""
        wait_until(
            lambda: self.error or any(s[0] == width and n == {number} for _, s, n in self.frames),
            f"frame {number} at {width} pixels",
        )
        assert self.error is None


def test_a_display_is_captured_while_its_owner_stays_master(
    owner: Owner, shared: DaemonProcess
) -> None:
    for number in (1, 2, 3):
        owner.tell("frame", number)
        with library.connect(str(shared.socket)) as client, client.snapshot() as frame:
            assert numbers(frame) == {number}
    assert kernel.master_names() == ["python"]


@pytest.mark.slow
def test_a_mode_change_in_mid_stream_brings_frames_of_the_new_size(
    owner: Owner, shared: DaemonProcess
) -> None:
    with Watcher(shared) as watcher:
        owner.tell("frame", 5)
        watcher.wait_for(640, 5)
        owner.tell("mode", 800, 600, 60)
        owner.tell("frame", 6)
        watcher.wait_for(800, 6)
        owner.tell("mode", 640, 480, 60)
        owner.tell("frame", 7)
        watcher.wait_for(640, 7)
    assert {size for _, size, _ in watcher.frames} == {(640, 480), (800, 600)}
    sequences = [sequence for sequence, _, _ in watcher.frames]
    assert sequences == sorted(set(sequences))


@pytest.mark.slow
def test_an_output_that_goes_off_and_on_again_is_streamed_on(
    owner: Owner, shared: DaemonProcess
) -> None:
    with Watcher(shared) as watcher:
        owner.tell("frame", 5)
        watcher.wait_for(640, 5)
        owner.tell("off")
        wait_until(lambda: "is off" in shared.log(), "the daemon notices")
        wait_until(lambda: not kernel.is_attached(), "the connector is taken off")
        owner.tell("on")
        owner.tell("frame", 6)
        watcher.wait_for(640, 6)


@pytest.mark.slow
def test_a_mode_change_ends_a_film_after_a_whole_frame_and_says_so(
    owner: Owner, shared: DaemonProcess, tmp_path: Path
) -> None:
    file = tmp_path / "a.raw"
    line = [program("capturectl"), "-S", str(shared.socket), "stream", "-g", "0,0 64x64"]
    with subprocess.Popen([*line, str(file)], stderr=subprocess.PIPE, text=True) as streaming:
        wait_until(lambda: file.exists() and file.stat().st_size > 0, "a frame is written")
        owner.tell("mode", 800, 600, 60)
        _, said = streaming.communicate(timeout=30)
    assert streaming.returncode == 1
    assert "changed from 640x480 to 800x600" in said
    assert file.stat().st_size % (64 * 64 * 4) == 0


@pytest.mark.slow
def test_an_owner_may_put_the_display_out_once_it_went_off(
    owner: Owner, shared: DaemonProcess
) -> None:
    with Watcher(shared) as watcher:
        owner.tell("off")
        wait_until(lambda: not kernel.is_attached(), "the connector is taken off")
        assert "error" not in owner.tell("dark")
        owner.tell("mode", 800, 600, 60)
        owner.tell("frame", 9)
        watcher.wait_for(800, 9)


@pytest.mark.slow
@pytest.mark.parametrize("clients", [1, 8])
def test_no_frame_is_torn_or_out_of_order_while_the_owner_flips_all_its_planes(
    owner: Owner, start: Callable[..., DaemonProcess], clients: int
) -> None:
    """Every flip changes all planes at one vblank, so all stamps of a frame must agree.

    Drawing into what is scanned out would not do: then the glass itself is torn. There are buffers
    for all that the clients may hold, so that none is cut off for reading at leisure.
    """
    shared = start("--share", owner.card, "--buffers", str(2 * clients + 4))
    with contextlib.ExitStack() as last:
        watchers = [last.enter_context(Watcher(shared)) for _ in range(clients)]
        number = 10
        while number < 40 or any(len(watcher.seen()) < 10 for watcher in watchers):
            assert [watcher.error for watcher in watchers] == [None] * clients
            owner.tell("flip", number)
            number += 1
        for watcher in watchers:
            watcher.wait_for(640, number - 1)
    for watcher in watchers:
        assert {size for _, size, _ in watcher.frames} == {(640, 480)}
        assert all(len(seen) == 1 and None not in seen for _, _, seen in watcher.frames)
        sequences = [sequence for sequence, _, _ in watcher.frames]
        assert sequences == sorted(set(sequences))
        shown = [number or 0 for _, _, seen in watcher.frames for number in seen]
        assert shown == sorted(shown)


@pytest.mark.slow
def test_when_the_daemon_ends_the_owner_has_its_display_as_it_was(
    owner: Owner, shared: DaemonProcess
) -> None:
    before = kernel.plane_state()
    with library.connect(str(shared.socket)) as client:
        client.snapshot().release()
        assert kernel.is_attached()
    shared.end()
    assert not kernel.is_attached()
    assert kernel.plane_state() == before
    assert kernel.is_active()
    assert "error" not in owner.tell("mode", 800, 600, 60)


@pytest.mark.slow
def test_an_output_that_goes_off_and_on_again_is_seen_by_those_who_look(
    owner: Owner, shared: DaemonProcess
) -> None:
    words = [program("capturectl"), "monitor", "-S", str(shared.socket)]
    with Process(words) as monitor, Watcher(shared) as watcher:
        next_event(monitor, "daemon-startup")
        owner.tell("off")
        wait_until(lambda: not kernel.is_attached(), "the connector is taken off")
        output = status(shared)
        assert (output["state"], output["engine"]["state"]) == ("off", "suspended")
        assert output["engine"]["last_error"]["code"] == "output-off"
        owner.tell("on")
        owner.tell("frame", 6)
        watcher.wait_for(640, 6)
        assert status(shared)["engine"]["state"] == "capturing"
        off, on = (next_event(monitor, "output-state") for _ in range(2))
    assert (off["output"], off["error"]["code"]) == ("Virtual-1", "output-off")
    assert (on["output"], on["error"]) == ("Virtual-1", None)


def status(daemon: DaemonProcess) -> dict[str, Any]:
    """Return what `status --json` says of the only output."""
    (output,) = json.loads(capturectl("status", "--json", socket=daemon.socket).stdout)["outputs"]
    found: dict[str, Any] = output
    return found


def next_event(monitor: Process, kind: str) -> dict[str, Any]:
    """Return the next event of a kind."""
    assert monitor.popen.stdout is not None
    for line in monitor.popen.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["kind"] == kind:
            return event
    raise Lost(f"no {kind}")
