# SPDX-License-Identifier: MIT
"""How things are at one time, and the rates since the time before: as tables and as JSON."""

from __future__ import annotations

import time
from typing import NamedTuple

from capturectl.cli.records import client_flags, client_json, engine_json, engine_state
from capturectl.cli.table import clip, counted, narrow_table, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capturectl.client import Client
    from capturectl.conversation import Subscribed
    from capturectl.protocol import EngineStatus

_OUTPUTS = (
    "OUTPUT", "STATE", "FPS", "MISSED", "LOST", "POOL", "COMMIT-FENCE", "FENCE-SENT",
)  # fmt: skip
_CLIENTS = ("ID", "NAME", "OUTPUT", "FPS", "SKIPPED/S", "HELD", "CREDITS", "FLAGS")
_NUMBERS = {
    "ID", "FPS", "MISSED", "LOST", "POOL", "COMMIT-FENCE", "FENCE-SENT", "SKIPPED/S", "HELD",
    "CREDITS",
}  # fmt: skip


class Sample(NamedTuple):
    """How things were at one time."""

    about: str
    """The daemon, in words."""
    time_ns: int
    """CLOCK_MONOTONIC of the daemon."""
    engines: dict[str, EngineStatus]
    clients: dict[tuple[int, str], Subscribed]
    """Those with a subscription, by number and output."""


def read_sample(client: Client) -> Sample:
    """Ask the daemon how things are."""
    engines, rows = client.engines(), client.clients()
    return Sample(
        f"captured {client.daemon_version} ({client.driver})",
        max((engine.time_ns for engine in engines.values()), default=0),
        engines,
        {(row.status.client, row.output): row for row in rows if row.output},
    )


class _Rates(NamedTuple):
    """Of one client between two samples, a second; None when there is no earlier one."""

    fps: float | None
    skipped: float | None


def _rates(key: tuple[int, str], now: Sample, before: Sample | None) -> _Rates:
    if before is None or key not in before.clients or now.time_ns <= before.time_ns:
        return _Rates(None, None)
    seconds = (now.time_ns - before.time_ns) / 1e9
    new, old = now.clients[key].status, before.clients[key].status
    if new.sent < old.sent:
        return _Rates(None, None)  # it has subscribed anew
    return _Rates((new.sent - old.sent) / seconds, (new.skipped - old.skipped) / seconds)


def as_lines(now: Sample, before: Sample | None, width: int | None) -> list[str]:
    """Return the tables, in lines of so many columns at most; None for any width."""
    stamp = time.strftime("%H:%M:%S")
    outputs = counted(len(now.engines), "output")
    clients = counted(len(now.clients), "subscription")
    head = printable(f"{stamp}  {now.about}  {outputs}, {clients}")
    lines = [head if width is None else clip(head, width), ""]
    rows = (_output_row(name, engine) for name, engine in now.engines.items())
    lines += narrow_table([_OUTPUTS, *rows], width, _NUMBERS)
    if now.clients:
        client_rows = (_client_row(key, now, before) for key in now.clients)
        lines += ["", *narrow_table([_CLIENTS, *client_rows], width, _NUMBERS)]
    return lines


def _output_row(name: str, engine: EngineStatus) -> tuple[str, ...]:
    return (
        name,
        engine_state(engine),
        f"{engine.fps_millihertz / 1000:.1f}",
        str(engine.missed),
        str(engine.lost),
        f"{engine.buffers - engine.buffers_free}/{engine.buffers}",
        _spread(engine.commit_to_fence_p50_us, engine.commit_to_fence_p99_us),
        _spread(engine.fence_to_sent_p50_us, engine.fence_to_sent_p99_us),
    )


def _spread(p50_us: int, p99_us: int) -> str:
    return f"{p50_us / 1000:.1f}/{p99_us / 1000:.1f}"


def _client_row(key: tuple[int, str], now: Sample, before: Sample | None) -> tuple[str, ...]:
    client, rates = now.clients[key].status, _rates(key, now, before)
    return (
        str(client.client),
        client.name or "-",
        now.clients[key].output,
        "-" if rates.fps is None else f"{rates.fps:.1f}",
        "-" if rates.skipped is None else f"{rates.skipped:.1f}",
        str(client.held),
        str(client.credits),
        ",".join(client_flags(client.flags)) or "-",
    )


def as_json(now: Sample, before: Sample | None) -> dict[str, object]:
    """Return what JSON says of one time."""
    return {
        "time_ns": now.time_ns,
        "interval_s": (now.time_ns - before.time_ns) / 1e9 if before else None,
        "outputs": [{"name": name, **engine_json(engine)} for name, engine in now.engines.items()],
        "clients": [_client_json(key, now, before) for key in now.clients],
    }


def _client_json(key: tuple[int, str], now: Sample, before: Sample | None) -> dict[str, object]:
    rates = _rates(key, now, before)
    return {
        **client_json(now.clients[key], now.time_ns),
        "fps": rates.fps,
        "skipped_per_s": rates.skipped,
    }
