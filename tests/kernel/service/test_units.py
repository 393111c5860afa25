# SPDX-License-Identifier: MIT
"""The units under a real systemd: sandboxed, and capturing like that."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import kernel, module, service
from tests.support.png_reader import header
from tests.support.processes import SceneProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

UNITS = ("captured.service", "captured.socket", "captured-card.target")
DROP_INS = Path("/usr/local/share/doc/captured/drop-ins")
MODE = 1024, 768
"""What VKMS prefers."""
STARTS = 30
"""So many in a minute, says the manual."""
CYCLES = int(os.environ.get("CAPTURED_TEST_CYCLES", "15"))
"""A cycle takes two seconds in the guest; run a hundred of them by hand."""


def shmem_is_back(before: int) -> bool:
    return kernel.shmem_kib() - before < 256


def snapshot(user: str, name: str = "/tmp/shot.png") -> bytes:
    taken = service.capturectl_as(user, "snapshot", "--output", "Virtual-1", name)
    assert (taken.returncode, taken.stderr) == (0, "")
    return Path(name).read_bytes()


# -- the sandbox ------------------------------------------------------------------------------


def test_systemd_finds_nothing_wrong_with_the_units(stopped: None) -> None:
    done = service.run("systemd-analyze", "verify", *UNITS)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_exposure_is_at_most_one(stopped: None) -> None:
    said = service.run("systemd-analyze", "security", "--no-pager", "captured.service").stdout
    found = re.search(r"Overall exposure level for captured.service: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= 1.0


def test_it_captures_without_root_without_capabilities_and_behind_a_filter(running: None) -> None:
    assert header(snapshot(service.INSIDE))[:2] == MODE
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{service.main_pid()}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_it_sees_nothing_of_the_kernel_that_can_be_tuned(running: None) -> None:
    root = Path(f"/proc/{service.main_pid()}/root")
    assert {path.name for path in (root / "proc").iterdir() if not path.name.isdigit()} <= {
        "self",
        "thread-self",
    }
    assert os.statvfs(root / "sys").f_flag & os.ST_RDONLY
    assert os.statvfs(root / "sys/kernel/debug").f_flag & os.ST_RDONLY


def test_it_may_open_no_device_but_cards(stopped: None) -> None:
    """What a broken daemon could do: a shell in the same sandbox, and a node open to all."""
    os.mknod("/dev/probe", 0o666 | stat.S_IFCHR, Path("/dev/udmabuf").stat().st_rdev)
    Path("/dev/probe").chmod(0o666)
    open_others = "for d in /dev/dri/card0 /dev/probe; do (: < $d) && echo $d; done; true"
    service.drop_in(
        "probe",
        "[Service]\nType=oneshot\nRestart=no\nStandardOutput=truncate:/run/probed\n"
        "StandardError=null\n"
        f"ExecStart=\nExecStart=/bin/sh -c '{open_others}'\n",
    )
    try:
        service.systemctl("start", "captured.service")
    finally:
        service.take_back("probe")
        Path("/dev/probe").unlink()
    assert Path("/run/probed").read_text() == "/dev/dri/card0\n"


# -- who may connect --------------------------------------------------------------------------


def test_a_user_outside_the_group_gets_status_seven_and_one_line(running: None) -> None:
    taken = service.capturectl_as(service.OUTSIDE, "snapshot", "/tmp/none.png")
    assert (taken.returncode, taken.stdout) == (7, "")
    assert re.fullmatch(r"capturectl: .*permission denied.*group.*\n", taken.stderr)
    assert not Path("/tmp/none.png").exists()


def test_the_socket_of_the_unit_is_for_its_group(running: None) -> None:
    made = Path("/run/captured/captured.sock")
    assert (made.owner(), made.group(), made.stat().st_mode & 0o777) == ("root", "captured", 0o660)


# -- cards pull it in -------------------------------------------------------------------------


def target_is(state: str) -> bool:
    said = service.systemctl("is-active", "captured-card.target", is_checked=False)
    return said == state


@pytest.fixture
def no_card(stopped: None) -> Iterator[None]:
    """The driver comes with the test, as at boot; udev has nothing to say before."""
    module.remove()
    wait_until(lambda: target_is("inactive"), "the target goes with the card")
    yield
    if not module.CARD_EVENT.exists():
        module.insert()


def card_appears() -> None:
    module.insert()
    wait_until(lambda: target_is("active"), "the target")


def test_a_card_with_a_writeback_connector_starts_what_is_enabled_for_it(no_card: None) -> None:
    service.systemctl("enable", "captured.service")
    try:
        card_appears()
        wait_until(lambda: service.show("ActiveState") == "active", "the card starts the service")
    finally:
        service.systemctl("disable", "captured.service")


def test_a_card_starts_nothing_that_is_not_enabled(no_card: None) -> None:
    card_appears()
    assert show_jobs() == ""
    assert service.show("ActiveState") == "inactive"


def show_jobs() -> str:
    return service.systemctl("list-jobs", "--no-legend", "captured.service")


# -- limits -----------------------------------------------------------------------------------


def test_a_service_that_fails_at_each_start_is_given_up_and_comes_back_when_told(
    stopped: None,
) -> None:
    service.drop_in("broken", "[Service]\nExecStart=\nExecStart=/bin/false\n")
    try:
        service.systemctl("start", "captured.service", is_checked=False)
        wait_until(lambda: service.show("ActiveState") == "failed", "it is given up", timeout=60)
        assert int(service.show("NRestarts")) == STARTS
    finally:
        service.take_back("broken")
    assert service.capturectl_as(service.INSIDE, "list").returncode in {3, 6}
    assert service.systemctl("is-failed", "captured.socket") == "failed"
    service.systemctl("reset-failed", "captured.service", "captured.socket")
    service.systemctl("start", "captured.socket")
    assert header(snapshot(service.INSIDE))[:2] == MODE


# -- the drop-ins of the documentation --------------------------------------------------------


def test_with_the_drop_in_pictures_lie_in_sealed_memory(stopped: None) -> None:
    service.settle('modeset = "preferred"\nmemory = "sealed"\n')
    service.drop_in("sealed", (DROP_INS / "sealed.conf").read_text())
    try:
        service.start()
        assert header(snapshot(service.INSIDE))[:2] == MODE
    finally:
        service.stop()
        service.take_back("sealed")


def test_with_the_drop_in_it_captures_through_the_card_of_a_compositor(stopped: None) -> None:
    service.drop_in("share", (DROP_INS / "share.conf").read_text())
    try:
        with SceneProcess("640x480@60", "--keep-master") as compositor:
            service.settle(f'share = "{compositor.pid}:{compositor.tell("hold")["fd"]}"\n')
            service.start()
            assert header(snapshot(service.INSIDE))[:2] == (640, 480)
            service.stop()
    finally:
        service.take_back("share")


def test_with_the_drop_in_the_loop_has_real_time(stopped: None) -> None:
    service.drop_in("realtime", (DROP_INS / "realtime.conf").read_text())
    try:
        service.start()
        assert os.sched_getscheduler(service.main_pid()) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
        assert header(snapshot(service.INSIDE))[:2] == MODE
    finally:
        service.stop()
        service.take_back("realtime")


# -- again and again --------------------------------------------------------------------------


def cycle() -> None:
    service.start()
    snapshot(service.INSIDE)
    service.stop()


def left_behind() -> tuple[object, ...]:
    return *kernel.leftovers(), kernel.plane_state()


@pytest.mark.timeout(900)
def test_starting_and_stopping_leaves_nothing_behind(stopped: None) -> None:
    cycle()  # planes that are off remember where they were last
    before, shmem = left_behind(), kernel.shmem_kib()
    for _ in range(CYCLES):
        cycle()
    assert left_behind() == before
    assert (kernel.is_active(), kernel.is_attached()) == (False, False)
    wait_until(lambda: shmem_is_back(shmem), "shared memory is as before")
