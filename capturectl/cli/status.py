# SPDX-License-Identifier: MIT
"""capturectl status: all that the daemon knows of its outputs."""

from __future__ import annotations

from typing import NamedTuple

from capturectl.cli.list import as_json, mode_text
from capturectl.cli.options import add_json, socket_of
from capturectl.cli.output import print_json
from capturectl.cli.records import (
    client_json,
    engine_json,
    engine_state,
    plane_format,
    plane_json,
    seconds_since,
    user_name,
)
from capturectl.cli.table import age, counted, mebibytes, milliseconds, pairs, printable
from capturectl.client import connect
from capturectl.errors import ProtocolError
from capturectl.fourcc import fourcc_name
from capturectl.protocol import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from capturectl.client import Client
    from capturectl.conversation import Subscribed
    from capturectl.output import Output
    from capturectl.protocol import EngineStatus, PlaneStatus

EXAMPLES = ("capturectl status", "capturectl status HDMI-A-1 --json")


class Status(NamedTuple):
    """All that the daemon knows of one output."""

    output: Output
    engine: EngineStatus
    planes: tuple[PlaneStatus, ...]
    subscribers: tuple[Subscribed, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `status` takes."""
    parser.add_argument(
        "output", nargs="?", metavar="OUTPUT", help="such as HDMI-A-1 (default: all)"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what there is to know of one output or all; return 0."""
    with connect(socket_of(options)) as client:
        found = read_status(client, options.output)
        about = {"driver": client.driver, "daemon": client.daemon_version}
    if options.json:
        print_json({**about, "outputs": [_json(status) for status in found]}, "status")
        return 0
    print("\n\n".join(map(_text, found)) or "The daemon has no output.")
    return 0


def read_status(client: Client, name: str | None = None) -> list[Status]:
    """Ask the daemon about one output, or all.

    Raises:
        NoOutputError: There is none of that name.
        ProtocolError: The daemon left an output out of its answer.
    """
    outputs = client.outputs() if name is None else (client.output(name),)
    engines, clients = client.engines(), client.clients()
    return [
        Status(
            output,
            _engine_of(output, engines),
            client.planes(output.name),
            tuple(row for row in clients if row.output == output.name),
        )
        for output in outputs
    ]


def _engine_of(output: Output, engines: Mapping[str, EngineStatus]) -> EngineStatus:
    if output.name not in engines:
        raise ProtocolError(f"the daemon does not say what it does with {output.name}")
    return engines[output.name]


def _json(status: Status) -> dict[str, object]:
    now_ns = status.engine.time_ns
    return {
        **as_json(status.output),
        "engine": engine_json(status.engine),
        "planes": [plane_json(plane) for plane in status.planes],
        "subscribers": [client_json(row, now_ns) for row in status.subscribers],
    }


# -- for people -------------------------------------------------------------------------------


def _text(status: Status) -> str:
    fields = [
        *_output_fields(status.output),
        ("Planes", _lines(map(_plane, status.planes))),
        *_engine_fields(status.engine),
        ("Clients", _lines(map(_client, status.subscribers)) or "none"),
        ("Last error", _last_error(status.engine)),
    ]
    return "\n".join([printable(status.output.name), *pairs(fields)])


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(map(printable, texts))


def _output_fields(output: Output) -> list[tuple[str, str]]:
    is_writeback = output.source == Source.WRITEBACK
    return [
        ("State", output.state.name.lower()),
        ("Reason", printable(": ".join(filter(None, (output.reason, output.hint))))),
        ("Mode", mode_text(output)),
        ("Source", (output.source.name or "").lower()),
        ("Card", printable(output.card)),
        ("Connector", str(output.connector_id or "")),
        ("CRTC", str(output.crtc_id or "")),
        ("Writeback", printable(output.writeback)),
        ("Clones", _clones(output) if is_writeback else ""),
        ("Formats", _formats(output)),
    ]


def _clones(output: Output) -> str:
    return printable(" ".join(output.clones)) or "none that the driver declares"


def _formats(output: Output) -> str:
    names = [
        f"{fourcc_name(fourcc)}{' (in use)' if fourcc == output.fourcc else ''}"
        for fourcc in output.fourccs
    ]
    return printable(", ".join(names))


def _engine_fields(engine: EngineStatus) -> list[tuple[str, str]]:
    taken = _spread(engine.commit_to_fence_p50_us, engine.commit_to_fence_p99_us)
    sent = _spread(engine.fence_to_sent_p50_us, engine.fence_to_sent_p99_us)
    return [
        ("Attach", engine_state(engine)),
        ("Attached", counted(engine.attached, "time")),
        ("Pool", _pool(engine)),
        ("Retired", mebibytes(engine.retired_bytes) if engine.retired_bytes else ""),
        ("Rate", f"{engine.fps_millihertz / 1000:.1f} fps"),
        ("Commit to fence", taken if engine.captured else ""),
        ("Fence to sent", sent if engine.captured else ""),
        (
            "Frames",
            f"{engine.captured} captured, {engine.missed} missed, {engine.lost} lost, "
            f"{engine.revoked} revoked",
        ),
    ]


def _pool(engine: EngineStatus) -> str:
    if not engine.buffers:
        return "none"
    return (
        f"{counted(engine.buffers, 'buffer')} ({mebibytes(engine.pool_bytes)}): "
        f"{engine.buffers_free} free, {engine.buffers_lent} lent, "
        f"{engine.buffers_quarantined} quarantined; generation {engine.generation}"
    )


def _spread(p50_us: int, p99_us: int) -> str:
    return f"{milliseconds(p50_us)} (p50), {milliseconds(p99_us)} (p99)"


def _plane(plane: PlaneStatus) -> str:
    place = f"{plane.width}x{plane.height}{plane.x:+d}{plane.y:+d}"
    setter = f", set by {plane.setter}" if plane.setter else ""
    name = f"{plane.plane_id} {plane.kind}"
    return f"{name} {place} {plane_format(plane) or '?'}, zpos {plane.zpos}{setter}"


def _client(row: Subscribed) -> str:
    client = row.status
    return f"{client.client} {client.name} (pid {client.pid}, {user_name(client.uid)})"


def _last_error(engine: EngineStatus) -> str:
    if not engine.word:
        return ""
    ago = age(seconds_since(engine.time_error_ns, engine.time_ns))
    return printable(": ".join(filter(None, (f"{ago} ago", engine.reason, engine.hint))))
