# SPDX-License-Identifier: MIT
"""capturectl doctor: what people, programs and files get of the verdict."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from capturectl.cli import doctor, main
from capturectl.cli.doctor_text import lines
from capturectl.doctor.examination import examine, summary
from capturectl.doctor.report import write
from capturectl.doctor.verdict import Check, Level
from tests.support import patients
from tests.support.patients import card, examination, machine, without_daemon

if TYPE_CHECKING:
    from pathlib import Path

    from capturectl.doctor.facts import Facts

HELD = {
    "state": "other", "error": None,
    "master": {"pid": 7, "name": "evil\x1b[2J\nPASS", "is_certain": True, "fds": [3]},
}  # fmt: skip


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a machine in the place of this one."""

    def put(facts: Facts) -> None:
        monkeypatch.setattr(doctor, "gather", lambda _: facts)

    return put


def test_a_healthy_machine_ends_with_its_sentence_and_status_0(
    patient: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patient(machine())
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0] == " 1 PASS program      /usr/bin/captured 0.1.0"
    assert out.endswith(
        "\n\nThis machine can be captured: HDMI-A-1 through Writeback-1 of /dev/dri/card0.\n"
    )


def test_the_status_is_that_of_the_root_cause(patient: Any) -> None:
    patient(without_daemon(examination()))
    assert main(["doctor"]) == 4


def test_json_has_the_checks_the_cause_and_the_schema(
    patient: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patient(without_daemon())
    assert main(["doctor", "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "captured/1/doctor"
    assert said["can_capture"] is False
    assert said["exit_status"] == 3
    assert said["error"]["code"] == "unreachable"
    assert said["error"]["reason"] == "there is no socket /run/captured/captured.sock"
    assert said["summary"].startswith(
        "This machine cannot be captured, because there is no socket"
    )
    (socket,) = [check for check in said["checks"] if check["topic"] == "socket"]
    assert set(socket) == {"number", "topic", "level", "sentence", "remedy", "code"}
    assert socket["level"] == "fail"


def test_json_of_a_healthy_machine_has_no_error(
    patient: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patient(machine())
    main(["doctor", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (said["can_capture"], said["error"]) == (True, None)


# -- text -------------------------------------------------------------------------------------


def text_of(facts: Facts, columns: int | None) -> list[str]:
    checks = examine(facts)
    return list(lines(checks, summary(facts, checks), columns))


@pytest.mark.parametrize("columns", [20, 40, 63, 64, 80, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    for facts in (machine(), without_daemon(examination(card(mastery=HELD)))):
        assert max(map(len, text_of(facts, columns))) <= columns


def test_a_narrow_terminal_keeps_every_word() -> None:
    facts = without_daemon(examination(card(mastery=HELD)))
    wide = " ".join(" ".join(text_of(facts, None)).split())
    assert " ".join(" ".join(text_of(facts, 40)).split()) == wide


def test_without_a_terminal_a_check_is_one_line_for_grep() -> None:
    checks = examine(machine())
    found = text_of(machine(), None)
    assert len(found) == len(checks) + 2
    assert not any("\x1b" in line for line in found)


def test_a_remedy_has_a_line_of_its_own() -> None:
    check = Check(Level.FAIL, "it broke", "mend it", "broken", 1, "thing", 1)
    assert list(lines([check], "sum", None)) == [
        " 1 FAIL thing it broke", "              -> mend it", "", "sum",
    ]  # fmt: skip


def test_a_programs_name_does_nothing_to_the_terminal() -> None:
    found = text_of(without_daemon(examination(card(mastery=HELD))), None)
    assert not any("\x1b" in line for line in found)
    assert any("evil?[2J?PASS (pid 7) is master" in line for line in found)


def test_a_name_that_standard_output_cannot_show_is_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = Check(Level.FAIL, "j\u00fcrgen \udcff", "", "broken", 1, "thing", 1)
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert next(lines([check], "sum", None)) == " 1 FAIL thing j?rgen ?"


# -- the report -------------------------------------------------------------------------------


def test_a_report_is_written_whole_and_said_to_be(
    patient: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patient(machine())
    file = tmp_path / "report.txt"
    assert main(["doctor", "--report", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "This machine can be captured" in out
    assert err == f"{file} is written; read it before you send it\n"
    assert file.read_text().startswith("A report of capturectl doctor.")


def test_a_report_on_standard_output_is_all_there_is(
    patient: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patient(machine())
    main(["doctor", "--report", "-"])
    out, err = capsys.readouterr()
    assert (out.count("This machine can be captured"), err) == (1, "")


def test_a_report_and_json_do_not_share_standard_output(
    patient: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    patient(machine())
    assert main(["doctor", "--report", "-", "--json"]) == 2
    assert "name a file" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_one_line_and_status_1(
    patient: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patient(machine())
    assert main(["doctor", "--report", str(tmp_path / "no/where")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_report_says_at_the_top_what_it_holds_and_has_each_part() -> None:
    text = write(machine(), "the checks")
    head = text.split("\n== ")[0]
    assert "It holds no pictures" in " ".join(head.split())
    titles = [part.splitlines()[0] for part in text.split("\n== ")[1:]]
    assert titles == [
        "checks", "versions", "kernel command line", "cards (captured --examine)", "daemon",
        "units", "journal of captured", "kernel",
    ]  # fmt: skip


def test_a_report_has_no_names_of_users_and_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Host:
        nodename = "secret-host.example"
        sysname, release, version, machine = "Linux", "6.12.117", "#1 secret-host", "aarch64"

    monkeypatch.setattr("os.uname", lambda: Host)
    monkeypatch.setenv("SUDO_USER", "bobby")
    facts = machine(user=patients.ALICE)
    text = write(facts, "alice and bobby on secret-host in /home/alice/x")
    assert "USER and USER on HOST in /home/REDACTED" in text
    for name in ("alice", "bobby", "secret-host"):
        assert name not in text


def test_a_host_without_a_name_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Host:
        nodename, sysname, release, version, machine = "(none)", "Linux", "6.12", "#1", "arm"

    monkeypatch.setattr("os.uname", lambda: Host)
    assert "== checks\nnone of 3 lost\n" in write(machine(), "none of 3 lost")


def test_a_report_holds_nothing_that_moves_a_cursor() -> None:
    assert "== checks\n?[2J\tx\n" in write(machine(), "\x1b[2J\tx")
