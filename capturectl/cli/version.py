# SPDX-License-Identifier: MIT
"""capturectl version: of everything that takes part."""

from __future__ import annotations

import sys

from capturectl import protocol
from capturectl.cli.options import add_json, socket_of
from capturectl.cli.output import print_json
from capturectl.cli.table import pairs
from capturectl.client import connect, default_socket
from capturectl.errors import CaptureError
from capturectl.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

ABOUT = "A daemon that cannot be reached is no failure: the answer says why."
EXAMPLES = ("capturectl version", "capturectl -H root@board version --json")
_PATIENCE_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `version` takes."""
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the versions; return 0, also when there is no daemon."""
    path = socket_of(options) or default_socket()
    daemon, error = _ask(path)
    if options.json:
        print_json(
            {
                "capturectl": VERSION,
                "python": _python(),
                "protocol": [protocol.VERSION_MIN, protocol.VERSION_MAX],
                "daemon": daemon,
                "error": error.as_dict() if error else None,
            },
            "version",
        )
        return 0
    if daemon is None:
        text = f"not reached: {error}"
    else:
        text = f"{daemon['version']}, driver {daemon['driver']}, on {daemon['socket']}"
    print("\n".join(pairs([
        ("capturectl", VERSION), ("Python", _python()),
        ("protocol", str(protocol.VERSION_MAX)), ("captured", text),
    ])))  # fmt: skip
    return 0


def _ask(path: str) -> tuple[dict[str, str] | None, CaptureError | None]:
    """Return what the daemon says of itself, or why it says nothing."""
    try:
        with connect(path, timeout=_PATIENCE_S) as client:
            version, driver = client.daemon_version, client.driver
    except CaptureError as error:
        return None, error
    except OSError as error:
        return None, CaptureError(f"{path}: {error.strerror or error}")
    return {"version": version, "driver": driver, "socket": path}, None


def _python() -> str:
    return sys.version.split(maxsplit=1)[0]
