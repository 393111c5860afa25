# SPDX-License-Identifier: MIT
"""Checks in the order of cause and effect, and what they mean together.

A stage is looked at only when what it stands on is sound, and a failure that follows from an
earlier one is no failure of its own. So the first FAIL is the root cause.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capturectl.doctor.facts import Facts


class Level(Enum):
    """How a check ended."""

    PASS = "pass"
    WARN = "warn"
    """Captures are possible; something may spoil them."""
    FAIL = "fail"
    SKIP = "skip"
    """Could not be seen, or need not be."""


class Check(NamedTuple):
    """One check's answer."""

    level: Level
    sentence: str
    remedy: str = ""
    code: str = ""
    """A stable word for what failed, as in our errors."""
    exit_code: int = 0
    topic: str = ""
    """The stage's."""
    number: int = 0


def passed(sentence: str) -> Check:
    """Return the answer that all is well."""
    return Check(Level.PASS, sentence)


def warned(sentence: str, remedy: str = "", code: str = "") -> Check:
    """Return the answer that something may spoil captures."""
    return Check(Level.WARN, sentence, remedy, code)


def failed(code: str, exit_code: int, sentence: str, remedy: str = "") -> Check:
    """Return the answer that nothing can be captured like this."""
    return Check(Level.FAIL, sentence, remedy, code, exit_code)


def skipped(sentence: str, remedy: str = "", *, number: int = 0) -> Check:
    """Return the answer that there was nothing to see, and why."""
    return Check(Level.SKIP, sentence, remedy, number=number)


class Stage(NamedTuple):
    """A question, and what it stands on."""

    topic: str
    judge: Callable[[Facts], Sequence[Check]]
    needs: tuple[str, ...] = ()
    """Earlier topics; each must have something that is sound."""
    after: tuple[str, ...] = ()
    """Earlier topics; where one of them failed, a failure here follows from it."""


def judge(stages: Sequence[Stage], facts: Facts) -> list[Check]:
    """Return the answers of all stages, numbered from 1."""
    checks: list[Check] = []
    first: dict[str, int] = {}
    for stage in stages:
        found = _look(stage, facts, checks, first)
        first[stage.topic] = _root(stage, found, checks, first)
        for check in found:
            checks.append(check._replace(topic=stage.topic, number=len(checks) + 1))
    return checks


def _look(
    stage: Stage, facts: Facts, checks: Sequence[Check], first: dict[str, int]
) -> Sequence[Check]:
    unsound = _unsound(stage, checks)
    if unsound:
        return [skipped(f"not looked at: see {first[unsound]}")]
    broken = next((c for c in checks if c.level is Level.FAIL and c.topic in stage.after), None)
    found = stage.judge(facts)
    if broken is None:
        return found
    return [_follow(check, broken) if check.level is Level.FAIL else check for check in found]


def _unsound(stage: Stage, checks: Sequence[Check]) -> str:
    """Return the first topic that the stage needs and that has nothing sound."""
    sound = {check.topic for check in checks if check.level in {Level.PASS, Level.WARN}}
    return next((topic for topic in stage.needs if topic not in sound), "")


def _root(
    stage: Stage, found: Sequence[Check], checks: Sequence[Check], first: dict[str, int]
) -> int:
    """Return the number of the check that says why this stage has nothing sound."""
    if unsound := _unsound(stage, checks):
        return first[unsound]
    if follows := next((check.number for check in found if check.number), 0):
        return follows
    bad = [n for n, check in enumerate(found) if check.level is Level.FAIL]
    return len(checks) + 1 + (bad[0] if bad else 0)


def _follow(check: Check, cause: Check) -> Check:
    """Return a failure as what it is, a consequence; its number is that of the cause as yet."""
    return skipped(f"{check.sentence}; that follows from {cause.number}", number=cause.number)


def root_cause(checks: Sequence[Check]) -> Check | None:
    """Return the failure that the others follow from; None when captures work."""
    return next((check for check in checks if check.level is Level.FAIL), None)


def exit_status(checks: Sequence[Check]) -> int:
    """Return 0 when captures work, else the status of the root cause."""
    cause = root_cause(checks)
    return cause.exit_code if cause else 0
