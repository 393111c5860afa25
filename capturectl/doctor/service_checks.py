# SPDX-License-Identifier: MIT
"""Checks of the service: group, unit, socket, daemon, and what it has seen. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capturectl.doctor.card_checks import NOT_ALLOWED, OFF, UNSUPPORTED, the_card
from capturectl.doctor.served import displays
from capturectl.doctor.verdict import failed, passed, skipped, warned
from capturectl.protocol import EngineState, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capturectl.doctor.facts import Facts, Unit
    from capturectl.doctor.verdict import Check
    from capturectl.output import Output
    from capturectl.protocol import EngineStatus

UNREACHABLE = 3
ENOUGH_CAPTURES = 100
"""With fewer, that none was lost says nothing of a driver that is known to lose some."""

_UNSUPPORTED_WORDS = frozenset(
    ("no-card", "no-writeback", "wrong-crtc", "clone-refused", "attach-refused", "no-format",
     "no-mode", "no-output", "unsupported")
)  # fmt: skip


def judge_group(facts: Facts) -> Sequence[Check]:
    """Is there the group whose members may connect?"""
    wanted = _wanted_group(facts)
    if not wanted:
        return [passed("no group is set: root alone may connect")]
    if wanted not in facts.groups:
        remedy = f"make it: groupadd --system {wanted}"
        return [failed("no-group", 1, f"the group {wanted} does not exist", remedy)]
    return [passed(f"members of the group {wanted} may connect")]


def _wanted_group(facts: Facts) -> str:
    """Return the group of the settings, of the socket's unit, or of the socket that is there."""
    settings = facts.examination.settings if facts.examination else {}
    unit = (facts.units or {}).get("captured.socket")
    return settings.get("group") or (unit.group if unit else "") or _sockets_group(facts)


def _sockets_group(facts: Facts) -> str:
    """Return the group whose members the socket lets in; empty when that is root alone."""
    node = facts.socket.node
    return node.group if node and node.is_for_group and node.group != "root" else ""


def judge_membership(facts: Facts) -> Sequence[Check]:
    """May this user connect?"""
    user = facts.user
    group = _sockets_group(facts) if facts.socket.node else _wanted_group(facts)
    if user.uid == 0 or group in user.groups:
        return [passed(f"user {user.name} may connect")]
    if facts.daemon.problem is None:
        return [passed(f"user {user.name} connects without a group for it")]
    if not group:
        remedy = "ask as root, or set a group in captured.toml and join it"
        return [failed("not-allowed", NOT_ALLOWED, f"user {user.name} is not root", remedy)]
    remedy = f"usermod -aG {group} {user.name}, and log in again"
    sentence = f"user {user.name} is not in the group {group}"
    return [failed("not-allowed", NOT_ALLOWED, sentence, remedy)]


def judge_units(facts: Facts) -> Sequence[Check]:
    """Does systemd run the service?"""
    if facts.units is None:
        return [skipped("systemd does not run here")]
    service, socket = (facts.units.get(f"captured.{kind}") for kind in ("service", "socket"))
    if service is None or service.load in {"", "not-found"}:
        return [skipped("captured.service is not installed")]
    return [_unit(facts, service, socket)]


def _unit(facts: Facts, service: Unit, socket: Unit | None) -> Check:
    is_reached = facts.daemon.problem is None
    for unit in filter(None, (socket, service)):
        if unit.active == "failed" and not is_reached:
            remedy = f"journalctl -u {unit.name} says why; then systemctl restart {unit.name}"
            return failed("unit-failed", 1, f"{unit.name} has failed ({unit.result})", remedy)
    if service.active in {"active", "activating", "reloading"}:
        return passed(f"captured.service is {service.active} ({service.sub})")
    if socket is not None and socket.active == "active":
        return passed("captured.socket listens: the first client starts the service")
    if is_reached:
        return skipped("captured runs, but systemd did not start it")
    sentence = f"captured.service is {service.active}, and so is its socket"
    return failed("unreachable", UNREACHABLE, sentence, "systemctl enable --now captured.socket")


def judge_socket(facts: Facts) -> Sequence[Check]:
    """Is there a socket to connect to?"""
    socket = facts.socket
    if socket.problem is not None:
        problem = socket.problem
        return [failed(problem.code, problem.exit_code, problem.reason, problem.hint)]
    if socket.node is None:
        remedy = _how_to_start(facts)
        return [failed("unreachable", UNREACHABLE, f"there is no socket {socket.path}", remedy)]
    if not socket.is_socket:
        remedy = "name the daemon's socket with -S"
        return [failed("unreachable", UNREACHABLE, f"{socket.path} is no socket", remedy)]
    return [passed(f"{socket.path} ({socket.node.text})")]


def _how_to_start(facts: Facts) -> str:
    settings = facts.examination.settings if facts.examination else {}
    if settings.get("socket", facts.socket.path) != facts.socket.path:
        return f"start captured; its settings name another socket: -S {settings['socket']}"
    return "start captured (systemctl start captured.socket), or name its socket with -S"


def judge_daemon(facts: Facts) -> Sequence[Check]:
    """Does the daemon answer?"""
    daemon = facts.daemon
    if daemon.problem is not None:
        problem = daemon.problem
        return [failed(problem.code, problem.exit_code, problem.reason, problem.hint)]
    return [passed(f"captured {daemon.version} answers")]


def judge_outputs(facts: Facts) -> Sequence[Check]:
    """What does the daemon say of its outputs?"""
    if not facts.daemon.outputs:
        sentence = f"captured shows user {facts.user.name} no output"
        return [failed("no-output", UNSUPPORTED, sentence, "its settings and its log say why")]
    if not displays(facts):
        return [_no_display(facts)]
    found = []
    for output in displays(facts):
        found.append(_output(output))
        found.extend(_last_error(output.name, facts))
    return found


def _no_display(facts: Facts) -> Check:
    sentence = f"captured {facts.daemon.version} serves a test picture, and no display"
    remedy = "start it without --pattern"
    if the_card(facts) is None:
        return failed("no-output", UNSUPPORTED, sentence, remedy)
    return warned(sentence, remedy, "no-output")


def _output(output: Output) -> Check:
    if output.state == State.READY:
        return passed(f"{output.name} is ready, with {output.clients} clients")
    status = OFF if output.state == State.OFF else UNSUPPORTED
    if output.state == State.BLOCKED and output.code not in _UNSUPPORTED_WORDS:
        status = NOT_ALLOWED if output.code == "not-allowed" else 1
    return failed(output.code, status, f"the daemon says: {output.reason}", output.hint)


def _last_error(name: str, facts: Facts) -> Sequence[Check]:
    engine = facts.daemon.engines.get(name)
    if engine is None or not engine.word:
        return []
    ago = (engine.time_ns - engine.time_error_ns) / 1e9
    return [
        warned(f"{name}: last error, {ago:.0f} s ago: {engine.reason}", engine.hint, engine.word)
    ]


def judge_losses(facts: Facts) -> Sequence[Check]:
    """Does the driver lose captures, by the daemon's own count?"""
    found = [_losses(facts, name, engine) for name, engine in _engines(facts)]
    return found or [skipped("the daemon does not say")]


def _losses(facts: Facts, name: str, engine: EngineStatus) -> Check:
    card = the_card(facts)
    quirk = card.quirk("loses-captures") if card else None
    counted = f"{engine.lost} of {engine.captured + engine.lost} captures of {name}"
    is_given_up = engine.word == "out-of-step" or engine.state == EngineState.DOUBTED
    if engine.lost and (quirk or is_given_up):
        remedy = (
            quirk.remedy if quirk else "load the driver's module anew; report it to its authors"
        )
        return failed("loses-captures", 1, f"the driver loses captures: {counted} were", remedy)
    if engine.lost:
        return warned(f"{counted} were lost", "no false picture was sent; see the log", "lost")
    if engine.captured >= ENOUGH_CAPTURES or (engine.captured and not quirk):
        return passed(f"none of {engine.captured} captures of {name} was lost so far")
    if quirk is None:
        return skipped("nothing was captured yet", "--measure captures some pictures")
    sentence = (
        f"the driver may lose captures: {quirk.sentence}; {engine.captured} tell nothing yet"
    )
    return warned(sentence, "--measure captures enough pictures to tell", "loses-captures")


def judge_latency(facts: Facts) -> Sequence[Check]:
    """How long does a capture take, by the daemon's own measure?"""
    found = [_latency(facts, name, engine) for name, engine in _engines(facts)]
    return found or [skipped("the daemon does not say")]


def _latency(facts: Facts, name: str, engine: EngineStatus) -> Check:
    half, most = engine.commit_to_fence_p50_us / 1000, engine.commit_to_fence_p99_us / 1000
    if not half:
        remedy = "--measure captures some pictures (attaching may make the display flicker)"
        return skipped(f"{name}: nothing was captured yet", remedy)
    sentence = f"{name}: a capture takes {half:.1f} ms from commit to fence (99 %: {most:.1f} ms)"
    refresh = next(one.refresh_mhz for one in displays(facts) if one.name == name) / 1000
    if refresh and half > 2500 / refresh:
        return warned(f"{sentence}, more than two frames", "a smaller mode is faster", "slow")
    return passed(sentence)


def _engines(facts: Facts) -> list[tuple[str, EngineStatus]]:
    engines = facts.daemon.engines
    return [(one.name, engines[one.name]) for one in displays(facts) if one.name in engines]
