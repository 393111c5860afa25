# SPDX-License-Identifier: MIT
"""captured.handover.stop: stop or restart, as the service manager says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from captured.handover import stop
from captured.handover.stop import StopQuestion, is_restart, unit_name
from tests.support.fakes import VirtualReactor
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def reactor() -> Iterator[VirtualReactor]:
    made = VirtualReactor()
    yield made
    made.close()


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


def test_no_answer_in_time_means_stop(
    reactor: VirtualReactor, systemctl: Callable[[str], None]
) -> None:
    systemctl("exec sleep 60")
    answers = ask(reactor)
    reactor.advance(2.1)
    assert answers == [False]


def test_a_system_without_systemctl_means_stop(
    reactor: VirtualReactor, systemctl: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    answers = ask(reactor)
    wait_for(reactor, answers)
    assert answers == [False]
