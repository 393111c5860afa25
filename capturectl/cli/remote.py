# SPDX-License-Identifier: MIT
"""-H HOST: the same command on another machine, through ssh.

The command line goes there as it was typed, but for two things: -H, and the names of files, which
are here. Of a file, `-` goes there, and its content through standard input or output. Where that
needs no input, the command there ends when this one does: see `tied`. A module of a command may
say about it:

    FILES = {"file": READ | WHOLE | REPORT | GROWS}   arguments that are files, and their use
    TERMINAL = True                          it draws on a terminal
    def words_there(options) -> list[str]    what its FILE says beside where to write
"""

from __future__ import annotations

import contextlib
import os
import sys

from capturectl.cli import TIED
from capturectl.cli.output import require_stdout
from capturectl.errors import CaptureError, NotAllowedError, UnreachableError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from capturectl.typed import Any

READ, WHOLE, REPORT, GROWS = "read", "whole", "report", "grows"
"""A file is read; appears when it is complete; does so whatever the exit status says of what is in
it; or grows, and what there is of it counts."""

_FLAGS = ("-H", "--host")
_SSH_FAILED = 255
_NO_COMMAND = 127
_INTERRUPTED = 130
_SIGNALLED = 128
"""So much more than the number of the signal that ended it."""


def run(options: Any, words: Sequence[str]) -> int:  # noqa: ANN401 - argparse's, or one like it
    """Run a command line on its host; return the exit status it has there.

    Args:
        options: The line as it was read here, with `host`.
        words: The line itself.

    Raises:
        UnreachableError: There is no ssh, or it does not get there.
    """
    module = sys.modules[f"capturectl.cli.{options.command}"]
    file = _File(options, getattr(module, "FILES", {}))
    require_stdout()
    there = [*without_host(words)]
    if file.use:
        there = file.replaced(there)
        if file.use != READ and hasattr(module, "words_there"):
            at = there.index("--") if "--" in there else len(there)
            there[at:at] = module.words_there(options)
    wants_terminal = getattr(module, "TERMINAL", False) and sys.stdout.isatty()
    with file.opened() as (stdin, stdout):
        status = _ssh(options.host, there, stdin, stdout, terminal=wants_terminal)
        file.judge(status)
    if file.use in {WHOLE, REPORT} and file.is_good:
        print(file.path)
    return status


def without_host(words: Sequence[str]) -> Iterator[str]:
    """Yield a command line's words without -H and its value."""
    rest = iter(words)
    for word in rest:
        if word in _FLAGS:
            next(rest, None)
        elif not word.startswith("--host=") and (word[:2] != "-H" or word == "-H"):
            yield word


class _File:
    """The file of a command line, if it names one: its path, its use, and whether it came."""

    def __init__(self, options: Any, uses: dict[str, str]) -> None:  # noqa: ANN401 - the same
        self.path, self.use, self.is_good, self._is_done = "", "", False, False
        self.stdin: int | None = None
        for dest, use in uses.items():
            path = getattr(options, dest, None)
            if path == "-" and use == READ:
                self.stdin = 0
            elif path not in {None, "-"}:
                self.path, self.use = str(path), use
        self._check(options, uses)

    def _check(self, options: Any, uses: dict[str, str]) -> None:  # noqa: ANN401 - the same
        for dest, path in _named(options):
            if dest not in uses:
                raise UsageError(
                    f"{path} would be a file of {options.host}",
                    "redirect standard output, or use a file there: "
                    f"ssh {options.host} capturectl {options.command}",
                )
        as_json = getattr(options, "json", False)
        if self.use in {WHOLE, REPORT, GROWS} and as_json:
            raise UsageError("--json, -H and FILE cannot go together", "leave one of them out")
        if uses.get("file") == WHOLE and options.file is None and not as_json:
            raise UsageError(f"without FILE it would be written on {options.host}", "name one")

    def judge(self, status: int) -> None:
        """Note by the exit status there whether the file came."""
        self._is_done = status == 0
        if self.use == REPORT:
            self.is_good = status < _SIGNALLED
        else:
            self.is_good = status == 0 or (status == _INTERRUPTED and self.use == GROWS)

    def replaced(self, words: list[str]) -> list[str]:
        """Return the words with - in place of the path."""
        if self.path not in words:
            raise UsageError(f"-H does not find {self.path}", "give it as a word of its own")
        at = len(words) - 1 - words[::-1].index(self.path)
        return [*words[:at], "-", *words[at + 1 :]]

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[int | None, int | None]]:
        """Lend descriptors for standard input and output; None is the command's own."""
        if self.use == READ:
            with open(self.path, "rb") as source:  # noqa: PTH123 - start-up time
                yield source.fileno(), None
        elif self.use in {WHOLE, REPORT}:
            with self._whole() as fd:
                yield None, fd
        elif self.use == GROWS:
            with open(self.path, "wb") as target:  # noqa: PTH123 - as above
                yield None, target.fileno()
        else:
            yield self.stdin, None

    @contextlib.contextmanager
    def _whole(self) -> Iterator[int]:
        from capturectl.cli.output import write_file

        with open(os.memfd_create("picture"), "w+b") as memory:  # noqa: PTH123 - as above
            yield memory.fileno()
            memory.seek(0)
            data = memory.read()
            if self._is_done and not data:
                raise CaptureError(
                    f"nothing came for {self.path}",
                    "see whether the host's shell prints or redirects something",
                    code="not-written",
                )
            self.is_good = self.is_good and bool(data)
            if self.is_good:
                write_file(self.path, data)


def _named(options: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - the same
    """Yield the arguments of a line that are files, by their definitions."""
    from capturectl.cli.parser import arguments_of, build_parser, command_parsers

    parser = command_parsers(build_parser([options.command]))[options.command]
    for argument in arguments_of(parser):
        path = getattr(options, argument.dest, None)
        if argument.metavar in {"FILE", "PATH"} and path not in {None, "-"}:
            yield argument.dest, path


def _ssh(
    host: str, words: list[str], stdin: int | None, stdout: int | None, *, terminal: bool
) -> int:
    import shlex
    import subprocess
    import tempfile

    if not host or host.startswith("-"):
        raise UsageError(f"{host!r} is no host", "name one as USER@HOST")
    with tempfile.NamedTemporaryFile("r", prefix="capturectl-ssh-", errors="replace") as log:
        # ssh's own words go to a file, so that what the command says there stays apart.
        command = ["ssh", "-t" if terminal else "-T", "-e", "none", "-E", log.name, "--", host]
        there = ["capturectl", *words]
        if stdin is None and not terminal:
            stdin = subprocess.PIPE  # nothing comes: ssh would read a script's input away
            there = ["env", f"{TIED}=1", *there]
        command.append(shlex.join(there))
        try:
            process = subprocess.Popen(command, stdin=stdin, stdout=stdout)
        except FileNotFoundError as error:
            raise UnreachableError("there is no ssh here", "install it", code="no-ssh") from error
        with process:
            status = _wait(process)
        if status == _SSH_FAILED:
            raise _not_there(host, log.read())
    if status == _NO_COMMAND:
        raise UnreachableError(f"{host} has no capturectl", "install it there", code="no-command")
    return status


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Return the exit status.

    Ctrl-C reaches ssh by itself, which then ends with a status that says nothing of the command:
    it may be 0. In a terminal that ssh has, Ctrl-C is a key like others and goes there.
    """
    is_interrupted = False
    while process.returncode is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            is_interrupted = True
    status: int = process.returncode
    if is_interrupted:
        return _INTERRUPTED
    return status if status >= 0 else 128 - status


def _not_there(host: str, log: str) -> CaptureError:
    said = [line.strip() for line in log.splitlines() if line.strip()]
    reason = said[-1].removeprefix("ssh: ") if said else "ssh failed"
    kind = NotAllowedError if "Permission denied" in reason else UnreachableError
    return kind(f"{host}: {reason}", f"try: ssh {host}")
