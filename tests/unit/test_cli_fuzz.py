# SPDX-License-Identifier: MIT
"""Whatever is typed, the command ends as its manual page says, and without a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import tempfile
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from capturectl.cli import main
from capturectl.cli.commands import names
from capturectl.cli.describe import describe, shared_options
from tests.support.lines import STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 0.5
"""What waits for a daemon is interrupted then, as with Ctrl-C."""

ARGUMENTS = [a for command in describe() for a in (*command.options, *command.places)]
FLAGS = sorted({f for a in (*ARGUMENTS, *shared_options()) for f in a.flags})
WORDS = sorted({word for a in ARGUMENTS for word in a.words})
ODD = ["", "-", "--", "-1", "0", "1e400", "nan", "1,2 3x4", "%", "%d", "\udcff", "a\nb", "=", "-h"]
LINES = st.lists(
    st.one_of(
        st.sampled_from([*names(), *FLAGS, *WORDS, *ODD, "--help", "--version", "--json=1"]),
        st.text(max_size=8).filter(lambda text: "\0" not in text and "/" not in text),
    ),
    max_size=7,
)


@pytest.fixture(scope="module")
def nowhere() -> Iterator[None]:
    """An empty directory to write to, no daemon, no ssh, and somebody who presses Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(directory))
        environment = {"PATH": "/nowhere", "CAPTURECTL_SOCKET": f"{directory}/none"}
        stack.enter_context(mock.patch.dict(os.environ, environment))
        before = signal.signal(signal.SIGALRM, interrupt)
        stack.callback(signal.signal, signal.SIGALRM, before)
        yield


def run(words: list[str]) -> tuple[object, str]:
    """Return exit status and standard error of a line."""
    out = io.TextIOWrapper(io.BytesIO(), errors="surrogateescape")
    err = io.StringIO()
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return main(words), err.getvalue()
    except SystemExit as ended:
        return ended.code, err.getvalue()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(["-H", "x", "list"])
@example(["-H", "\udcff", "snapshot", "\udcff"])
@example(["list", "\udcff"])
@example(["-S", "", "list"])
@example(["-S", "x" * 200, "list"])
@example(["config", "check", ""])
@given(LINES)
@pytest.mark.usefixtures("nowhere")
def test_any_line_ends_with_a_documented_status_and_at_most_a_line(words: list[str]) -> None:
    status, said = run(words)
    assert status in STATUSES
    assert "Traceback" not in said


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.sampled_from(names()), LINES)
@pytest.mark.usefixtures("nowhere")
def test_any_line_of_a_command_does_too(name: str, words: list[str]) -> None:
    assert run([name, *words])[0] in STATUSES
