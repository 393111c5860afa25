# SPDX-License-Identifier: MIT
"""How many clients the daemon takes."""

from __future__ import annotations

import resource

import pytest

from captured.server.limits import ClientLimits

LIMITS = ClientLimits(total=8, per_uid=6)
POOL = 6
ROOT, USER, OTHER = 0, 1000, 1001


def test_a_client_is_taken_while_there_is_room() -> None:
    assert LIMITS.refuse(USER, [USER] * 5) == ""


def test_one_user_cannot_take_every_place() -> None:
    assert LIMITS.refuse(USER, [USER] * 6) == (
        "user 1000 has 6 connections, which is all one user gets"
    )
    assert LIMITS.refuse(OTHER, [USER] * 6) == ""


def test_root_is_bound_by_the_total_alone() -> None:
    assert LIMITS.refuse(ROOT, [ROOT] * 7) == ""
    assert LIMITS.refuse(ROOT, [ROOT] * 8) == "the daemon has 8 clients, which is all it takes"


@pytest.mark.parametrize("buffers", [4, 64])
def test_the_limits_leave_the_daemon_descriptors_of_its_own(buffers: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        limits = ClientLimits.from_rlimit(buffers)
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert 0 < limits.per_uid < limits.total <= raised - 64 - 5 * buffers


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (5, 5)])
def test_the_operator_may_say_what_one_user_gets(asked: int, given: int) -> None:
    assert ClientLimits.from_rlimit(POOL, asked).per_uid == given


def test_one_user_never_gets_more_than_there_is() -> None:
    limits = ClientLimits.from_rlimit(POOL, 10**6)
    assert limits.per_uid == limits.total
