# SPDX-License-Identifier: MIT
"""All checks, in the order of cause and effect, and the one sentence at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl.doctor import card_checks as card
from capturectl.doctor import mastery_checks as mastery
from capturectl.doctor import pair_checks as pair
from capturectl.doctor import service_checks as service
from capturectl.doctor.served import displays
from capturectl.doctor.verdict import Level, Stage, judge, root_cause
from capturectl.protocol import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capturectl.doctor.facts import Facts
    from capturectl.doctor.verdict import Check

_FATAL = ("settings", "card", "capabilities", "writeback", "reach", "group")
"""What a daemon does not start without."""
_WAY = ("clones", "display", "master", "test", "memory")
"""What a daemon says of its outputs in its own words."""

STAGES = (
    Stage("program", card.judge_program),
    Stage("settings", card.judge_settings, needs=("program",)),
    Stage("card", card.judge_cards, needs=("program",)),
    Stage("permission", card.judge_permission, needs=("card",)),
    Stage("driver", card.judge_driver, needs=("permission",)),
    Stage("capabilities", card.judge_capabilities, needs=("permission",)),
    Stage("writeback", card.judge_writebacks, needs=("capabilities",)),
    Stage("reach", pair.judge_reach, needs=("writeback",)),
    Stage("clones", pair.judge_clones, needs=("reach",)),
    Stage("display", card.judge_displays, needs=("writeback",)),
    Stage("master", mastery.judge_master, needs=("writeback",)),
    Stage("access", mastery.judge_access, needs=("writeback",)),
    Stage("test", pair.judge_test, needs=("clones", "display", "master")),
    Stage("memory", card.judge_memory, needs=("display",)),
    Stage("group", service.judge_group),
    Stage("membership", service.judge_membership, after=("group",)),
    Stage("unit", service.judge_units, after=_FATAL),
    Stage("socket", service.judge_socket, after=(*_FATAL, "unit")),
    Stage("daemon", service.judge_daemon, ("socket",), after=(*_FATAL, "membership", "unit")),
    Stage("outputs", service.judge_outputs, needs=("daemon",), after=(*_FATAL, *_WAY)),
    Stage("losses", service.judge_losses, needs=("outputs",)),
    Stage("latency", service.judge_latency, needs=("outputs",)),
)


def examine(facts: Facts) -> list[Check]:
    """Return the answers of all checks."""
    return judge(STAGES, facts)


def summary(facts: Facts, checks: Sequence[Check]) -> str:
    """Return the one sentence that was asked for."""
    cause = root_cause(checks)
    if cause is not None:
        return f"This machine cannot be captured, because {cause.sentence}."
    warnings = sum(check.level is Level.WARN for check in checks)
    note = f" Mind the {warnings} warning{'s'[: warnings > 1]}." if warnings else ""
    return f"This machine can be captured: {_what(facts)}.{note}"


def _what(facts: Facts) -> str:
    ready = [
        f"{one.name} through {one.writeback} of {one.card}"
        for one in displays(facts)
        if one.state == State.READY
    ]
    if ready:
        return ", ".join(ready)
    found = card.the_card(facts)
    if found is None:
        return "the daemon serves a test picture"
    writebacks = ", ".join(one.name for one in found.writebacks)
    return f"{found.target} through {writebacks} of {found.path}"
