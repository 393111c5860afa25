# SPDX-License-Identifier: MIT
"""captured.handover.stop: stop or restart, as the service manager says it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from captured.handover import stop
from captured.handover.stop import StopQuestion, is_restart, unit_name
from tests.support.fakes import VirtualReactor
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program of that name first on the path, and be captured.service."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(stop, "_our_unit", lambda: "captured.service")

    def make(script: str) -> None:
        program = tmp_path / "systemctl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return make


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/captured.service\n", "captured.service"),
        ("0::/system.slice/system-captured.slice/captured@card1.service\n",
         "captured@card1.service"),
        ("4:memory:/x.service\n1:name=systemd:/system.slice/captured.service\n",
         "captured.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
        ("0::/\n", ""),
        ("nonsense\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_unit_is_in_the_control_groups_path(cgroup: str, unit: str) -> None:
    assert unit_name(cgroup) == unit


@pytest.mark.parametrize(
    ("jobs", "restarts"),
    [
        ("291 captured.service restart running\n", True),
        ("291 captured.service stop running\n", False),
        ("291 other.service restart running\n292 captured.service stop running\n", False),
        ("No jobs running.\n", False),
        ("", False),
    ],
)
def test_the_job_says_what_the_end_is_for(jobs: str, restarts: bool) -> None:
    assert is_restart(jobs, "captured.service") is restarts


def wait_for(reactor: VirtualReactor, answers: list[bool]) -> None:
    def has_come() -> bool:
        reactor.turn()
        return bool(answers)

    wait_until(has_come, "the answer")


def ask(reactor: VirtualReactor) -> list[bool]:
    answers: list[bool] = []
    StopQuestion(reactor, answers.append)
    return answers


def test_the_loop_goes_on_until_the_answer_is_there(
    reactor: VirtualReactor, systemctl: Callable[[str], None]
) -> None:
    systemctl("sleep 0.1; echo 291 captured.service restart running")
    answers = ask(reactor)
    reactor.turn()
    assert answers == []
    wait_for(reactor, answers)
    assert answers == [True]


def test_the_question_names_the_unit(
    reactor: VirtualReactor, systemctl: Callable[[str], None]
) -> None:
    systemctl('test "$1 $5" = "list-jobs captured.service" && echo 1 captured.service restart x')
    answers = ask(reactor)
    wait_for(reactor, answers)
    assert answers == [True]


def test_a_term_signal_to_the_whole_control_group_does_not_cost_the_answer(
    reactor: VirtualReactor, systemctl: Callable[[str], None]
) -> None:
    systemctl("kill -TERM $$; echo 291 captured.service restart running")
    answers = ask(reactor)
    wait_for(reactor, answers)
    assert answers == [True]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param(
            "echo more >&2; echo Failed to connect to bus: No such file or directory >&2; exit 1",
            "systemctl ended with 1: Failed to connect to bus: No such file or directory",
            id="no bus",
        ),
        pytest.param("exec sleep 60", "systemctl has not answered for 5 s", id="no answer"),
        pytest.param("kill -KILL $$", "systemctl ended with -9: ", id="killed"),
    ],
)
def test_who_cannot_be_asked_means_stop_and_the_log_says_why(
    reactor: VirtualReactor, systemctl: Callable[[str], None], script: str, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    systemctl(script)
    answers = ask(reactor)
    if "sleep" in script:
        reactor.advance(5.1)
    wait_for(reactor, answers)
    assert answers == [False]
    expected = f"captured: whether to end for good cannot be asked, so it is: {said}\n"
    assert capsys.readouterr().err == expected


def test_what_was_answered_counts_however_it_ended(
    reactor: VirtualReactor, systemctl: Callable[[str], None]
) -> None:
    systemctl("echo 291 captured.service restart running; exit 1")
    answers = ask(reactor)
    wait_for(reactor, answers)
    assert answers == [True]


def test_an_end_without_a_job_is_told_as_one(
    reactor: VirtualReactor,
    systemctl: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    systemctl("exit 0")
    answers = ask(reactor)
    wait_for(reactor, answers)
    assert answers == [False]
    told = capsys.readouterr().err
    assert told == "captured: asked to end: the service manager names no job\n"


def test_a_system_without_systemctl_means_stop(
    reactor: VirtualReactor, systemctl: Callable[[str], None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", "/nowhere")
    answers = ask(reactor)
    wait_for(reactor, answers)
    assert answers == [False]
    assert "systemctl: No such file or directory" in capsys.readouterr().err


def _lack(*_: object, **__: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    ("where", "what"), [(os, "pipe2"), (os, "posix_spawnp"), (VirtualReactor, "watch")]
)
def test_a_daemon_that_lacks_what_the_question_takes_means_stop(
    reactor: VirtualReactor, systemctl: Callable[[str], None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], where: object, what: str,
) -> None:  # fmt: skip
    systemctl("echo 291 captured.service restart running")
    with monkeypatch.context() as lacking:
        lacking.setattr(where, what, _lack)
        answers = ask(reactor)
    assert answers == [False]
    assert "so it is: systemctl: Too many open files" in capsys.readouterr().err
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_process_that_is_in_no_unit_means_stop(
    reactor: VirtualReactor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stop, "_our_unit", lambda: "")
    answers = ask(reactor)
    wait_for(reactor, answers)
    assert answers == [False]
    assert "this process is in no unit" in capsys.readouterr().err
