# SPDX-License-Identifier: MIT
"""Who of those who may connect may see which output."""

from __future__ import annotations

from capturectl.errors import NotAllowedError, UsageError
from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from captured.server.peer import Peer

ANY_OUTPUT = "*"
"""In the place of an output's name: every output that is not named."""
_ROOT = 0
_LAST = (1 << 32) - 2
"""The highest user and group number; the one above means nobody at all, chown(2)."""


class Rule(NamedTuple):
    """Whom an output is shown to, beside root."""

    uids: frozenset[int]
    gids: frozenset[int]

    def admits(self, peer: Peer) -> bool:
        """Whether a peer is one of them, by its user, its group or a supplementary group."""
        return peer.uid in self.uids or not self.gids.isdisjoint({peer.gid, *peer.groups})


class Access:
    """The policy: by output, a rule. Without any rule, whoever may connect may see."""

    def __init__(self, rules: Mapping[str, Rule] | None = None) -> None:
        """Take the rules, by the output's name or ANY_OUTPUT."""
        self._rules = rules or {}

    def admits(self, peer: Peer, output: str) -> bool:
        """Whether a peer may see an output.

        As soon as there is a rule, what none speaks of is for root alone: a name with a
        mistake in it shuts somebody out, and lets nobody in.
        """
        if peer.uid == _ROOT or not self._rules:
            return True
        rule = self._rules.get(output, self._rules.get(ANY_OUTPUT))
        return rule is not None and rule.admits(peer)

    def check(self, peer: Peer, output: str) -> None:
        """Check that a peer may see an output.

        Raises:
            NotAllowedError: It may not.
        """
        if not self.admits(peer, output):
            raise NotAllowedError(
                f"user {peer.uid} may not see {output}",
                "ask the operator: the setting `allow` says who may",
            )


def parse_rules(allow: Mapping[str, Sequence[str]]) -> dict[str, Rule]:
    """Turn the setting `allow` into rules.

    Args:
        allow: By output, users and @groups, by name or number.

    Raises:
        UsageError: There is no user or group of that name.
    """
    return {
        output: Rule(
            frozenset(_uid(who) for who in names if not who.startswith("@")),
            frozenset(_gid(who[1:]) for who in names if who.startswith("@")),
        )
        for output, names in allow.items()
    }


def _uid(name: str) -> int:
    import pwd

    if name.isdecimal():
        return _number(name, "user")
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):  # the latter of what no name can have in it
        reason = f"allow: there is no user {_shown(name)}"
        raise UsageError(reason, "a group begins with @") from None


def _gid(name: str) -> int:
    return _number(name, "group") if name.isdecimal() else gid_of(name, "allow: ")


def _number(text: str, kind: str) -> int:
    if len(text) > len(str(_LAST)) or (number := int(text)) > _LAST:
        raise UsageError(f"allow: there is no {kind} {text}", f"numbers end at {_LAST}")
    return number


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def gid_of(name: str, where: str = "") -> int:
    """Return a group's number.

    Args:
        name: The group's name.
        where: What the reason begins with.

    Raises:
        UsageError: There is no group of that name.
    """
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        reason = f"{where}there is no group {_shown(name)}"
        raise UsageError(reason, "groupadd it, or name another") from None


def allow_from_text(text: str) -> dict[str, list[str]]:
    """Read the setting `allow` as the command line spells it: "OUTPUT=WHO,WHO;WHO"."""
    allow = {}
    for part in filter(None, text.split(";")):
        output, equals, names = part.rpartition("=")
        allow[output if equals else ANY_OUTPUT] = names.split(",") if names else []
    return allow


def is_allow(value: Mapping[str, object]) -> bool:
    """Whether the setting `allow` has the form that it must have."""
    return all(
        isinstance(names, list) and all(isinstance(who, str) and who.strip("@") for who in names)
        for names in value.values()
    )
