# SPDX-License-Identifier: MIT
"""What the daemon's program does instead of serving."""

from __future__ import annotations

import sys

from captured import config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_STDIN = "/dev/stdin"
"""May be a pipe: `capturectl config check -` has the settings of somebody else to look at."""


def do(task: str, path: str | None, options: Mapping[str, Any]) -> int:
    """Do one of them; return the exit status.

    Args:
        task: By its option's name.
        path: The settings' file, as for the daemon.
        options: Settings from the command line.

    Raises:
        CaptureError: What it says is the program's last line.
    """
    if task == "examine":
        from captured.examine import examine

        return examine(path, options)
    loaded = config.load(path, options, is_once=path == _STDIN)
    if task == "give_back":
        from captured.giveback import clean_up

        return clean_up(loaded.config)
    return _show(loaded) if task == "show_config" else 0


def _show(loaded: config.Loaded) -> int:
    """Print the settings for `capturectl config`."""
    import json

    settings = [
        {"name": name, "value": value, "origin": loaded.origins.get(name, "built in")}
        for name, value in loaded.config._asdict().items()
    ]
    sys.stdout.write(json.dumps({"schema": "captured/1/config", "settings": settings}) + "\n")
    return 0
