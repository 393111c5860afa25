# SPDX-License-Identifier: MIT
"""The card goes and comes back, displays are plugged: clients hear of it, frames go on."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from capturectl import protocol
from capturectl.errors import CaptureBusyError, CaptureTimeoutError, CaptureUnsupportedError
from capturectl.protocol import EventKind, State
from captured.drm.card import Card
from tests.support import kernel, module
from tests.support.fds import open_fds
from tests.support.processes import (
    START_TIMEOUT,
    DaemonProcess,
    SceneProcess,
    capturectl,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capturectl.client import Client
    from capturectl.framestream import FrameStream
    from capturectl.transport import Packet

ROUNDS = 20
STORM = 1000
SLICES, SLICE_S = 50, 0.25


@pytest.fixture(autouse=True)
def _card_again() -> Iterator[None]:
    """Leave the card as it was for the tests that follow."""
    yield
    if not Path(kernel.CARD).exists():
        module.insert()
    module.CONNECTOR.write_text("detect")


def take(stream: FrameStream, count: int) -> list[tuple[int, int]]:
    """Take so many frames, however long they take; return each one's generation and sequence.

    A stream's timeout is how often a test looks whether the daemon has said why none come.
    """
    taken: list[tuple[int, int]] = []
    begun = time.monotonic()
    while len(taken) < count:
        try:
            frame = next(stream)
        except CaptureTimeoutError:
            if time.monotonic() - begun > START_TIMEOUT:
                raise AssertionError(f"no frames: {stream.problem}") from None
        else:
            taken.append((frame.buffer_id[0], frame.sequence))
    return taken


def wait_for_problem(stream: FrameStream, code: str) -> None:
    """Take what comes until the daemon says that nothing more does."""
    begun = time.monotonic()
    while time.monotonic() - begun < START_TIMEOUT:
        try:
            next(stream)
        except CaptureTimeoutError:
            if stream.problem is not None and stream.problem.code == code:
                return
    raise AssertionError(f"no STATE {code}, but {stream.problem}")


def state_of(client: Client) -> tuple[State, str]:
    (output,) = client.refresh()
    return output.state, output.code


# -- the card ---------------------------------------------------------------------------------


def test_a_card_that_goes_and_comes_back_is_served_again_to_who_was_streaming(
    start: Callable[..., DaemonProcess],
) -> None:
    scene = SceneProcess()
    daemon = start()
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=0.5) as stream:
        watch = Watch(client)
        before = take(stream, 5)
        scene.__exit__(None, None, None)
        module.announce_removal()
        wait_for_problem(stream, "no-card")
        module.remove()
        assert stream.output.state is State.BLOCKED
        module.insert()
        with SceneProcess():
            after = take(stream, 35)
    assert watch.states[0] == (State.BLOCKED, "no-card")
    assert watch.states[-1] == (State.READY, "")
    assert {generation for generation, _ in after}.isdisjoint({g for g, _ in before})
    assert after[0][1] > before[-1][1]
    assert daemon.popen.poll() is None


def test_a_daemon_that_waits_for_a_dark_display_is_in_nobodys_way(
    start: Callable[..., DaemonProcess],
) -> None:
    scene = SceneProcess()
    daemon = start()
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=0.5) as stream:
        take(stream, 5)
        scene.__exit__(None, None, None)
        module.announce_removal()
        wait_for_problem(stream, "no-card")
        module.remove()
        module.insert()
        wait_for_problem(stream, "output-off")
        with Card.open(kernel.CARD) as card:
            until = time.monotonic() + 2
            while time.monotonic() < until:
                card.take_master()  # as a compositor does that starts; it tries once
                card.drop_master()
                time.sleep(0.003)


def test_who_connects_while_the_card_is_gone_is_told_so_and_served_when_it_is_back(
    start: Callable[..., DaemonProcess], tmp_path: Path
) -> None:
    daemon = start()
    module.remove()
    with library.connect(str(daemon.socket)) as client:
        assert state_of(client) == (State.BLOCKED, "no-card")
        with pytest.raises(CaptureUnsupportedError, match="card0 is gone"):
            client.snapshot()
        done = capturectl("snapshot", str(tmp_path / "x.png"), socket=daemon.socket)
        assert done.returncode == 4
        module.insert()
        with SceneProcess():
            wait_until(lambda: state_of(client)[0] is State.READY, "the card is back")
            with client.snapshot() as frame:
                assert (frame.width, frame.height) == (640, 480)


def test_a_daemon_that_waits_starts_without_a_card_and_serves_the_one_that_comes(
    start: Callable[..., DaemonProcess],
) -> None:
    module.remove()
    daemon = start("--missing", "wait")
    listed = json.loads(capturectl("list", "--json", socket=daemon.socket).stdout)
    (output,) = listed["outputs"]
    assert (output["state"], output["error"]["code"]) == ("blocked", "no-card")
    module.insert()
    with SceneProcess(), library.connect(str(daemon.socket)) as client:
        wait_until(lambda: state_of(client)[0] is State.READY, "the card has come")
        assert client.output().name == "Virtual-1"
        with client.snapshot() as frame:
            assert frame.width == 640
    with library.connect(str(daemon.socket)) as client:
        assert client.driver == "vkms"


def test_a_card_that_is_named_and_not_there_yet_is_waited_for(
    start: Callable[..., DaemonProcess],
) -> None:
    module.remove()
    daemon = start("--missing", "wait", "--card", kernel.CARD, "--output", "Virtual-1")
    with library.connect(str(daemon.socket)) as client:
        assert client.output("Virtual-1").code == "no-card"
        module.insert()
        wait_until(lambda: state_of(client) == (State.OFF, "output-off"), "it has come")


def test_a_daemon_whose_card_is_gone_does_nothing_at_all(
    start: Callable[..., DaemonProcess], scene: SceneProcess
) -> None:
    daemon = start()
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=0.5) as stream:
        take(stream, 5)
        scene.end()
        module.announce_removal()
        wait_for_problem(stream, "no-card")
        assert cpu_in(daemon, 3) < 10_000_000
        assert daemon.end() == 0


DEAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>
int ioctl(int fd, unsigned long request, void *argument) {
    int (*real)(int, unsigned long, void *) = dlsym(RTLD_NEXT, "ioctl");
    if ((request >> 8 & 0xff) == 'd' && access(FLAG, F_OK) == 0) { errno = ENODEV; return -1; }
    return real(fd, request, argument);
}
"""
"""Every ioctl of a card fails, as in the kernel after a surprise removal; VKMS knows none."""


def test_a_card_that_dies_without_a_word_is_let_go_of_and_served_when_it_is_back(
    scene: SceneProcess, socket: Path, tmp_path: Path
) -> None:
    flag, library_path = tmp_path / "dead", tmp_path / "dead.so"
    words = [
        "cc",
        "-shared",
        "-fPIC",
        f'-DFLAG="{flag}"',
        "-o",
        str(library_path),
        "-xc",
        "-",
        "-ldl",
    ]
    subprocess.run(words, check=True, input=DEAD, text=True)
    with (
        DaemonProcess(socket, prefix=("env", f"LD_PRELOAD={library_path}")) as daemon,
        library.connect(str(socket)) as client,
        client.stream(timeout=0.5) as stream,
    ):
        watch = Watch(client)
        take(stream, 5)
        flag.touch()
        wait_for_problem(stream, "no-card")
        wait_until(lambda: not has_card_open(daemon), "it has let go of the card")
        flag.unlink()
        module.CARD_EVENT.write_text("add")
        take(stream, 5)
        assert watch.states == [(State.BLOCKED, "no-card"), (State.READY, "")]
        assert "Traceback" not in daemon.log()
        assert daemon.end() == 0


def has_card_open(daemon: DaemonProcess) -> bool:
    """Whether a descriptor is of a card."""
    return any("/dev/dri" in target for target in open_fds(daemon.pid).values())


def test_events_say_that_the_card_went_and_came(start: Callable[..., DaemonProcess]) -> None:
    daemon = start()
    with library.connect(str(daemon.socket)) as client:
        watch = Watch(client)
        module.remove()
        wait_until(lambda: (EventKind.OUTPUT_REMOVED, "no-card") in watch.events(), "told: gone")
        module.insert()
        wait_until(lambda: (EventKind.OUTPUT_ADDED, "card-came") in watch.events(), "told: here")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_times_gone_and_back_leave_no_descriptor_and_no_framebuffer(
    start: Callable[..., DaemonProcess],
) -> None:
    daemon = start("--modeset", "preferred")
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=0.5) as stream:
        take(stream, 5)
        while_gone, while_there = [], []
        for _ in range(ROUNDS):
            module.announce_removal()
            wait_for_problem(stream, "no-card")
            module.remove()
            while_gone.append(daemon.fd_count())  # no fence is on its way then, and no card open
            module.insert()
            take(stream, 5)
            while_there.append(kernel.framebuffer_count())
    assert while_gone == [while_gone[0]] * ROUNDS
    assert while_there == [while_there[0]] * ROUNDS


# -- connectors -------------------------------------------------------------------------------


def test_a_display_that_is_plugged_out_and_in_is_told_of_while_frames_go_on(
    daemon: DaemonProcess,
) -> None:
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=5) as stream:
        watch = Watch(client)
        take(stream, 5)
        module.plug(is_in=False)
        wait_until(
            lambda: (EventKind.OUTPUT_CHANGED, "unplugged") in watch.events(), "plugged out"
        )
        take(stream, 30)
        module.plug(is_in=True)
        wait_until(lambda: (EventKind.OUTPUT_CHANGED, "plugged") in watch.events(), "plugged in")
        take(stream, 30)
        assert watch.states == [(State.READY, "unplugged"), (State.READY, "plugged")]
        assert client.statistics().missed == 0


def test_a_dark_output_says_whether_a_display_is_plugged_in(
    start: Callable[..., DaemonProcess],
) -> None:
    daemon = start()
    with library.connect(str(daemon.socket)) as client:
        assert "crtc-0 is not active" in client.output().reason
        watch = Watch(client)
        module.plug(is_in=False)
        wait_until(
            lambda: (EventKind.OUTPUT_CHANGED, "unplugged") in watch.events(), "plugged out"
        )
        assert client.output().reason == "Virtual-1 is off: no display is plugged in"
        assert client.output().state is State.OFF


def test_a_message_about_nothing_that_changed_is_no_news(daemon: DaemonProcess) -> None:
    with library.connect(str(daemon.socket)) as client:
        watch = Watch(client)
        for _ in range(5):
            module.tell_hotplug()
        time.sleep(1)
        assert watch.events() == []


@pytest.mark.slow
def test_after_a_storm_of_messages_the_daemon_is_as_idle_as_before(
    start: Callable[..., DaemonProcess],
) -> None:
    daemon = start()
    idle = cpu_in(daemon, 3)
    before = cpu_ns(daemon)
    for _ in range(STORM):
        module.tell_hotplug()
    wait_until(lambda: cpu_in(daemon, 1) == 0, "it has heard them all")
    stormed = cpu_ns(daemon) - before
    after = cpu_in(daemon, 3)
    report(idle_ns=idle, storm_ns=stormed, after_ns=after)
    assert after < 10_000_000
    assert daemon.log().count("\n") < 10


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_hundred_messages_during_a_stream_cost_it_no_frames(daemon: DaemonProcess) -> None:
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(timeout=10) as stream,
        ThreadPoolExecutor() as pool,
    ):
        take(stream, 30)
        report_rates(stream, pool)
        assert client.statistics().missed == 0


def report_rates(stream: FrameStream, pool: ThreadPoolExecutor) -> None:
    """Count the frames that come while a hundred messages do, and as long without.

    The guest has not the processor to itself: two equal counts differ by five in a hundred.
    """
    quiet = disturbed = 0
    for _ in range(SLICES):  # in turns
        quiet += pool.submit(frames_in, stream, SLICE_S).result()
        counting = pool.submit(frames_in, stream, SLICE_S)
        for _ in range(100 // SLICES):
            module.tell_hotplug()
        disturbed += counting.result()
    report(quiet=quiet, disturbed=disturbed)


class Watch:
    """What one client is told, beside frames."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.states: list[tuple[State, str]] = []
        hear = client._talk.feed

        def feed(packet: Packet) -> None:
            if packet.header.code == protocol.STATE.code:
                state = protocol.STATE.unpack(packet.data)
                self.states.append((State(state.state), state.word))
            hear(packet)

        client._talk.feed = feed  # type: ignore[method-assign]  # to see what it makes of it
        self._told = client._talk.watch()
        client.refresh()

    def events(self) -> list[tuple[EventKind, str]]:
        """Return the events so far that are about an output."""
        with contextlib.suppress(CaptureBusyError):  # it has much to read; it is asked again
            self._client.refresh()  # its answer comes after them
        return [
            (EventKind(e.kind), e.code) for e in self._told if e.kind >= EventKind.OUTPUT_ADDED
        ]


def frames_in(stream: FrameStream, seconds: float) -> int:
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        next(stream)
        count += 1
    return count


def cpu_in(daemon: DaemonProcess, seconds: float) -> int:
    before = cpu_ns(daemon)
    time.sleep(seconds)
    return cpu_ns(daemon) - before


def cpu_ns(daemon: DaemonProcess) -> int:
    """Return the time that all threads of the daemon have run.

    Kernel: include/linux/posix-timers_types.h, a process's number and CPUCLOCK_SCHED.
    """
    return time.clock_gettime_ns(~daemon.pid << 3 | 2)


def report(**figures: int) -> None:
    """Leave figures in the test's output, for whoever runs it with -s."""
    sys.stderr.write(f"{figures}\n")
