# SPDX-License-Identifier: MIT
"""captured.drm.masters: who is named as the master of a card."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from captured.drm import masters
from captured.drm.masters import Holder, find_master, open_numbers

if TYPE_CHECKING:
    from pathlib import Path

CARD = "/dev/dri/card0"
HEAD = "             command  tgid dev master a   uid      magic\n"


class Machine:
    """A root directory with a card, whose debugfs and /proc the test writes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.at(CARD).parent.mkdir(parents=True)
        self.at(CARD).touch()
        self.at("/proc").mkdir()

    def at(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def write_clients(self, *lines: str) -> None:
        """Write debugfs's list of the clients of the card whose minor is 0."""
        clients = self.at("/sys/kernel/debug/dri/0/clients")
        clients.parent.mkdir(parents=True)
        clients.write_text(HEAD + "".join(f"{line}\n" for line in lines))

    def run(self, pid: int, name: str, *files: str) -> None:
        """Let a process have these files open."""
        fds = self.at(f"/proc/{pid}/fd")
        fds.mkdir(parents=True)
        (fds.parent / "comm").write_text(f"{name}\n")
        for number, file in enumerate(files):
            (fds / str(number)).symlink_to(file)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(masters, "Path", made.at)
    return made


def client(name: str, pid: int, master: str) -> str:
    # drm_debugfs.c, drm_clients_info: "%20s %5d %3d   %c    %c %5d %10u"
    return f"{name:>20} {pid:5d}   0   {master}    y     0          0"


def test_the_kernel_says_who_is_master(machine: Machine) -> None:
    machine.write_clients(client("Xwayland", 811, "n"), client("weston", 789, "y"))
    assert find_master(CARD) == Holder(789, "weston", True)


def test_a_masters_name_may_hold_blanks(machine: Machine) -> None:
    machine.write_clients(client("a b 1 y", 789, "y"))
    assert find_master(CARD) == Holder(789, "a b 1 y", True)


def test_this_process_is_not_the_other_master(machine: Machine) -> None:
    machine.write_clients(client("captured", os.getpid(), "y"))
    assert find_master(CARD) is None


def test_the_only_other_client_is_named_where_nobody_is_master(machine: Machine) -> None:
    machine.write_clients(client("captured", os.getpid(), "n"), client("weston", 789, "n"))
    assert find_master(CARD) == Holder(789, "weston", False)


def test_nobody_is_named_where_several_could_be_it(machine: Machine) -> None:
    machine.run(789, "weston", CARD)
    machine.run(790, "kodi", CARD)
    assert find_master(CARD) is None


def test_without_debugfs_the_only_process_with_the_card_open_is_named(machine: Machine) -> None:
    machine.run(788, "bash", "/dev/null")
    machine.run(789, "weston", "/dev/null", CARD)
    assert find_master(CARD) == Holder(789, "weston", None)


def test_a_process_with_another_card_open_is_not_named(machine: Machine) -> None:
    machine.run(789, "weston", "/dev/dri/card1")
    assert find_master(CARD) is None


def test_a_process_that_goes_away_meanwhile_is_not_named(machine: Machine) -> None:
    machine.run(789, "weston", CARD)
    machine.at("/proc/789/comm").unlink()
    assert find_master(CARD) is None


def test_the_descriptors_of_a_process_with_the_card_open_are_told(machine: Machine) -> None:
    machine.run(789, "weston", "/dev/null", CARD, "/dev/dri/card1", CARD)
    assert open_numbers(789, CARD) == [1, 3]


def test_a_process_that_may_not_be_looked_into_has_no_descriptors(machine: Machine) -> None:
    assert open_numbers(790, CARD) == []


def test_nobody_is_named_for_a_card_that_is_gone(machine: Machine) -> None:
    machine.at(CARD).unlink()
    assert find_master(CARD) is None


def test_a_holder_is_written_with_its_pid() -> None:
    assert str(Holder(789, "weston", True)) == "weston (pid 789)"
