# SPDX-License-Identifier: MIT
"""capturectl top in a terminal, in a pipe, and with a daemon that goes away."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from tests.support.processes import DaemonProcess, capturectl, program, wait_until
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

GEOMETRY = "640x480@60"
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path / "sock", "--pattern", GEOMETRY) as process:
        yield process


def top(daemon: DaemonProcess, *words: str, **options: object) -> Terminal:
    words = (program("capturectl"), "top", "-d", "0.2", *words)
    return Terminal(*words, socket=daemon.socket, **options)  # type: ignore[arg-type]  # Terminal's own


def is_restored(terminal: Terminal) -> bool:
    return terminal.text.rstrip("\r\n").endswith(LEAVE) and terminal.mode() == terminal.mode_before


# -- leaving ----------------------------------------------------------------------------------


def test_q_leaves_and_gives_the_terminal_back(daemon: DaemonProcess) -> None:
    with top(daemon) as terminal:
        terminal.wait_for("Pattern-1")
        assert terminal.text.startswith(ENTER)
        assert terminal.mode() != terminal.mode_before
        terminal.press("q")
        assert (terminal.end(), is_restored(terminal)) == (0, True)


def test_ctrl_c_leaves_with_status_0_and_gives_the_terminal_back(daemon: DaemonProcess) -> None:
    with top(daemon) as terminal:
        terminal.wait_for("Pattern-1")
        terminal.press("\x03")
        assert (terminal.end(), is_restored(terminal)) == (0, True)


def test_impatient_ctrl_c_gives_the_terminal_back_too(daemon: DaemonProcess) -> None:
    with top(daemon) as terminal:
        terminal.wait_for("Pattern-1")
        terminal.press("\x03\x03\x03")
        terminal.end()
        assert is_restored(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_given_back(
    daemon: DaemonProcess, number: signal.Signals
) -> None:
    with top(daemon) as terminal:
        terminal.wait_for("Pattern-1")
        terminal.signal(number)
        assert (terminal.end(), is_restored(terminal)) == (-number, True)


def test_ctrl_z_stops_it_with_the_terminal_given_back_and_it_goes_on_later(
    daemon: DaemonProcess,
) -> None:
    shell = f"{program('capturectl')} top -d 0.2; read; fg"  # a process of its own cannot stop
    with Terminal("bash", "-mc", shell, socket=daemon.socket) as terminal:
        terminal.wait_for("Pattern-1")
        terminal.press("\x1a")
        wait_until(lambda: "Stopped" in terminal.text, "the shell has it back")
        assert LEAVE in terminal.text
        assert terminal.mode() == terminal.mode_before
        before = len(terminal.text)
        terminal.press("\n")
        wait_until(lambda: "Pattern-1" in terminal.text[before:], "it draws again")
        terminal.press("q")
        assert (terminal.end(), is_restored(terminal)) == (0, True)


def test_it_ends_after_so_many_times_and_leaves_the_last_to_be_seen(
    daemon: DaemonProcess,
) -> None:
    with top(daemon, "-n", "2") as terminal:
        status = terminal.end()
        after = terminal.text.split(LEAVE)[-1]
    assert (status, "Pattern-1  idle" in after) == (0, True)


# -- drawing ----------------------------------------------------------------------------------


def test_it_shows_what_each_client_gets(daemon: DaemonProcess) -> None:
    with (
        library.connect(str(daemon.socket), name="slow\x1b[2J") as client,
        client.stream(max_fps=10) as stream,
        top(daemon, size=(120, 24)) as terminal,
    ):
        while not re.search(r"slow\?\[2J +Pattern-1 +(9|10)\.\d ", "\n".join(terminal.frame())):
            next(stream)
        assert "capturing" in "\n".join(terminal.frame())


@pytest.mark.parametrize("width", [40, 200])
def test_no_line_is_wider_than_the_terminal(daemon: DaemonProcess, width: int) -> None:
    with (
        library.connect(str(daemon.socket), name="n" * 32) as client,
        client.stream(),
        top(daemon, size=(width, 10)) as terminal,
    ):
        terminal.wait_for("nnnn")
        frame = terminal.frame()
    assert max(map(len, frame)) <= width
    assert ("FENCE-SENT" in "\n".join(frame)) is (width == 200)


def test_a_terminal_that_gets_smaller_is_followed(daemon: DaemonProcess) -> None:
    with top(daemon, "-d", "60", size=(100, 24)) as terminal:
        terminal.wait_for("FENCE-SENT")
        terminal.resize(30, 4)
        wait_until(lambda: max(map(len, terminal.frame())) <= 30, "the lines get shorter")
        wait_until(lambda: len(terminal.frame()) <= 4, "the lines get fewer")


@pytest.mark.parametrize("size", [(1, 1), (5, 2), (12, 3)])
def test_a_terminal_of_no_use_is_no_failure(daemon: DaemonProcess, size: tuple[int, int]) -> None:
    with top(daemon, size=size) as terminal:
        wait_until(lambda: len(terminal.text.split("\x1b[H")) > 6, "it draws some times")
        frame = terminal.frame()
        assert (max(map(len, frame)) <= size[0], len(frame) <= size[1]) == (True, True)
        terminal.press("q")
        assert terminal.end() == 0


def test_a_terminal_that_does_not_know_its_size_gets_80_columns(daemon: DaemonProcess) -> None:
    with top(daemon, size=(0, 0)) as terminal:
        terminal.wait_for("FENCE-SENT")
        assert max(map(len, terminal.frame())) <= 80


def test_states_have_colours(daemon: DaemonProcess) -> None:
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(),
        top(daemon) as terminal,
    ):
        terminal.wait_for("capturing")
        assert "\x1b[32mcapturing" in terminal.text


def test_nobody_who_minds_gets_colours(daemon: DaemonProcess) -> None:
    with (
        library.connect(str(daemon.socket)) as client,
        client.stream(),
        top(daemon, environment={"NO_COLOR": "1"}) as terminal,
    ):
        terminal.wait_for("capturing")
        assert re.search(r"\x1b\[[0-9;]*m", terminal.text) is None


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_plain_locale_gets_plain_characters(
    daemon: DaemonProcess, variables: dict[str, str]
) -> None:
    with (
        library.connect(str(daemon.socket), name="Größe") as client,
        client.stream(),
        top(daemon, environment=variables) as terminal,
    ):
        terminal.wait_for("Gr")
        terminal.press("q")
        assert terminal.end() == 0


# -- a daemon that goes away ------------------------------------------------------------------


def test_a_daemon_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with DaemonProcess(path, "--pattern", GEOMETRY) as first, top(first) as terminal:
        terminal.wait_for("Pattern-1")
        first.popen.kill()
        terminal.wait_for("does not answer")
        with DaemonProcess(path, "--pattern", GEOMETRY):
            terminal.wait_for("Pattern-1")
            terminal.press("q")
            assert terminal.end() == 0


def test_a_daemon_that_hangs_does_not_keep_ctrl_c_from_working(daemon: DaemonProcess) -> None:
    with top(daemon) as terminal:
        terminal.wait_for("Pattern-1")
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            terminal.wait_for("does not answer")
            terminal.press("\x03")
            assert (terminal.end(), is_restored(terminal)) == (0, True)
        finally:
            os.kill(daemon.pid, signal.SIGCONT)


def test_who_is_disconnected_by_hand_does_not_come_back(daemon: DaemonProcess) -> None:
    with top(daemon) as terminal, library.connect(str(daemon.socket)) as client:
        terminal.wait_for("Pattern-1")
        number = next(
            row.status.client for row in client.clients() if row.status.pid == terminal.popen.pid
        )
        client.disconnect(number)
        assert (terminal.end(), terminal.mode() == terminal.mode_before) == (1, True)
        assert "disconnected by" in terminal.text.split(LEAVE)[-1]


def test_without_a_daemon_it_does_not_begin(tmp_path: Path) -> None:
    with Terminal(program("capturectl"), "top", socket=tmp_path / "nothing") as terminal:
        assert (terminal.end(), ENTER in terminal.text) == (3, False)


# -- no terminal ------------------------------------------------------------------------------


def test_in_a_pipe_the_tables_are_plain(daemon: DaemonProcess) -> None:
    done = capturectl("top", "-n", "2", "-d", "0.1", socket=daemon.socket)
    assert (done.returncode, done.stderr, "\x1b" in done.stdout) == (0, "", False)
    assert done.stdout.count("OUTPUT     STATE  FPS  MISSED  LOST  POOL  COMMIT-FENCE") == 2


@pytest.mark.parametrize(
    ("words", "variables"), [(("-b",), {}), ((), {"TERM": "dumb"})], ids=["-b", "TERM=dumb"]
)
def test_a_terminal_can_have_plain_tables_too(
    daemon: DaemonProcess, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    with top(daemon, *words, "-n", "1", environment=variables) as terminal:
        assert (terminal.end(), "Pattern-1" in terminal.text, "\x1b[?" in terminal.text) == (
            0,
            True,
            False,
        )


def test_each_json_line_is_one_time(daemon: DaemonProcess) -> None:
    done = capturectl("top", "--json", "-n", "3", "-d", "0.1", socket=daemon.socket)
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert {first["schema"], second["schema"], third["schema"]} == {"captured/1/top"}
    assert (first["interval_s"], second["interval_s"] > 0) == (None, True)


def test_a_reader_that_leaves_ends_it_quietly(daemon: DaemonProcess) -> None:
    command = f"{program('capturectl')} top -b -d 0.1 -S {daemon.socket} | head -n 1"
    words = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_in_a_batch_a_daemon_that_goes_away_is_an_error(daemon: DaemonProcess) -> None:
    words = [program("capturectl"), "top", "-b", "-d", "0.1", "-S", str(daemon.socket)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        daemon.popen.kill()
        running.stdout.read()
        words_of_error = running.stderr.read()
    assert (running.returncode, words_of_error.count("\n")) == (1, 1)
    assert words_of_error.startswith("capturectl: ")


@pytest.mark.parametrize("delay", ["0", "0.01", "-1", "nan", "soon"])
def test_a_delay_that_would_keep_the_daemon_busy_exits_2(
    daemon: DaemonProcess, delay: str
) -> None:
    assert capturectl("top", "-b", f"-d{delay}", socket=daemon.socket).returncode == 2
