# SPDX-License-Identifier: MIT
"""capturectl metrics: the daemon's counters, as Prometheus reads them."""

from __future__ import annotations

from typing import NamedTuple

from capturectl.cli.options import add_json, socket_of
from capturectl.cli.output import print_json, require_stdout, write_file
from capturectl.cli.records import word_of
from capturectl.cli.table import printable
from capturectl.client import connect
from capturectl.errors import CaptureError
from capturectl.protocol import EngineState, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from capturectl.client import Client
    from capturectl.conversation import Subscribed
    from capturectl.output import Output
    from capturectl.protocol import EngineStatus

ABOUT = """\
One scrape a run, in the text format of Prometheus. For node_exporter's textfile collector:

  capturectl metrics --file /var/lib/node_exporter/captured.prom

from a timer. Where the daemon does not answer, that file says `captured_up 0`, and the exit status
says why.
"""
EXAMPLES = ("capturectl metrics", "capturectl metrics --file captured.prom")


Sample = tuple["Mapping[str, str]", float]


class Family(NamedTuple):
    """A metric: what it counts, and its values."""

    name: str
    kind: str
    """counter, gauge or summary."""
    about: str
    samples: Sequence[Sample]
    """Labels and value."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `metrics` takes."""
    parser.add_argument(
        "--file", metavar="PATH", help="write them there, whole or not at all, instead of printing"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the metrics, or write them into a file; return 0."""
    try:
        with connect(socket_of(options)) as client:
            families = list(read_families(client))
    except CaptureError:
        if options.file is not None:
            write_file(options.file, _text([_up(0)]).encode())
        raise
    if options.json:
        print_json({"metrics": [_json(family) for family in families]}, "metrics")
    if options.file is not None:
        write_file(options.file, _text(families).encode())
    elif not options.json:
        require_stdout()
        print(_text(families), end="")
    return 0


# -- what is counted --------------------------------------------------------------------------


def read_families(client: Client) -> Iterable[Family]:
    """Ask the daemon, and yield the metrics."""
    outputs, engines = client.outputs(), client.engines()
    rows = [row for row in client.clients() if row.output]
    about = {"version": client.daemon_version, "driver": client.driver}
    yield _up(1)
    yield Family("captured_info", "gauge", "The daemon.", [(about, 1)])
    yield from _of_outputs(outputs)
    yield from _of_engines(engines)
    yield from _of_clients(rows)


def _up(value: int) -> Family:
    return Family("captured_up", "gauge", "Whether the daemon answers.", [({}, value)])


def _of_outputs(outputs: Iterable[Output]) -> Iterable[Family]:
    about, states, rates = [], [], []
    for output in outputs:
        name = {"output": output.name}
        source = (output.source.name or "").lower()
        about.append(
            ({**name, "source": source, "card": output.card, "writeback": output.writeback}, 1.0)
        )
        states += [
            ({**name, "state": state.name.lower()}, float(state == output.state))
            for state in State
        ]
        rates.append((name, output.refresh_mhz / 1000))
    yield Family("captured_output_info", "gauge", "An output.", about)
    yield Family("captured_output_state", "gauge", "Whether it can be captured.", states)
    yield Family("captured_output_refresh_hertz", "gauge", "Of its mode; 0 when off.", rates)


_ENGINE_COUNTERS = (
    ("captured", "captures", "Pictures since the daemon started."),
    ("missed", "missed", "Pictures that the source was asked for and did not deliver."),
    ("lost", "lost", "Of those, captures whose fence never ended."),
    ("revoked", "revoked", "Frames taken back from clients that held them for too long."),
    ("attached", "attached", "How often the writeback connector was attached."),
)
_ENGINE_GAUGES = (
    ("subscribers", "subscribers", "Subscriptions now.", 1),
    ("fps_millihertz", "frames_per_second", "Pictures in the last second.", 1000),
    ("pool_bytes", "pool_bytes", "Memory of all buffers of the pool.", 1),
    ("retired_bytes", "retired_bytes", "Memory of former pools that clients may hold.", 1),
)
_ENGINE_SUMMARIES = (
    ("commit_to_fence", "From asking for a picture to its last write, the last captures."),
    ("fence_to_sent", "From the last write until every client was told, the last captures."),
)
_QUANTILES = (("0.5", "p50"), ("0.99", "p99"))


def _of_engines(engines: Mapping[str, EngineStatus]) -> Iterable[Family]:
    states = [
        ({"output": name, "state": word_of(EngineState, state)}, float(state == engine.state))
        for name, engine in engines.items()
        for state in EngineState
    ]
    yield Family("captured_engine_state", "gauge", "What the daemon does with it.", states)
    for field, name, about in _ENGINE_COUNTERS:
        yield _engine_family(engines, f"captured_{name}_total", "counter", about, field, 1)
    for field, name, about, divisor in _ENGINE_GAUGES:
        yield _engine_family(engines, f"captured_{name}", "gauge", about, field, divisor)
    for field, about in _ENGINE_SUMMARIES:
        yield Family(f"captured_{field}_seconds", "summary", about, [
            ({"output": name, "quantile": quantile}, getattr(engine, f"{field}_{part}_us") / 1e6)
            for name, engine in engines.items()
            for quantile, part in _QUANTILES
        ])  # fmt: skip
    yield _buffers(engines)


def _engine_family(
    engines: Mapping[str, EngineStatus],
    name: str,
    kind: str,
    about: str,
    field: str,
    divisor: int,
) -> Family:
    samples = [
        ({"output": output}, getattr(engine, field) / divisor)
        for output, engine in engines.items()
    ]
    return Family(name, kind, about, samples)


def _buffers(engines: Mapping[str, EngineStatus]) -> Family:
    samples: list[Sample] = []
    for name, engine in engines.items():
        known = {
            "free": engine.buffers_free,
            "lent": engine.buffers_lent,
            "quarantined": engine.buffers_quarantined,
        }
        counts = {**known, "other": engine.buffers - sum(known.values())}
        samples += [({"output": name, "state": state}, count) for state, count in counts.items()]
    return Family("captured_pool_buffers", "gauge", "Buffers of the pool.", samples)


_CLIENT_COUNTERS = (
    ("sent", "frames_sent", "Frames sent to the client."),
    ("skipped", "frames_skipped", "Frames that it went without."),
    ("revoked", "frames_revoked", "Frames taken back from it."),
)
_CLIENT_GAUGES = (
    ("held", "frames_held", "Frames that it has."),
    ("credits", "credits", "Frames that it could take now."),
)


def _of_clients(rows: Iterable[Subscribed]) -> Iterable[Family]:
    labelled = [(_client_labels(row), row.status) for row in rows]
    for field, name, about in _CLIENT_COUNTERS:
        samples = [(labels, float(getattr(client, field))) for labels, client in labelled]
        yield Family(f"captured_client_{name}_total", "counter", about, samples)
    for field, name, about in _CLIENT_GAUGES:
        samples = [(labels, float(getattr(client, field))) for labels, client in labelled]
        yield Family(f"captured_client_{name}", "gauge", about, samples)


def _client_labels(row: Subscribed) -> Mapping[str, str]:
    client = row.status
    return {
        "client": str(client.client),
        "name": client.name,
        "pid": str(client.pid),
        "output": row.output,
    }


# -- how it is written ------------------------------------------------------------------------


def _text(families: Iterable[Family]) -> str:
    return "".join(line + "\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterable[str]:
    yield f"# HELP {family.name} {family.about}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels, value in family.samples:
        words = ",".join(f'{name}="{_escape(label)}"' for name, label in labels.items())
        yield f"{family.name}{{{words}}} {value:.15g}" if words else f"{family.name} {value:.15g}"


def _escape(label: str) -> str:
    return printable(label).replace("\\", r"\\").replace('"', r"\"")


def _json(family: Family) -> dict[str, object]:
    samples = [{"labels": labels, "value": value} for labels, value in family.samples]
    return {"name": family.name, "kind": family.kind, "help": family.about, "samples": samples}
