# SPDX-License-Identifier: MIT
"""Runs `capturectl doctor` on a real machine and reads its answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.processes import capturectl

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = {"user": 65534, "group": 65534, "extra_groups": ()}
"""Options that run a program as somebody who may nothing."""


class Diagnosis(NamedTuple):
    """What the doctor said."""

    status: int
    said: dict[str, Any]

    @property
    def cause(self) -> tuple[str, str]:
        """Topic and word of the first FAIL."""
        found = next(check for check in self.said["checks"] if check["level"] == "fail")
        return found["topic"], found["code"]

    @property
    def reason(self) -> str:
        """The sentence of the first FAIL."""
        return str(self.said["error"]["reason"])

    def others(self) -> dict[str, str]:
        """Return the topics that did not pass, with their last level."""
        return {c["topic"]: c["level"] for c in self.said["checks"] if c["level"] != "pass"}


def diagnose(socket: Path, *arguments: str, **options: Any) -> Diagnosis:
    """Ask the doctor."""
    done = capturectl("doctor", "--json", *arguments, socket=socket, **options)
    return Diagnosis(done.returncode, json.loads(done.stdout))
