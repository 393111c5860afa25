# SPDX-License-Identifier: MIT
"""What the commands that look say of engines, planes and clients: the words, and the JSON."""

from __future__ import annotations

from capturectl.fourcc import fourcc_name
from capturectl.protocol import ClientFlag, EngineState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import IntEnum

    from capturectl.conversation import Subscribed
    from capturectl.protocol import EngineStatus, PlaneStatus


def word_of(kind: type[IntEnum], value: int) -> str:
    """Return a value's word, such as "client-left"; a newer daemon's is a number here."""
    try:
        return kind(value).name.lower().replace("_", "-")
    except ValueError:
        return f"unknown-{value}"


def engine_state(engine: EngineStatus) -> str:
    """Return what the daemon does with an output, as a word."""
    return word_of(EngineState, engine.state)


def client_flags(flags: int) -> list[str]:
    """Return how a client stands, as words."""
    return [(flag.name or "").lower() for flag in ClientFlag if flags & flag]


def user_name(uid: int) -> str:
    """Return a user's name; the number where there is none."""
    from pwd import getpwuid

    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def plane_format(plane: PlaneStatus) -> str | None:
    """Return a plane's pixel format; None where the kernel does not tell."""
    return fourcc_name(plane.fourcc) if plane.fourcc else None


def engine_json(engine: EngineStatus) -> dict[str, object]:
    """Return what JSON says of an engine."""
    counts = ("subscribers", "captured", "missed", "lost", "revoked", "attached", "generation")
    return {
        "state": engine_state(engine),
        **{name: getattr(engine, name) for name in counts},
        "fps": engine.fps_millihertz / 1000,
        "commit_to_fence_us": {
            "p50": engine.commit_to_fence_p50_us,
            "p99": engine.commit_to_fence_p99_us,
        },
        "fence_to_sent_us": {
            "p50": engine.fence_to_sent_p50_us,
            "p99": engine.fence_to_sent_p99_us,
        },
        "pool": {
            "buffers": engine.buffers,
            "free": engine.buffers_free,
            "lent": engine.buffers_lent,
            "quarantined": engine.buffers_quarantined,
            "bytes": engine.pool_bytes,
            "retired_bytes": engine.retired_bytes,
        },
        "last_error": _last_error(engine),
    }


def _last_error(engine: EngineStatus) -> dict[str, object] | None:
    if not engine.word:
        return None
    return {
        "code": engine.word,
        "reason": engine.reason,
        "hint": engine.hint,
        "time_ns": engine.time_error_ns,
        "age_s": seconds_since(engine.time_error_ns, engine.time_ns),
    }


def seconds_since(then_ns: int, now_ns: int) -> float:
    """Return the time between two of the daemon's clock, in seconds, never negative."""
    return max(0, now_ns - then_ns) / 1e9


def plane_json(plane: PlaneStatus) -> dict[str, object]:
    """Return what JSON says of a plane."""
    fields = plane._asdict()
    del fields["fourcc"]
    return fields | {"format": plane_format(plane), "setter": plane.setter or None}


def client_json(row: Subscribed, now_ns: int) -> dict[str, object]:
    """Return what JSON says of a client and its subscription."""
    client = row.status
    kept = ("client", "name", "pid", "uid", "gid", "sent", "skipped", "held", "credits", "revoked")
    rate = client.max_fps_millihertz
    return {
        **{name: getattr(client, name) for name in kept},
        "user": user_name(client.uid),
        "output": row.output or None,
        "max_fps": rate / 1000 if rate else None,
        "flags": client_flags(client.flags),
        "connected_s": seconds_since(client.time_connected_ns, now_ns),
    }


def daemons_now_ns(engines: dict[str, EngineStatus]) -> int:
    """Return the daemon's CLOCK_MONOTONIC: over ssh it is not this machine's."""
    from time import monotonic_ns

    return max((engine.time_ns for engine in engines.values()), default=monotonic_ns())
