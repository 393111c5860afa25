# SPDX-License-Identifier: MIT
"""Checks of the card: may it be opened, what is on it, and whose is it. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl.doctor.served import is_ready
from capturectl.doctor.verdict import failed, passed, skipped, warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capturectl.doctor.cards import Card, Node, Writeback
    from capturectl.doctor.facts import Facts
    from capturectl.doctor.verdict import Check

UNSUPPORTED, OFF, NOT_ALLOWED = 4, 5, 7
"""Exit statuses of design: cannot be captured, is off, is not allowed."""


def judge_program(facts: Facts) -> Sequence[Check]:
    """Is there a `captured` to look at the cards with, and of this version?"""
    if not facts.command:
        sentence = "there is no captured beside this command or on the PATH: no card was looked at"
        return [skipped(sentence, "install the daemon to learn about cards")]
    if facts.examination is None:
        return [skipped(f"{facts.command} cannot look at cards: {facts.examination_problem}")]
    version = facts.examination.version
    if version != facts.version:
        sentence = f"captured is {version}, capturectl is {facts.version}"
        return [warned(sentence, "install both from one release", "version")]
    return [passed(f"{facts.command} {version}")]


def judge_settings(facts: Facts) -> Sequence[Check]:
    """Would the daemon take its settings?"""
    examination = facts.examination
    problem = examination.settings_problem if examination else None
    if problem is None:
        return [passed("the daemon's settings are valid")]
    if examination and examination.is_secret:
        return [passed(f"{problem.reason}: those built in were assumed")]
    return [failed("usage", 2, problem.reason, problem.hint)]


def judge_cards(facts: Facts) -> Sequence[Check]:
    """Is there a card at all?"""
    examination, card = facts.examination, the_card(facts)
    if card is None or (card.error and card.error.code == "no-card"):
        sentence = card.error.reason if card and card.error else "there is no card under /dev/dri"
        return [
            failed("no-card", UNSUPPORTED, sentence, "load the display driver of this machine")
        ]
    cards = examination.cards if examination else ()
    others = [skipped(f"{_brief(other)} is not needed") for other in cards if other is not card]
    return [passed(f"{card.path} is the card to capture with"), *others]


def _brief(card: Card) -> str:
    what = card.error.reason if card.error else card.driver
    return what if card.path in what else f"{card.path} ({what})"


def judge_permission(facts: Facts) -> Sequence[Check]:
    """May this user open the card?"""
    card, user = needed_card(facts), facts.user
    node = card.node
    if card.driver or card.error is None:
        return [passed(f"user {user.name} can open {card.path} ({node.text if node else '?'})")]
    if card.error.code != "not-allowed":
        return [failed(card.error.code, UNSUPPORTED, card.error.reason, card.error.hint)]
    sentence = f"user {user.name} may not open {card.path} ({node.text if node else '?'})"
    if _has_daemon(facts):
        return [skipped(f"{sentence}, and need not: the daemon does")]
    return [failed("not-allowed", NOT_ALLOWED, sentence, _how_to_open(node, user.name))]


def _how_to_open(node: Node | None, user: str) -> str:
    if node is None or not node.is_for_group:
        return "ask as root; no group may open it: a udev rule that gives it one is missing"
    return f"ask as root, or join its group: usermod -aG {node.group} {user}, and log in again"


def _has_daemon(facts: Facts) -> bool:
    """Whether there is a daemon, even one that this user may not talk to."""
    problem = facts.daemon.problem
    return problem is None or (problem.code == "not-allowed" and facts.socket.is_socket)


def judge_driver(facts: Facts) -> Sequence[Check]:
    """Which driver is it, and what is known of it?"""
    card = needed_card(facts)
    description = f" ({card.description})" if card.description else ""
    found = [passed(f"{card.path} is driven by {card.driver}{description}")]
    for quirk in card.quirks:
        sentence = f"{card.driver}: {quirk.sentence}"
        if quirk.is_warning:
            found.append(warned(sentence, quirk.remedy, quirk.word))
        elif quirk.remedy:
            found.append(passed(f"{sentence}; {quirk.remedy}"))
    return found


def judge_capabilities(facts: Facts) -> Sequence[Check]:
    """Does the driver give atomic commits and writeback connectors to who asks?"""
    card = needed_card(facts)
    if card.error is not None:
        code = card.error.code
        return [failed(code, UNSUPPORTED, card.error.reason, card.error.hint)]
    return [passed("the driver has atomic commits and takes the writeback capability")]


def judge_writebacks(facts: Facts) -> Sequence[Check]:
    """Which writeback connectors are there, and what do they write?"""
    card = needed_card(facts)
    if not card.writebacks:
        sentence = f"{card.path} ({card.driver}) has no writeback connector"
        remedy = "its driver or chip cannot write what it displays to memory"
        return [failed("no-writeback", UNSUPPORTED, sentence, remedy)]
    return [check for one in card.writebacks for check in _writeback(facts, card, one)]


def _writeback(facts: Facts, card: Card, writeback: Writeback) -> Sequence[Check]:
    error = writeback.error
    if error is not None:
        return [failed(error.code, UNSUPPORTED, error.reason, error.hint)]
    formats = " ".join(writeback.formats)
    found = [passed(f"{writeback.name} writes {formats}; captured takes {writeback.format}")]
    # A daemon that is ready took off what a crash left, and may have detached since the look.
    if writeback.crtc_id and not is_ready(facts, card.path):
        sentence = f"{writeback.name} is attached, and no daemon says that it did it"
        remedy = (
            "a crash left it, or another program uses it; captured takes it off when it starts"
        )
        found.append(warned(sentence, remedy, "left-attached"))
    return found


def judge_displays(facts: Facts) -> Sequence[Check]:
    """Which displays show something?"""
    card = needed_card(facts)
    if card.target_error is not None:
        error = card.target_error
        return [failed(error.code, UNSUPPORTED, error.reason, error.hint)]
    return [_display(facts, card, one.name) for one in card.displays]


def _display(facts: Facts, card: Card, name: str) -> Check:
    crtc = card.crtc_of(name)
    if crtc is not None and card.is_lit(name):
        return passed(f"{name} is lit: {crtc.name} scans out {crtc.mode}")
    what = f"{name} is off: " + (f"{crtc.name} is not active" if crtc else "no CRTC feeds it")
    wish = facts.examination.settings.get("modeset", "keep") if facts.examination else "keep"
    if name != card.target:
        return skipped(what)
    if wish != "keep" or is_ready(facts, card.path, name):
        return passed(f"{what}; captured lights it when somebody looks")
    remedy = "switch the display on, or let captured light it: --modeset preferred"
    return failed("output-off", OFF, what, remedy)


def judge_memory(facts: Facts) -> Sequence[Check]:
    """Is there memory for the pool?"""
    card = needed_card(facts)
    settings = facts.examination.settings if facts.examination else {}
    crtc = card.crtc_of(card.target)
    bits = max((one.bits_per_pixel for one in card.writebacks), default=0)
    need = (crtc.width * crtc.height * bits // 8 if crtc else 0) * int(settings.get("buffers", 0))
    memory = facts.memory
    if not need or not memory.available:
        return [skipped("the pool's size is not known while the display is off")]
    sentence = f"the pool needs {_mb(need)}; {_mb(memory.available)} are available"
    remedy = "choose fewer --buffers or a smaller mode"
    held = next((e.pool_bytes for e in facts.daemon.engines.values()), 0)
    if need > memory.available + held:
        return [failed("no-memory", 1, sentence, remedy)]
    if memory.cma_total:
        sentence += f", {_mb(memory.cma_free)} of {_mb(memory.cma_total)} of the CMA area"
        if need > memory.cma_total:
            return [warned(f"{sentence}, which many drivers allocate from", remedy, "no-memory")]
    return [passed(sentence)]


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def the_card(facts: Facts) -> Card | None:
    """Return the card that the checks are about."""
    return facts.examination.card if facts.examination else None


def needed_card(facts: Facts) -> Card:
    """Return it where a stage stands on there being one."""
    card = the_card(facts)
    assert card is not None, "stages that need the card come after the one that finds it"
    return card
