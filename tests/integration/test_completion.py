# SPDX-License-Identifier: MIT
"""Completion in the real shells: keys go into a terminal, the edited line comes out."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capturectl.cli.commands import names
from capturectl.cli.shells import OUTPUTS
from tests.support.processes import DaemonProcess, capturectl, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
# The key ^G writes the line to a file, so that nothing need be read off a screen.
PREPARE = {
    "bash": 'bind -x \'"\\C-g": printf %s "$READLINE_LINE" > line.new; mv line.new line\'',
    "zsh": (
        "autoload -U compinit; compinit -u -D; "
        'dump() { print -rn -- "$BUFFER" > line.new; mv line.new line }; '
        "zle -N dump; bindkey '^G' dump"
    ),
    "fish": (
        "function dump; commandline | string collect > line.new; mv line.new line; end; "
        "bind \\cg dump"
    ),
}
LOAD = {
    "bash": ". <(capturectl completion bash)",
    "zsh": ". <(capturectl completion zsh)",
    "fish": "capturectl completion fish | source",
}


# What a session's leader opens first becomes its terminal (fish insists on having one).
_ON_TERMINAL = ["sh", "-c", 'exec "$@" <>"$0" >&0 2>&0']


class Shell:
    """An interactive shell in a terminal of its own. A context manager that ends it."""

    def __init__(self, name: str, cwd: Path, socket: Path) -> None:
        self._cwd = cwd
        self._screen = b""
        self._terminal, theirs = pty.openpty()
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(cwd), "TERM": "xterm", "LANG": "C.UTF-8", "PS1": "> ",
            "CAPTURECTL_SOCKET": str(socket),
        }  # fmt: skip
        self._process = subprocess.Popen(
            [*_ON_TERMINAL, os.ttyname(theirs), *START[name]], cwd=cwd, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            for line in (PREPARE[name], LOAD[name], "touch ready"):
                self._say(line)
            wait_until((cwd / "ready").exists, f"{name} starts")
        except BaseException:
            self.__exit__()
            raise

    def _read(self) -> None:
        while select.select([self._terminal], [], []):
            try:
                self._screen += os.read(self._terminal, 4096)
            except OSError:  # EIO: the shell has gone
                return

    def _say(self, line: str) -> None:
        os.write(self._terminal, f"{line}\r".encode())

    def complete(self, line: str) -> str:
        """Type a line and TAB; return what it has become."""
        dumped = self._cwd / "line"
        dumped.unlink(missing_ok=True)
        os.write(self._terminal, f"{line}\t\x07".encode())
        wait_until(dumped.exists, f"{line!r} is completed")
        os.write(self._terminal, b"\x15")  # ^U: an empty line again
        return dumped.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        sys.stderr.write(self._screen.decode(errors="replace"))  # shown when the test fails
        os.close(self._terminal)


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("daemon") / "captured.sock"
    with DaemonProcess(path, "--pattern", "640x480@60"):
        yield path


@pytest.fixture(params=START)
def shell(request: pytest.FixtureRequest, socket: Path, tmp_path: Path) -> Iterator[Shell]:
    assert shutil.which(request.param), f"{request.param} is missing: make packages"
    (tmp_path / "xylophone.png").touch()
    with Shell(request.param, tmp_path, socket) as shell:
        yield shell


@pytest.mark.slow
def test_a_shell_completes_everything_that_a_line_has(shell: Shell) -> None:
    typed = {
        "capturectl snap": "capturectl snapshot",
        "capturectl -S /nowhere snap": "capturectl -S /nowhere snapshot",
        "capturectl snapshot --typ": "capturectl snapshot --type",
        "capturectl snapshot -t j": "capturectl snapshot -t jpeg",
        "capturectl snapshot --type=pn": "capturectl snapshot --type=png",
        "capturectl snapshot -o Patt": "capturectl snapshot -o Pattern-1",
        "capturectl snapshot -t png xylo": "capturectl snapshot -t png xylophone.png",
        "capturectl snapshot -S xylo": "capturectl snapshot -S xylophone.png",
        "capturectl completion z": "capturectl completion zsh",
        "capturectl config che": "capturectl config check",
        "capturectl config check xylo": "capturectl config check xylophone.png",
    }
    assert {line: shell.complete(line).rstrip(" =") for line in typed} == typed


@pytest.mark.slow
@pytest.mark.parametrize("name", START)
def test_a_script_loads_without_a_word_and_knows_every_command(name: str) -> None:
    script = capturectl("completion", name).stdout
    done = subprocess.run([name, "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [command for command in names() if command not in script] == []


@pytest.mark.slow
def test_a_name_that_a_shell_would_execute_is_not_offered(tmp_path: Path) -> None:
    fake = tmp_path / "capturectl"
    fake.write_text('#!/bin/sh\necho \'{"name": "$(id)"}, {"name": "DP-1"}, {"name": "a;b"}\'\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", OUTPUTS], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "DP-1\n"
