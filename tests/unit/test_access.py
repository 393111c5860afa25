# SPDX-License-Identifier: MIT
"""captured.server.access and peer: who may see which output."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import subprocess
import sys

import pytest

from capturectl.errors import NotAllowedError, UsageError
from captured.server.access import Access, Rule, allow_from_text, is_allow, parse_rules
from captured.server.peer import Peer, peer_of

USER, OTHER, LAB, VIDEO = 1000, 1001, 2000, 44
NOBODY = Rule(frozenset(), frozenset())


def user(uid: int, gid: int = 100, *groups: int) -> Peer:
    return Peer(4711, uid, gid, frozenset(groups))


def rule(*uids: int, gids: tuple[int, ...] = ()) -> Rule:
    return Rule(frozenset(uids), frozenset(gids))


# -- the policy -------------------------------------------------------------------------------


def test_without_rules_whoever_may_connect_may_see() -> None:
    assert Access().admits(user(USER), "HDMI-A-1")


@pytest.mark.parametrize(
    ("peer", "is_admitted"),
    [
        (user(USER), True),
        (user(OTHER), False),
        (user(OTHER, LAB), True),
        (user(OTHER, 100, VIDEO, LAB), True),
        (user(OTHER, 100, VIDEO), False),
        (user(LAB), False),
    ],
    ids=["user", "another", "its-group", "supplementary", "other-groups", "gid-is-no-uid"],
)
def test_a_rule_admits_its_users_and_the_members_of_its_groups(
    peer: Peer, is_admitted: bool
) -> None:
    access = Access({"HDMI-A-1": rule(USER, gids=(LAB,))})
    assert access.admits(peer, "HDMI-A-1") is is_admitted


def test_an_output_that_is_not_named_has_the_rule_for_the_rest() -> None:
    access = Access({"HDMI-A-1": rule(USER), "*": rule(OTHER)})
    assert access.admits(user(OTHER), "DP-1")
    assert not access.admits(user(USER), "DP-1")


def test_a_named_output_has_its_own_rule_and_not_that_for_the_rest() -> None:
    access = Access({"HDMI-A-1": rule(USER), "*": rule(OTHER)})
    assert not access.admits(user(OTHER), "HDMI-A-1")


def test_an_output_without_a_rule_is_closed_as_soon_as_there_is_any() -> None:
    assert not Access({"HDMI-A-1": rule(USER)}).admits(user(USER), "HDMI-A-2")


def test_root_sees_everything() -> None:
    assert Access({"*": NOBODY}).admits(user(0), "HDMI-A-1")


def test_the_refusal_names_user_output_and_setting() -> None:
    with pytest.raises(NotAllowedError) as caught:
        Access({"*": NOBODY}).check(user(USER), "HDMI-A-1")
    assert caught.value.reason == "user 1000 may not see HDMI-A-1"
    assert "allow" in caught.value.hint


# -- the setting ------------------------------------------------------------------------------


def test_users_and_groups_are_named_or_numbered() -> None:
    root, wheel = pwd.getpwuid(0).pw_name, grp.getgrgid(0).gr_name
    assert parse_rules({"DP-1": [root, "1000", f"@{wheel}", "@44"]}) == {
        "DP-1": Rule(frozenset({0, 1000}), frozenset({0, 44}))
    }


@pytest.mark.parametrize(
    "who", ["nobody-of-this-name", "@no-group-of-this-name", "-1", "1.5", "4294967295"]
)
def test_an_unknown_name_is_a_mistake_in_the_settings(who: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rules({"*": [who]})
    assert who.lstrip("@") in caught.value.reason


@pytest.mark.parametrize("who", ["a\0b", "@a\0b"])
def test_a_name_that_no_name_can_be_is_a_mistake_that_is_shown(who: str) -> None:
    with pytest.raises(UsageError, match=r"'a\\x00b'"):
        parse_rules({"*": [who]})


def test_the_highest_number_is_a_users_and_a_groups() -> None:
    highest = 4294967294
    rules = parse_rules({"*": [str(highest), f"@{highest}"]})
    assert rules == {"*": rule(highest, gids=(highest,))}


@pytest.mark.parametrize(
    ("text", "allow"),
    [
        ("", {}),
        ("@lab,1000", {"*": ["@lab", "1000"]}),
        ("DP-1=@lab;HDMI-A-1=anna;root", {"DP-1": ["@lab"], "HDMI-A-1": ["anna"], "*": ["root"]}),
        ("DP-1=", {"DP-1": []}),
    ],
)
def test_the_command_line_has_a_short_form(text: str, allow: dict[str, list[str]]) -> None:
    assert allow_from_text(text) == allow


@pytest.mark.parametrize("value", [{"*": "lab"}, {"*": [1000]}, {"*": [""]}, {"*": ["@"]}])
def test_a_table_of_another_form_is_refused(value: dict[str, object]) -> None:
    assert not is_allow(value)


# -- who has connected ------------------------------------------------------------------------


def test_a_peer_has_the_groups_of_its_process() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        assert peer_of(ours) == Peer(
            os.getpid(), os.getuid(), os.getgid(), frozenset(os.getgroups())
        )


_JOIN = """
import os, sys
sys.path[:0] = sys.argv[2:]
import socket
from captured.server.peer import peer_of
groups = range(5000, 5000 + int(sys.argv.pop(1)))
os.setgroups(groups)
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
known = peer_of(ours).groups
print(len(known), known <= set(groups))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may join so many groups")
@pytest.mark.parametrize(("joined", "known"), [(0, 0), (100, 100), (256, 256), (257, 0)])
def test_a_peer_in_too_many_groups_is_in_none(joined: int, known: int) -> None:
    words = [sys.executable, "-c", _JOIN, str(joined), *filter(None, sys.path)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert said == f"{known} True\n"
