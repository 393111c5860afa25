# SPDX-License-Identifier: MIT
"""Checks of whose the card is, and of the ways to it. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl.doctor.card_checks import NOT_ALLOWED, UNSUPPORTED, needed_card
from capturectl.doctor.served import is_attached, is_ready
from capturectl.doctor.verdict import failed, passed, skipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capturectl.doctor.cards import Master, Problem
    from capturectl.doctor.facts import Facts
    from capturectl.doctor.verdict import Check


def judge_master(facts: Facts) -> Sequence[Check]:
    """Is the card free to be master of, as attaching needs?"""
    card = needed_card(facts)
    if card.mastery.error is not None and not is_ready(facts, card.path):
        return [_not_shared(card.mastery.error)]
    if card.mastery.state == "shared":
        return [passed(f"captured commits through another program's open {card.path}")]
    if card.mastery.state == "free":
        return [passed(f"nobody is master of {card.path}: captured can be")]
    who = _name(card.mastery.master)
    if is_attached(facts, card.path) or _is_daemon(card.mastery.master):
        return [passed(f"{who} is master of {card.path}, which the daemon captures now")]
    if is_ready(facts, card.path):
        return [passed(f"{who} is master of {card.path}, and the daemon shares it")]
    sentence = f"{who} is master of {card.path}"
    return [failed("another-master", 1, sentence, _how_to_share(card.mastery.master))]


def _not_shared(error: Problem) -> Check:
    status = NOT_ALLOWED if error.code == "not-allowed" else UNSUPPORTED
    return failed(error.code, status, error.reason, error.hint)


def _is_daemon(master: Master | None) -> bool:
    """Whether a daemon is the master: one that detached meanwhile, or does not talk to us."""
    return master is not None and master.name == "captured"


def _name(master: Master | None) -> str:
    if master is None:
        return "another program"
    return f"{master.name} (pid {master.pid})" + ("" if master.is_certain else ", it seems,")


def _how_to_share(master: Master | None) -> str:
    if master is None:
        return "ask as root to learn which; stop it, or let captured commit through its card"
    return f"stop {master.name}, or let captured commit through its card: --share {_share(master)}"


def _share(master: Master) -> str:
    return f"{master.pid}:{master.fds[0] if master.fds else 'FD'}"


def judge_access(facts: Facts) -> Sequence[Check]:
    """Which ways to the card are there today?"""
    card = needed_card(facts)
    mastery = card.mastery
    if mastery.state == "shared":
        return [passed("through another program's card (--share): every commit is one of its own")]
    if mastery.state == "free" or is_attached(facts, card.path):
        return [passed("as master: a capture for every vblank")]
    if mastery.master is None or not mastery.master.fds:
        return [skipped("beside its master, with --share PID:FD; ask as root which FD")]
    share = _share(mastery.master)
    return [passed(f"beside its master: --share {share}; its commits and ours take turns")]
