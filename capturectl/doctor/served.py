# SPDX-License-Identifier: MIT
"""What the daemon has proved already: where it may, its word counts for more than a look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl.protocol import EngineState, Source, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capturectl.doctor.facts import Facts
    from capturectl.output import Output

_ATTACHED = {EngineState.CAPTURING, EngineState.LINGERING, EngineState.DOUBTED}


def displays(facts: Facts) -> tuple[Output, ...]:
    """Return the daemon's outputs that are displays, and no test pictures."""
    return tuple(one for one in facts.daemon.outputs if one.source != Source.PATTERN)


def is_ready(facts: Facts, path: str, name: str = "") -> bool:
    """Whether the daemon can capture a display of a card (of that name) now."""
    return any(one.state == State.READY for one in _on(facts, path) if name in {"", one.name})


def is_attached(facts: Facts, path: str, writeback: str = "") -> bool:
    """Whether the daemon has a writeback connector of a card (of that name) attached."""
    return any(
        facts.daemon.engines[one.name].state in _ATTACHED
        for one in _on(facts, path)
        if one.name in facts.daemon.engines and writeback in {"", one.writeback}
    )


def _on(facts: Facts, path: str) -> Iterator[Output]:
    return (one for one in displays(facts) if one.card == path)
