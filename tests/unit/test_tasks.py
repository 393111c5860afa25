# SPDX-License-Identifier: MIT
"""captured.tasks: what is read for them is what a daemon would read."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import UsageError
from captured import tasks
from tests.support.processes import bare_command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("task", ["check_config", "show_config", "give_back"])
def test_a_pipe_is_refused_as_by_a_daemon_and_not_waited_for(task: str, tmp_path: Path) -> None:
    pipe = tmp_path / "captured.toml"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is no regular file"):
        tasks.do(task, str(pipe), {})


@pytest.mark.parametrize(("settings", "status"), [("buffers = 8\n", 0), ("bufers = 8\n", 2)])
def test_standard_input_may_be_a_pipe(settings: str, status: int) -> None:
    words = [*bare_command(), "--check-config", "--config", "/dev/stdin"]
    done = subprocess.run(words, input=settings, text=True, capture_output=True, check=False)
    assert done.returncode == status
