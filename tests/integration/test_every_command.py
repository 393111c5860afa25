# SPDX-License-Identifier: MIT
"""What holds for every command in the table, whichever it is."""

from __future__ import annotations

import os
import signal
import socket as sockets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capturectl.cli.commands import names
from tests.support.lines import STATUSES, line_of
from tests.support.processes import DaemonProcess, capturectl, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
CAPTURECTL = str(Path(sys.executable).with_name("capturectl"))
ENDLESS_S = 2.0
"""A command that has not ended by then is one that goes on until Ctrl-C."""


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("daemon") / "captured.sock"
    with DaemonProcess(path, "--pattern", "640x480@60"):
        yield path


@pytest.fixture(scope="module")
def picture(socket: Path) -> Path:
    path = socket.with_name("picture.png")
    assert capturectl("snapshot", str(path), socket=socket).returncode == 0
    return path


class Ended:
    """How a command ended: by itself, or with Ctrl-C because it would not."""

    def __init__(self, words: list[str], socket: Path, cwd: Path, redirect: str) -> None:
        environment = {
            "PATH": f"{Path(CAPTURECTL).parent}:/usr/bin:/bin", "CAPTURECTL_SOCKET": str(socket),
            "LANG": "C",
        }  # fmt: skip
        # The shell redirects, and is replaced by the command.
        script = ["sh", "-c", f'exec "$@" {redirect}', "sh", CAPTURECTL, *words]
        with subprocess.Popen(
            script, env=environment, cwd=cwd, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            self.was_interrupted = False
            try:
                _, self.said = process.communicate(timeout=ENDLESS_S)
            except subprocess.TimeoutExpired:
                self.was_interrupted = True
                process.send_signal(signal.SIGINT)
                _, self.said = process.communicate(timeout=10)
            self.status = process.returncode

    @property
    def is_clean(self) -> bool:
        """Whether it ended as the manual page says, and said so in a line, not in a traceback."""
        noise = [w for w in ("Traceback", "Exception ignored", "Error:") if w in self.said]
        return self.status in STATUSES and not noise


@pytest.fixture(params=names())
def words(request: pytest.FixtureRequest, picture: Path) -> list[str]:
    return line_of(request.param, picture)


def test_a_command_works(words: list[str], socket: Path, tmp_path: Path) -> None:
    ended = Ended(words, socket, tmp_path, "")
    assert (ended.is_clean, ended.status in {2, 3}) == (True, False), ended.said


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_a_full_disk_behind_standard_output_is_one_line_and_no_success(
    words: list[str], more: list[str], socket: Path, tmp_path: Path
) -> None:
    ended = Ended([*words, *more], socket, tmp_path, "> /dev/full")
    assert (ended.is_clean, ended.status == 0) == (True, False), ended.said
    assert len(ended.said.splitlines()) == 1 or ended.was_interrupted


def test_a_reader_that_has_gone_is_at_most_one_line(
    words: list[str], socket: Path, tmp_path: Path
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [CAPTURECTL, *words], env=os.environ | {"CAPTURECTL_SOCKET": str(socket)}, cwd=tmp_path,
        stdout=write_end, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    os.close(write_end)
    assert (done.returncode in {0, 1}, done.stderr.count("\n") <= 1) == (True, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("redirect", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_one_line_and_no_success(
    words: list[str], redirect: str, socket: Path, tmp_path: Path
) -> None:
    ended = Ended(words, socket, tmp_path, redirect)
    assert (ended.is_clean, ended.status == 0) == (True, False), ended.said
    assert len(ended.said.splitlines()) <= 1 or ended.was_interrupted


def test_without_standard_error_a_command_works_all_the_same(
    words: list[str], socket: Path, tmp_path: Path
) -> None:
    with_it = Ended(words, socket, tmp_path, "")
    assert Ended(words, socket, tmp_path, "2>&-").status == with_it.status


def test_no_daemon_is_a_documented_end(words: list[str], tmp_path: Path) -> None:
    ended = Ended(words, tmp_path / "none", tmp_path, "")
    assert (ended.is_clean, len(ended.said.splitlines()) <= 1) == (True, True), ended.said


def test_ctrl_c_ends_a_command_that_waits_for_the_daemon(words: list[str], tmp_path: Path) -> None:
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_SEQPACKET) as silent:
        silent.bind(str(tmp_path / "sock"))
        silent.listen(1)
        silent.setblocking(False)
        with subprocess.Popen(
            [CAPTURECTL, "-S", str(tmp_path / "sock"), *words], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        ) as process:  # fmt: skip
            peers: list[sockets.socket] = []

            def came() -> bool:
                try:
                    peers.append(silent.accept()[0])
                except BlockingIOError:
                    return process.poll() is not None
                return True

            wait_until(came, "the command connects, or ends")
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=10)
            for peer in peers:
                peer.close()
    assert (process.returncode in STATUSES, "Traceback" in said) == (True, False), said
    if peers:
        assert (process.returncode in {0, 130}, said) == (True, "")


@pytest.mark.parametrize(
    "encoding", ["utf-8:strict", "latin-1:strict", "ascii:strict"], ids=["utf8", "latin1", "ascii"]
)
def test_a_name_of_any_bytes_is_printed_without_a_traceback(
    encoding: str, socket: Path, tmp_path: Path
) -> None:
    environment = {"PYTHONIOENCODING": encoding, "PATH": os.environ["PATH"]}
    words: list[str | bytes] = [CAPTURECTL, "-S", str(socket), "snapshot", b"\xff\xe2\x82\xac.png"]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, check=False)
    files = [os.fsencode(path.name) for path in tmp_path.iterdir()]
    assert (done.returncode, done.stderr, files) == (0, b"", [b"\xff\xe2\x82\xac.png"])
    if encoding.startswith("utf-8"):
        assert done.stdout == b"\xff\xe2\x82\xac.png\n"


# --- help ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_help_of_a_command_fits_the_terminal(name: str, width: int) -> None:
    environment = {"COLUMNS": str(width), "LANG": "C", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [CAPTURECTL, name, "--help"], env=environment, capture_output=True, text=True, check=True
    )
    text, _, examples = done.stdout.partition("\nexamples:\n")
    lines = [line for line in text.splitlines() if not line.startswith("  capturectl")]  # examples
    too_long = [line for line in lines if len(line) > width and " " in line.strip()]
    assert (too_long, done.stderr, done.stdout.isascii()) == ([], "", True)
    assert examples.startswith("  ") or not examples


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("redirect", ["> /dev/full", ">&-"])
def test_the_help_of_a_command_that_goes_nowhere_is_one_line(
    name: str, redirect: str, socket: Path, tmp_path: Path
) -> None:
    ended = Ended([name, "--help"], socket, tmp_path, redirect)
    assert (ended.is_clean, ended.status, ended.said.count("\n")) == (True, 1, 1), ended.said
