# SPDX-License-Identifier: MIT
"""capturectl clients: who is connected to the daemon, and cutting one of them off."""

from __future__ import annotations

from capturectl.cli.options import add_json, count, refusal, socket_of
from capturectl.cli.output import print_json
from capturectl.cli.records import client_json, daemons_now_ns, seconds_since, user_name
from capturectl.cli.table import age, counted, table
from capturectl.client import connect
from capturectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from capturectl.client import Client
    from capturectl.conversation import Subscribed

ABOUT = """\
ID is the number of the connection, for `disconnect`. Whoever looks is listed as well. Another
user's client can be disconnected by root only; its program may connect again.
"""
EXAMPLES = ("capturectl clients", "capturectl clients disconnect 7")

_HEADINGS = (
    "ID", "NAME", "PID", "USER", "OUTPUT", "FPS-LIMIT", "SENT", "SKIPPED", "HELD", "CREDITS",
    "REVOKED", "CONNECTED",
)  # fmt: skip
_NUMBERS = {"ID", "PID", "FPS-LIMIT", "SENT", "SKIPPED", "HELD", "CREDITS", "REVOKED"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `clients` takes."""
    parser.add_argument(
        "action", nargs="?", choices=("disconnect",), metavar="disconnect",
        help="cut the client ID off instead",
    )  # fmt: skip
    parser.add_argument("client", nargs="?", type=_number, metavar="ID", help="as listed")
    add_json(parser)


def _number(text: str) -> int:
    value = count(text)
    if value >> 64:
        raise refusal(f"{text} is no client's number")
    return value


def run(options: argparse.Namespace) -> int:
    """List the clients, or cut one off; return 0."""
    if options.action and options.client is None:
        raise UsageError("which client?", "name its ID; see capturectl clients")
    with connect(socket_of(options)) as client:
        if options.action:
            _disconnect(client, options)
        else:
            _list(client, options)
    return 0


def _disconnect(client: Client, options: argparse.Namespace) -> None:
    client.disconnect(options.client)
    if options.json:
        print_json({"client": options.client}, "disconnected")


def _list(client: Client, options: argparse.Namespace) -> None:
    now_ns = daemons_now_ns(client.engines())
    rows = client.clients()
    if options.json:
        print_json({"clients": [client_json(row, now_ns) for row in rows]}, "clients")
        return
    print("\n".join(table([_HEADINGS, *(_row(row, now_ns) for row in rows)], _NUMBERS)))
    print(f"\n{counted(len({row.status.client for row in rows}), 'client')} listed.")


def _row(row: Subscribed, now_ns: int) -> tuple[str, ...]:
    client = row.status
    rate = client.max_fps_millihertz
    numbers = (client.sent, client.skipped, client.held, client.credits, client.revoked)
    return (
        str(client.client),
        client.name or "-",
        str(client.pid),
        user_name(client.uid),
        row.output or "-",
        f"{rate / 1000:g}" if rate else "-",
        *map(str, numbers),
        age(seconds_since(client.time_connected_ns, now_ns)),
    )
