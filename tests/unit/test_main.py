# SPDX-License-Identifier: MIT
"""captured.main: what is built of a daemon before it runs."""

from __future__ import annotations

import pytest

from capturectl.errors import UsageError
from captured import main
from captured.config import Config
from captured.notify import Notifier, Received
from captured.patternoutput import PatternOutput
from captured.service import Service
from tests.support.fakes import VirtualReactor


def test_a_daemon_that_cannot_be_built_leaves_no_output_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(PatternOutput, "close", lambda _: steps.append("closed"))
    settings = Config(pattern="640x480", allow={"*": ["nosuchuser"]})
    with VirtualReactor() as reactor, pytest.raises(UsageError, match="nosuchuser"):
        main.build_daemon(settings, reactor, Service(Received(Notifier(), [], 0, 0)))
    assert steps == ["closed"]
