# SPDX-License-Identifier: MIT
"""Where data goes: files that appear whole or not at all, and standard output."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import pty
import resource
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from capturectl.cli.output import print_json, write_file, write_stdout
from capturectl.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 1 << 20
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a directory of its own."""
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures" / "a.png"


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Let no file grow over LIMIT bytes: a write fails after some of it succeeded."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def fail_with(number: int) -> object:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


# --- files -----------------------------------------------------------------------------------


def test_a_file_has_the_data(path: Path) -> None:
    write_file(str(path), b"data")
    assert path.read_bytes() == b"data"


def test_a_file_takes_the_place_of_an_older_one(path: Path) -> None:
    path.write_bytes(b"an older and longer one")
    write_file(str(path), b"data")
    assert path.read_bytes() == b"data"


def test_a_name_without_a_directory_is_in_the_current_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    write_file("b.png", b"data")
    assert (path.parent / "b.png").read_bytes() == b"data"


def test_nothing_but_the_file_is_left(path: Path) -> None:
    write_file(str(path), b"data")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_mode_follows_the_umask(path: Path, mask: int, mode: int) -> None:
    with umask(mask):
        write_file(str(path), b"data")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_the_umask_is_the_same_afterwards(path: Path) -> None:
    with umask(0o027):
        write_file(str(path), b"data")
        assert os.umask(0o027) == 0o027


def test_the_older_file_stands_until_the_new_one_is_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"older")
    seen: list[tuple[bytes, bytes]] = []
    replace = os.replace

    def look(new: str, old: str) -> None:
        seen.append((Path(new).read_bytes(), Path(old).read_bytes()))
        replace(new, old)

    monkeypatch.setattr(os, "replace", look)
    write_file(str(path), b"newer")
    assert seen == [(b"newer", b"older")]


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_nothing(path: Path) -> None:
    with pytest.raises(CaptureError):
        write_file(str(path), bytes(LIMIT + 1))
    assert list(path.parent.iterdir()) == []


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_the_older_file(path: Path) -> None:
    path.write_bytes(b"older")
    with pytest.raises(CaptureError):
        write_file(str(path), bytes(LIMIT + 1))
    assert (path.read_bytes(), list(path.parent.iterdir())) == (b"older", [path])


def test_no_space_names_the_file_and_the_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", fail_with(errno.ENOSPC))
    with pytest.raises(CaptureError) as caught:
        write_file(str(path), b"data")
    assert caught.value.as_dict() == {
        "code": "not-written",
        "reason": f"cannot write {path}: No space left on device",
        "hint": "make room or choose another place",
    }


@pytest.mark.parametrize("step", ["replace", "fchmod"])
def test_a_failing_step_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(os, step, fail_with(errno.EIO))
    with pytest.raises(CaptureError):
        write_file(str(path), b"data")
    assert list(path.parent.iterdir()) == []


def test_an_interruption_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(str(path), b"data")
    assert list(path.parent.iterdir()) == []


_WRITER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from capturectl.cli.output import write_file
"""
_FOR_EVER = f"""{_WRITER}
print(flush=True)
while True:
    write_file(sys.argv[2], bytes(1 << 22))
"""
_HALF_WAY = f"""{_WRITER}
fchmod = os.fchmod
def end_half_way(fd, mode):
    os.kill(os.getpid(), int(sys.argv[3]))
    fchmod(fd, mode)
os.fchmod = end_half_way
write_file(sys.argv[2], b"data")
"""
ENDINGS = [signal.SIGTERM, signal.SIGHUP]


def writer(code: str, *words: object) -> subprocess.Popen[bytes]:
    """Start a process that writes, with the signals as a command begins with them."""
    command = [sys.executable, "-c", code, PROJECT, *words]
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE)


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_that_comes_half_way_ends_it_after_the_whole_file(
    path: Path, number: signal.Signals
) -> None:
    with writer(_HALF_WAY, path, int(number)) as process:
        status = process.wait()
    assert (status, list(path.parent.iterdir())) == (-number, [path])
    assert path.read_bytes() == b"data"


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_at_any_time_leaves_nothing_but_the_file(
    path: Path, number: signal.Signals
) -> None:
    for run in range(20):
        with writer(_FOR_EVER, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(run / 1000)  # any moment will do
            process.send_signal(number)
            assert process.wait() == -number
        assert set(path.parent.iterdir()) <= {path}


def test_a_signal_that_is_ignored_stays_so(path: Path) -> None:
    with writer(
        f"import signal; signal.signal(1, signal.SIG_IGN)\n{_HALF_WAY}", path, 1
    ) as process:
        assert process.wait() == 0
    assert path.read_bytes() == b"data"


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"missing/a\.png: No such file or directory"):
        write_file(str(tmp_path / "missing" / "a.png"), b"data")


def test_a_directory_of_that_name_is_not_replaced(path: Path) -> None:
    path.mkdir()
    with pytest.raises(CaptureError):
        write_file(str(path), b"data")
    assert (path.is_dir(), list(path.parent.iterdir())) == (True, [path])


def test_what_is_no_regular_file_is_not_replaced_by_one(path: Path) -> None:
    os.mkfifo(path)  # as /dev/null would be, which nobody wants to lose
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.suppress(CaptureError):
        write_file(str(path), b"data")
    os.close(reader)
    assert stat.S_ISFIFO(path.lstat().st_mode)


def test_the_longest_name_that_the_file_system_takes_can_be_written(path: Path) -> None:
    longest = path.parent / ("x" * 251 + ".png")
    write_file(str(longest), b"data")
    assert longest.read_bytes() == b"data"


# --- standard output -------------------------------------------------------------------------


def test_standard_output_gets_the_bytes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_stdout(b"\x89PNG\r\n\x00\xff")
    assert capfdbinary.readouterr().out == b"\x89PNG\r\n\x00\xff"


@contextlib.contextmanager
def stdout_on(fd: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put standard output on a descriptor, and take it back without flushing."""
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", io.TextIOWrapper(io.BufferedWriter(io.FileIO(fd, "w"))))
        stream = sys.stdout
        yield
    with contextlib.suppress(OSError):
        stream.close()


def test_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, terminal = pty.openpty()
    with stdout_on(terminal, monkeypatch), pytest.raises(CaptureError) as caught:
        write_stdout(b"data")
    os.close(screen)
    assert caught.value.code == "terminal"


def test_a_terminal_that_is_refused_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, terminal = pty.openpty()
    with stdout_on(terminal, monkeypatch), contextlib.suppress(CaptureError):
        write_stdout(b"data")
    os.set_blocking(screen, False)
    with pytest.raises(OSError, match="Input/output error"):  # the other side is closed
        os.read(screen, 16)
    os.close(screen)


def test_a_full_disk_behind_standard_output_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with stdout_on(full, monkeypatch), pytest.raises(CaptureError) as caught:
        write_stdout(b"data")
    assert caught.value.as_dict()["reason"] == (
        "cannot write standard output: No space left on device"
    )


def unbuffered(fd: int) -> io.TextIOWrapper:
    """Return standard output as PYTHONUNBUFFERED has it."""
    return io.TextIOWrapper(cast("io.BufferedWriter", io.FileIO(fd, "w")), write_through=True)


def buffered(fd: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(fd, "w")))


@pytest.mark.parametrize("stream", [unbuffered, buffered])
def test_a_pipe_that_takes_a_part_at_a_time_gets_all(
    monkeypatch: pytest.MonkeyPatch, stream: Callable[[int], io.TextIOWrapper]
) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    data = bytes(range(256)) * 4096
    with ThreadPoolExecutor() as pool, open(read_end, "rb") as source:  # noqa: PTH123 - a pipe
        came = pool.submit(source.read)
        with stream(write_end) as stdout:
            monkeypatch.setattr("sys.stdout", stdout)
            write_stdout(data)
            monkeypatch.undo()
        assert came.result() == data


def test_a_closed_pipe_stays_a_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with stdout_on(write_end, monkeypatch), pytest.raises(BrokenPipeError):
        write_stdout(b"data")


def test_no_standard_output_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(CaptureError, match="standard output is closed"):
        write_stdout(b"data")


# --- JSON ------------------------------------------------------------------------------------


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": "a\nb"}, "list")
    assert capsys.readouterr().out.count("\n") == 1


def test_json_says_its_schema_and_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"outputs": [1, None]}, "list")
    assert json.loads(capsys.readouterr().out) == {
        "schema": "captured/1/list",
        "outputs": [1, None],
    }
