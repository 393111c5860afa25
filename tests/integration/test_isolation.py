# SPDX-License-Identifier: MIT
"""Clients that misbehave, and the others that must not notice: processes, and a real daemon."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from tests.support.clients import Clients
from tests.support.processes import PROJECT, DaemonProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

CLIENT = """
import sys, time, capturectl
from capturectl import protocol
path, how = sys.argv[1:]
client = capturectl.connect(path, name=how)
output = client.output()
flags = protocol.SubscribeFlag(0)

def subscribe(credits=4):
    client._talk.subscribe(output, protocol.Subscribe(4, flags, 0, credits, 0, 0))

def frame():
    return client._await_frame(output, time.monotonic() + 60)

held = []
if how == "hello":
    pass
elif how == "subscribed":
    subscribe()
elif how.startswith("holding"):
    subscribe(int(how[-1]))
    held = [frame() for _ in range(int(how[-1]))]
elif how == "paused":
    subscribe()
    frame().release()
    client._talk.say(protocol.PAUSE, protocol.Pause(), output.stream)
elif how == "unsubscribed":
    subscribe()
    held = [frame(), frame()]
    client._talk.say(protocol.UNSUBSCRIBE, protocol.Unsubscribe(), output.stream)
elif how == "reading":
    subscribe()
    held = [frame()]
    memory = held[0].memory
elif how == "asking":
    client._talk.say(protocol.WATCH, protocol.Watch(1))
    for _ in range(20):
        client._talk.ask(protocol.Query(15))
elif how == "good":
    subscribe(2)
    print("begun", flush=True)
    while True:
        frame().release()
print("begun", flush=True)
if how == "hoarding":
    subscribe()
    try:
        while True:
            held.append(frame())
    except capturectl.CaptureError as error:
        print(client.statistics().revoked, error.code, flush=True)
time.sleep(600)
"""
STATES = (
    "hello", "subscribed", "holding 1", "holding 2", "holding 4", "paused", "unsubscribed",
    "reading", "asking",
)  # fmt: skip


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "sock", "--pattern", "640x480@60") as process:
        yield process


@pytest.fixture
def start(daemon: DaemonProcess) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a client process that behaves in some way; it has begun on return."""
    with Clients(CLIENT, daemon.socket) as clients:
        yield clients.start


def watch(daemon: DaemonProcess, frames: int) -> list[tuple[int, int]]:
    """Take frames, and return the sequence and the count of misses of each."""
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(timeout=10) as stream,
    ):
        return [(f.sequence, f.missed) for f, _ in zip(stream, range(frames), strict=False)]


def assert_all_there(seen: list[tuple[int, int]]) -> None:
    first = seen[0][0]
    assert [sequence for sequence, _ in seen] == list(range(first, first + len(seen)))
    assert len({missed for _, missed in seen}) == 1, "the source missed none"


# -- bad clients ------------------------------------------------------------------------------


@pytest.mark.slow
def test_stopped_clients_cost_a_good_one_no_frame(
    daemon: DaemonProcess, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    for _ in range(2):
        process = start("good")
        process.send_signal(signal.SIGSTOP)
    assert_all_there(watch(daemon, 180))


@pytest.mark.slow
def test_clients_that_never_release_cost_a_good_one_no_frame(
    daemon: DaemonProcess, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    for _ in range(2):
        start("holding 4")
    assert_all_there(watch(daemon, 180))


@pytest.mark.slow
def test_a_stopped_client_that_goes_on_gets_frames_again(
    daemon: DaemonProcess, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = start("good")
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    process.send_signal(signal.SIGCONT)

    def sent() -> int:
        with library.connect(str(daemon.socket)) as client:
            rows = {row.status.name: row.status for row in client.clients()}
        return rows["good"].sent if "good" in rows else 0

    before = sent()
    wait_until(lambda: sent() > before + 30, "it gets frames again")


@pytest.mark.slow
def test_a_hoarder_has_frames_revoked_and_is_cut_off_when_others_need_them(
    daemon: DaemonProcess, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    hoarders = [start("hoarding") for _ in range(4)]
    outputs = [process.stdout for process in hoarders if process.stdout is not None]
    ended: list[IO[str]] = []
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=10) as stream:
        for frame in stream:
            ended, _, _ = select.select(outputs, [], [], 0)
            if ended:
                break
            assert frame.sequence < 1200, "twenty seconds"
    revoked, code = ended[0].readline().split()
    assert int(revoked) >= 2
    assert code == "slow"


@pytest.mark.slow
def test_with_64_bad_clients_and_few_files_every_good_one_gets_every_frame(
    tmp_path: Path,
) -> None:
    limited = ["prlimit", "--nofile=1024:1024"]
    bad = tmp_path / "bad"
    source = PROJECT / "tests/bench/bad.c"
    subprocess.run(["cc", "-O2", "-o", bad, source], check=True)
    # Slots are short throughout, so the good one has to answer within two frames: slow ones, then.
    with DaemonProcess(tmp_path / "sock", "--pattern", "640x480@15", prefix=limited) as daemon:
        processes = []
        for how in ("deaf", "hold"):
            words = [str(bad), str(daemon.socket), "32", how]
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            processes.append(process)
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
        try:
            assert_all_there(watch(daemon, 90))
        finally:
            for process in processes:
                process.communicate("")


# -- clients that are killed ------------------------------------------------------------------


def memory_kib(daemon: DaemonProcess) -> int:
    words = Path(f"/proc/{daemon.pid}/status").read_text().split()
    return int(words[words.index("RssAnon:") + 1])


def open_files(daemon: DaemonProcess) -> frozenset[str]:
    return frozenset(entry.name for entry in Path(f"/proc/{daemon.pid}/fd").iterdir())


def held_buffers(daemon: DaemonProcess) -> int:
    with library.connect(str(daemon.socket)) as client:
        return client.engines()["Pattern-1"].buffers_lent


@pytest.mark.slow
@pytest.mark.parametrize("how", STATES)
def test_a_client_that_is_killed_leaves_nothing_behind(
    daemon: DaemonProcess, start: Callable[[str], subprocess.Popen[str]], how: str
) -> None:
    with library.connect(str(daemon.socket)) as good, good.stream(timeout=10) as stream:
        next(stream)
        before = daemon.fd_count()
        for _ in range(3):
            process = start(how)
            process.kill()
            process.wait()
        wait_until(lambda: daemon.fd_count() == before, "its descriptors are closed")
        seen = [(f.sequence, f.missed) for f, _ in zip(stream, range(30), strict=False)]
    assert len({missed for _, missed in seen}) == 1
    wait_until(lambda: held_buffers(daemon) == 0, "its buffers are given back")


@pytest.mark.slow
def test_clients_that_are_killed_while_frames_are_taken_back_leave_nothing_behind(
    daemon: DaemonProcess, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    def revoked() -> int:
        with library.connect(str(daemon.socket)) as client:
            return client.engines()["Pattern-1"].revoked

    with library.connect(str(daemon.socket)) as good, good.stream(timeout=10) as stream:
        next(stream)
        before = daemon.fd_count()
        hoarders = [start("hoarding") for _ in range(4)]
        for _ in stream:
            if revoked():
                break
        for process in hoarders:
            process.kill()
            process.wait()
        wait_until(lambda: daemon.fd_count() == before, "their descriptors are closed")
    wait_until(lambda: held_buffers(daemon) == 0, "their buffers are given back")


@pytest.mark.slow
def test_a_client_that_is_killed_before_hello_leaves_nothing_behind(
    daemon: DaemonProcess,
) -> None:
    before = daemon.fd_count()
    code = (
        "import socket, sys, os; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
        "s.connect(sys.argv[1]); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(daemon.socket)], check=False)
    wait_until(lambda: daemon.fd_count() == before, "its descriptor is closed")


@pytest.mark.slow
def test_no_descriptor_is_used_for_a_frame(
    daemon: DaemonProcess, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    for _ in range(8):
        start("good")
    watch(daemon, 30)
    counts = set()
    with library.connect(str(daemon.socket)) as client, client.stream(timeout=10) as stream:
        first = next(stream).sequence
        numbers = open_files(daemon)
        for frame in stream:
            counts.add(open_files(daemon))
            if frame.sequence >= first + 300:  # whichever of them come to this client
                break
    assert counts == {numbers}


@pytest.mark.slow
def test_a_thousand_clients_that_came_and_went_leave_no_memory_behind(
    daemon: DaemonProcess,
) -> None:
    def visit(times: int) -> None:
        for _ in range(times):
            with library.connect(str(daemon.socket)) as client:
                client.engines()

    with library.connect(str(daemon.socket)) as good, good.stream(timeout=10) as stream:
        next(stream)
        visit(200)
        before = memory_kib(daemon)
        visit(1000)
        next(stream)
    assert memory_kib(daemon) - before < 256
