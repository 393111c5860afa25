# SPDX-License-Identifier: MIT
"""capturectl list: the outputs, one a line."""

from __future__ import annotations

import sys

from capturectl.cli.options import add_json
from capturectl.cli.output import print_json
from capturectl.cli.table import counted, printable, table
from capturectl.client import connect
from capturectl.fourcc import fourcc_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from capturectl.output import Output

_HEADINGS = ("OUTPUT", "STATE", "MODE", "SOURCE", "FORMATS", "CLIENTS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `list` takes."""
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the outputs; return 0, also when there is none."""
    with connect(getattr(options, "socket", None)) as client:
        outputs, driver = client.outputs(), client.driver
    if options.json:
        print_json({"driver": driver, "outputs": [as_json(output) for output in outputs]}, "list")
        return 0
    print("\n".join(table([_HEADINGS, *map(_row, outputs)])))
    print(f"\n{counted(len(outputs), 'output')} listed.")
    for output in outputs:
        if output.reason:
            note = ": ".join(filter(None, (output.reason, output.hint)))
            sys.stderr.write(printable(f"{output.name or 'no name yet'}: {note}") + "\n")
    return 0


def mode_text(output: Output) -> str:
    """Return the output's mode as WxH@HZ, or "-" when it is off."""
    if not output.width:
        return "-"
    return f"{output.width}x{output.height}@{output.refresh_mhz / 1000:.4g}"


def as_json(output: Output) -> dict[str, object]:
    """Return what JSON says of an output."""
    fields = output._asdict()
    del fields["stream"]
    fields |= {
        "state": output.state.name.lower(),
        "source": (output.source.name or "").lower(),
        "formats": [fourcc_name(fourcc) for fourcc in output.fourccs],
        "format": fourcc_name(output.fourcc) if output.fourcc else None,
        "refresh_hz": output.refresh_mhz / 1000,
        "error": _error(output),
    }
    for replaced in ("fourccs", "fourcc", "refresh_mhz", "code", "reason", "hint"):
        del fields[replaced]
    return fields


def _error(output: Output) -> dict[str, str] | None:
    if not output.code:
        return None
    return {"code": output.code, "reason": output.reason, "hint": output.hint}


def _row(output: Output) -> tuple[str, ...]:
    return (
        output.name or "-",
        output.state.name.lower(),
        mode_text(output),
        (output.source.name or "").lower(),
        " ".join(map(fourcc_name, output.fourccs)),
        str(output.clients),
    )
