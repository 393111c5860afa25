# SPDX-License-Identifier: MIT
"""The daemon's command line: every setting, and what the program can do without serving."""

from __future__ import annotations

import argparse

from capturectl.version import VERSION
from captured.config import DEFAULT_FILE
from captured.settings import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_TASKS = "examine", "give_back", "show_config", "check_config"
"""Options, in the order in which they count, that have the program end without serving."""


def read(arguments: Sequence[str]) -> tuple[str, str | None, dict[str, Any]]:
    """Return the task, or nothing where it is to serve; the settings' file, or None; settings.

    Raises:
        SystemExit: 2 after a mistake, which argparse has told; 0 after help or version.
    """
    options = vars(build_parser().parse_args(arguments))
    path: str | None = options.pop("config", None)
    tasks = [name for name in _TASKS if options.pop(name, False)]
    return (tasks[0] if tasks else ""), path, options


def build_parser() -> argparse.ArgumentParser:
    """Return the command line; every option is a setting of captured.toml."""
    parser = argparse.ArgumentParser(
        prog="captured",
        description="Capture what is on a display through its writeback connector, "
        "and hand the frames to clients over a Unix socket.",
        epilog="Exit status: 0 stopped by a signal, 1 failed, 2 usage, "
        "4 nothing to capture with, 7 not allowed.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"settings (default: {DEFAULT_FILE}, if it is there)",
    )
    for name, setting in SETTINGS.items():
        parser.add_argument(
            f"--{name}", type=setting.from_text or setting.kind, metavar=setting.metavar,
            default=argparse.SUPPRESS, help=setting.help,
        )  # fmt: skip
    parser.add_argument(
        "--show-config", action="store_true",
        help="check the settings, print them and where each came from as JSON, and end",
    )  # fmt: skip
    parser.add_argument(
        "--examine", action="store_true",
        help="look at the cards, print what was seen as JSON, and end; `capturectl doctor` judges",
    )  # fmt: skip
    parser.add_argument(
        "--give-back", action="store_true",
        help="take off the display what a daemon left there that could not end by itself, and end",
    )  # fmt: skip
    parser.add_argument("--check-config", action="store_true", help="check the settings, and end")
    parser.add_argument("--version", action="version", version=f"captured {VERSION}")
    return parser
