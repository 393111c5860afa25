# SPDX-License-Identifier: MIT
"""capturectl monitor: what happens at the daemon, one JSON object a line."""

from __future__ import annotations

import argparse
import math
import sys
import time

from capturectl.cli.options import count, seconds, socket_of
from capturectl.cli.output import forget_stdout, print_json
from capturectl.cli.records import word_of
from capturectl.client import connect
from capturectl.errors import CaptureError, CaptureTimeoutError
from capturectl.protocol import EventKind
from capturectl.reach import may_come_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from capturectl.client import Client
    from capturectl.event import Event

ABOUT = """\
Each line is a JSON object: `schema`, `kind`, `time` (UTC) and `time_ns` (CLOCK_MONOTONIC), and
`output`, `client`, `sequence` and `error`, each null where it is about none; an `output-state`
without an error says that the output is ready, and the `sequence` of `events-lost` how many
events came too fast for this command. The command itself says `daemon-startup` when it has begun
to listen, `daemon-shutdown` when the daemon has said that it ends, and `connection-lost` when the
connection has ended otherwise.
"""
EXAMPLES = (
    "capturectl monitor --wait --reconnect",
    "capturectl monitor | jq -r 'select(.error) | .error.reason'",
    "capturectl monitor -n 1 --timeout 10",
)

_PAUSE_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `monitor` takes."""
    parser.add_argument(
        "-w", "--wait", action="store_true", help="wait for a daemon that is not there yet"
    )
    parser.add_argument(
        "-r", "--reconnect", action="store_true", help="when the daemon goes, go on with the next"
    )
    parser.add_argument(
        "-n", "--count", type=count, metavar="N",
        help="end after N events, not counting this command's own (default: never)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=seconds, metavar="SEC",
        help="end after so many seconds; with -n, exit 6 when not all have come by then",
    )  # fmt: skip
    # Its lines are JSON always; for whoever gives the option to every command.
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Print events until enough have come, or the time is over; return 0."""
    end = math.inf if options.timeout is None else time.monotonic() + options.timeout
    events = _events(options, end)
    try:
        for came, event in enumerate(events, 1):
            _print(event)
            if came == options.count:
                return 0
    except BrokenPipeError:
        forget_stdout()  # whoever reads has seen enough
        return 0
    finally:
        events.close()
    if options.count is not None:
        raise CaptureTimeoutError(
            "not as many events came in time", "see the lines above, or wait for longer"
        )
    return 0


def _events(options: argparse.Namespace, end: float) -> Generator[Event, None, None]:
    """Yield the events of one daemon, or of one after the other."""
    is_waiting, goes_on = options.wait, False
    while True:
        try:
            with connect(socket_of(options), wait=_left(end) if is_waiting else 0.0) as client:
                is_waiting = goes_on = options.reconnect
                yield from _events_of(client, end)
                return
        except CaptureError as error:
            if not goes_on or not may_come_back(error):
                raise
        if _left(end) < _PAUSE_S:
            return
        time.sleep(_PAUSE_S)


def _left(end: float) -> float:
    return max(0.0, end - time.monotonic())


def _events_of(client: Client, end: float) -> Iterator[Event]:
    within = None if end == math.inf else _left(end)
    events = client.events(within=within, idle=_check_reader)
    client.refresh()  # answered after WATCH was heard: from now on nothing is missed
    _print_own("daemon-startup", None)
    try:
        yield from events
    except CaptureError as error:
        _print_own("daemon-shutdown" if error.code == "stopped" else "connection-lost", error)
        raise


def _check_reader() -> None:
    """Raise BrokenPipeError when whoever reads has gone, though nothing is to be written.

    In `capturectl monitor | grep -m1 attached` the shell would wait for the next event.
    """
    import select

    try:
        stdout = sys.stdout.fileno()
    except OSError:
        return  # no file behind it
    poll = select.poll()
    poll.register(stdout, 0)
    if poll.poll(0):  # only of what it says unasked: POLLERR, POLLHUP
        raise BrokenPipeError


# -- lines ------------------------------------------------------------------------------------


def _print(event: Event) -> None:
    about = ("client", "name", "pid", "uid")
    _print_line(
        word_of(EventKind, event.kind),
        event.time_ns,
        {
            "output": event.output or None,
            "client": {field: getattr(event, field) for field in about} if event.client else None,
            "sequence": event.sequence or None,
            "error": _error(event) if event.code else None,
        },
    )


def _error(event: Event) -> dict[str, str]:
    return {"code": event.code, "reason": event.reason, "hint": event.hint}


def _print_own(kind: str, error: CaptureError | None) -> None:
    nothing = dict.fromkeys(("output", "client", "sequence"))
    why = error.as_dict() if error else None
    _print_line(kind, time.monotonic_ns(), {**nothing, "error": why})


def _print_line(kind: str, time_ns: int, rest: dict[str, object]) -> None:
    print_json({"kind": kind, "time": _wall_clock(time_ns), "time_ns": time_ns, **rest}, "event")
    sys.stdout.flush()


def _wall_clock(time_ns: int) -> str:
    """Return the time of day of a CLOCK_MONOTONIC time, in UTC, as ISO 8601 has it."""
    now_ns = time.time_ns() - time.monotonic_ns() + time_ns
    whole, fraction = divmod(now_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction // 1000:06}Z"
