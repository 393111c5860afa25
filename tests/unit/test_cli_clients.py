# SPDX-License-Identifier: MIT
"""capturectl clients: a table for people, an object for programs, and disconnecting."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from capturectl import protocol
from capturectl.cli import main
from tests.support.answering_daemon import CLIENT, LOOKER, AnsweringDaemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., AnsweringDaemon]

NO_CLIENT = protocol.Error(
    protocol.ErrorCode.NO_STREAM, 0, 0, "no-client", "there is no other client 9", "see clients"
)
NOT_YOURS = protocol.Error(
    protocol.ErrorCode.DENIED, 0, 0, "not-allowed", "client 9 belongs to user 0", "ask as root"
)


def test_the_table_has_a_line_for_each_client(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["clients", "-S", start().path])
    assert (status, capsys.readouterr().out) == (
        0,
        "ID  NAME         PID  USER        OUTPUT    FPS-LIMIT  SENT  SKIPPED  HELD  CREDITS"
        "  REVOKED  CONNECTED\n"
        " 9  mpv         4321  root        HDMI-A-1         30   600       40     2        1"
        "        1  6m 12s\n"
        "10  capturectl  4321  4000000000  -                 -     0        0     0        0"
        "        0  0s\n"
        "\n"
        "2 clients listed.\n",
    )


def test_a_client_with_two_subscriptions_is_counted_once(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["clients", "-S", start(clients=[(1, CLIENT), (1, CLIENT)]).path])
    assert capsys.readouterr().out.endswith("\n1 client listed.\n")


def test_a_client_without_a_name_has_a_dash(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["clients", "-S", start(clients=[(1, CLIENT._replace(name=""))]).path])
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["9", "-"]


def test_no_name_commands_the_terminal(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    evil = CLIENT._replace(name="\x1b]0;owned\x07\nfake line")
    main(["clients", "-S", start(clients=[(1, evil)]).path])
    out = capsys.readouterr().out
    assert ("?]0;owned??fake line" in out, len(out.splitlines())) == (True, 4)


def test_json_has_every_client(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["clients", "--json", "-S", start().path])
    found = json.loads(capsys.readouterr().out)
    looker = found["clients"].pop()
    assert (status, found) == (
        0,
        {
            "schema": "captured/1/clients",
            "clients": [
                {
                    "client": 9,
                    "name": "mpv",
                    "pid": 4321,
                    "uid": 0,
                    "gid": 0,
                    "user": "root",
                    "output": "HDMI-A-1",
                    "max_fps": 30.0,
                    "sent": 600,
                    "skipped": 40,
                    "held": 2,
                    "credits": 1,
                    "revoked": 1,
                    "flags": ["clogged"],
                    "connected_s": 372.5,
                }
            ],
        },
    )
    assert (looker["output"], looker["max_fps"], looker["flags"]) == (None, None, [])
    assert looker["user"] == str(LOOKER.uid)


def test_json_of_nobody_is_an_empty_list(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["clients", "--json", "-S", start(clients=[]).path])
    assert (status, json.loads(capsys.readouterr().out)["clients"]) == (0, [])


# -- disconnecting ----------------------------------------------------------------------------


def test_disconnecting_says_nothing(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = start()
    status = main(["clients", "disconnect", "9", "-S", daemon.path])
    assert (status, daemon.disconnected, capsys.readouterr()) == (0, [9], ("", ""))


def test_disconnecting_with_json_names_the_client(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["clients", "disconnect", "9", "--json", "-S", start().path])
    assert (status, json.loads(capsys.readouterr().out)) == (
        0,
        {"schema": "captured/1/disconnected", "client": 9},
    )


@pytest.mark.parametrize(
    ("refusal", "status", "word"),
    [(NO_CLIENT, 4, "no-client"), (NOT_YOURS, 7, "not-allowed")],
    ids=["no such client", "somebody else's"],
)
def test_a_refusal_is_an_object_and_an_exit_status(
    start: Start,
    capsys: pytest.CaptureFixture[str],
    refusal: protocol.Error,
    status: int,
    word: str,
) -> None:
    found = main(["clients", "disconnect", "9", "--json", "-S", start(refusal=refusal).path])
    error = json.loads(capsys.readouterr().out)["error"]
    assert (found, error["code"]) == (status, word)


def test_disconnecting_nobody_in_particular_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["clients", "disconnect", "-S", str(tmp_path / "nothing")])
    assert (status, capsys.readouterr().err) == (
        2,
        "capturectl: which client?: name its ID; see capturectl clients\n",
    )


@pytest.mark.parametrize(
    "words",
    [
        ("disconnect", "mpv"),
        ("disconnect", "0"),
        ("disconnect", str(1 << 64)),
        ("disconnect", "1", "2"),
        ("connect", "1"),
    ],
    ids=" ".join,
)
def test_what_is_no_number_or_no_action_exits_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["clients", *words])
    assert caught.value.code == 2


def test_no_daemon_exits_3(tmp_path: Path) -> None:
    assert main(["clients", "-S", str(tmp_path / "nothing")]) == 3


def test_a_daemon_that_is_too_old_for_questions_exits_4(start: Start) -> None:
    assert main(["clients", "-S", start(capabilities=0).path]) == 4
