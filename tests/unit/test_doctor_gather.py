# SPDX-License-Identifier: MIT
"""capturectl.doctor.gather: reading what programs and the kernel say."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from capturectl.doctor import gather
from capturectl.doctor.facts import Memory, Unit
from tests.support.fake_daemon import STREAM, FakeDaemon, greeting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHOWN = """\
Id=captured.service
LoadState=loaded
ActiveState=failed
SubState=failed
Result=exit-code

SocketGroup=captured
Id=captured.socket
LoadState=loaded
ActiveState=active
SubState=listening
Result=success
"""


def test_units_are_read_as_systemctl_shows_them() -> None:
    assert gather.parse_units(SHOWN) == {
        "captured.service": Unit("captured.service", "loaded", "failed", "failed", "exit-code"),
        "captured.socket": Unit(
            "captured.socket", "loaded", "active", "listening", "success", "captured"
        ),
    }


def test_memory_is_read_in_bytes() -> None:
    lines = ["MemTotal:  2000 kB", "MemAvailable:   1000 kB", "CmaTotal: 64 kB", "CmaFree: 3 kB"]
    assert gather.parse_memory(lines) == Memory(1_024_000, 65536, 3072)


def test_a_kernel_without_cma_has_none() -> None:
    assert gather.parse_memory(["MemAvailable: 1 kB"]) == Memory(1024, 0, 0)


# -- the daemon's program ---------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Install a `captured` that is this script, beside the command that runs."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "capturectl")])
    monkeypatch.setenv("PATH", "/nonexistent")

    def write(script: str) -> Path:
        program = tmp_path / "captured"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return write


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return str(tmp_path / "nothing.sock")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'captured: what is --examine' >&2; exit 2", "captured: what is --examine"),
        ("exit 3", "it ended with status 3"),
        ("echo nonsense", "its answer is not understood"),
        ('echo "[]"', "its answer is not understood"),
        ("""echo '{"cards": [{}]}'""", "its answer is not understood"),
    ],
)  # fmt: skip
def test_a_program_that_does_not_answer_is_a_problem_and_no_end(
    install: Callable[[str], Path], nowhere: str, script: str, problem: str
) -> None:
    install(script)
    facts = gather.gather(nowhere)
    assert facts.examination is None
    assert facts.examination_problem.startswith(problem)


@pytest.mark.slow
def test_a_program_that_hangs_is_not_waited_for(
    install: Callable[[str], Path], nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "PATIENCE_S", 0.3)
    program = install("exec /bin/sleep 30")
    facts = gather.gather(nowhere)
    assert facts.examination_problem == f"{program} did not answer within 0.3 s"


# -- socket and daemon ------------------------------------------------------------------------


def test_a_socket_that_is_not_there_is_unreachable(
    install: Callable[[str], Path], nowhere: str
) -> None:
    install("exit 1")
    facts = gather.gather(nowhere)
    assert facts.socket.node is None
    assert facts.daemon.problem is not None
    assert (facts.daemon.problem.code, facts.daemon.problem.exit_code) == ("unreachable", 3)


def test_a_daemon_that_takes_no_questions_says_its_outputs(
    install: Callable[[str], Path], tmp_path: Path
) -> None:
    install("exit 1")
    fake = FakeDaemon(tmp_path / "sock", [(message, ()) for message in greeting(STREAM)])
    try:
        facts = gather.gather(fake.path)
    finally:
        fake.close()
    assert facts.socket.is_socket
    assert [output.name for output in facts.daemon.outputs] == ["HDMI-A-1"]
    assert facts.daemon.engines == {}
    assert facts.user.uid == os.geteuid()


def test_of_the_groups_that_are_asked_for_those_that_exist_are_told(
    install: Callable[[str], Path], nowhere: str
) -> None:
    for name, expected in (("root", {"root"}), ("no-such-group", set())):
        install(f"""echo '{{"settings": {{"group": "{name}"}}}}'""")
        assert gather.gather(nowhere).groups == expected
