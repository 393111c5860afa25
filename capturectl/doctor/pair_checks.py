# SPDX-License-Identifier: MIT
"""Checks of each writeback connector with each CRTC: masks first, then the driver's own word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl.doctor.card_checks import UNSUPPORTED, the_card
from capturectl.doctor.served import is_attached, is_ready
from capturectl.doctor.verdict import failed, passed, skipped, warned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capturectl.doctor.cards import Card, Pair
    from capturectl.doctor.facts import Facts
    from capturectl.doctor.verdict import Check

    Judge = Callable[[Facts, Card, Pair], Check]


def judge_reach(facts: Facts) -> Sequence[Check]:
    """Can the writeback connector use the CRTC at all, by possible_crtcs?"""
    card = the_card(facts)
    return [_reach(card, pair) for pair in card.pairs] if card else []


def _reach(card: Card, pair: Pair) -> Check:
    if pair.reaches:
        return passed(f"{pair.writeback} can use {pair.crtc} (possible_crtcs)")
    sentence = f"{pair.writeback} cannot use {pair.crtc} (possible_crtcs)"
    if not _is_targets(card, pair):
        return skipped(f"{sentence}, and need not")
    if any(other.reaches for other in _for_target(card)):
        return skipped(f"{sentence}, but another can")
    quirk = card.quirk("own-crtc")
    sentence = f"{sentence}, which feeds {card.target}"
    remedy = (
        f"{card.driver}: {quirk.sentence}" if quirk else "no setting helps: so is the hardware"
    )
    return failed("wrong-crtc", UNSUPPORTED, sentence, remedy)


def judge_clones(facts: Facts) -> Sequence[Check]:
    """May display and writeback connector share the CRTC, by possible_clones?"""
    return _judge_reachable(facts, _clones)


def _clones(facts: Facts, card: Card, pair: Pair) -> Check:
    del facts
    sharing = f"{pair.writeback} and {_partner(pair)}"
    if pair.clones is None:
        return skipped(f"{pair.crtc} has no display to share with {pair.writeback}")
    if pair.clones:
        return passed(f"{sharing} may share {pair.crtc} (possible_clones)")
    sentence = f"{sharing} may not share {pair.crtc}: their encoders are no possible clones"
    remedy = "kernels from mid-2025 on insist on that; the driver must declare them"
    if not pair.is_tested:
        return warned(f"{sentence}, and the driver could not be asked", remedy, "clone-refused")
    if pair.refusal is None:
        return passed(f"{sentence}, but this kernel does not insist")
    return _unless_served(card, pair, "clone-refused", sentence, remedy)


def judge_test(facts: Facts) -> Sequence[Check]:
    """Would the driver attach it, and write a picture? The answer of TEST_ONLY."""
    return _judge_reachable(facts, _test)


def _test(facts: Facts, card: Card, pair: Pair) -> Check:
    where = f"{pair.writeback} to {pair.crtc}"
    if not pair.displays:
        return skipped(f"attaching {where}: nothing is displayed there")
    if pair.refusal is not None and pair.refusal.code != "another-master":
        error = pair.refusal
        return _unless_served(card, pair, error.code, error.reason, error.hint)
    if pair.is_tested and pair.refusal is None:
        return passed(f"the driver would attach {where} and write a picture (TEST_ONLY)")
    return _untested(facts, card, pair, where)


def _untested(facts: Facts, card: Card, pair: Pair, where: str) -> Check:
    if pair.is_attached and is_attached(facts, card.path, pair.writeback):
        return passed(f"the daemon has attached {where}")
    if any(is_ready(facts, card.path, name) for name in pair.displays):
        return passed(f"the daemon has proved that it can attach {where}")
    if not any(card.is_lit(name) for name in pair.displays):
        return skipped(f"attaching {where}: the display is off, so the driver cannot be asked")
    return skipped(f"attaching {where}: only a master may ask the driver")


def _unless_served(card: Card, pair: Pair, code: str, sentence: str, remedy: str) -> Check:
    """Return the failure, or a warning where the target display has another way."""
    others = [other for other in _for_target(card) if other is not pair]
    if _is_targets(card, pair) and not any(_is_good(other) for other in others):
        return failed(code, UNSUPPORTED, sentence, remedy)
    return warned(sentence, remedy, code)


def _is_good(pair: Pair) -> bool:
    return pair.reaches and pair.is_tested and pair.refusal is None


def _judge_reachable(facts: Facts, judge: Judge) -> Sequence[Check]:
    card = the_card(facts)
    return [judge(facts, card, pair) for pair in card.pairs if pair.reaches] if card else []


def _for_target(card: Card) -> list[Pair]:
    return [pair for pair in card.pairs if _is_targets(card, pair)]


def _is_targets(card: Card, pair: Pair) -> bool:
    """Whether the pair is for the display that captured would take: fed, or possible if dark."""
    crtc = card.crtc_of(card.target)
    return pair.crtc == crtc.name if crtc else card.target in pair.possible_displays


def _partner(pair: Pair) -> str:
    return " and ".join(pair.displays or pair.possible_displays)
