# SPDX-License-Identifier: MIT
"""What a failure looks like from outside: one line, one status, one JSON object."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl
from capturectl import errors
from capturectl.cli import main
from tests.support.fake_daemon import STREAM, FakeDaemon, greeting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXIT_CODES = [
    (errors.CaptureError, 1),
    (errors.CaptureClosedError, 1),
    (errors.CaptureLostError, 1),
    (errors.CaptureBusyError, 1),
    (errors.ProtocolError, 1),
    (errors.UsageError, 2),
    (errors.UnreachableError, 3),
    (errors.NoOutputError, 4),
    (errors.CaptureUnsupportedError, 4),
    (errors.OutputOffError, 5),
    (errors.CaptureTimeoutError, 6),
    (errors.NotAllowedError, 7),
    (errors.InterruptedByUser, 130),
]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "import sys; from capturectl.cli import main; sys.exit(main())"]


@pytest.fixture
def list_raises(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let `capturectl list` raise."""

    def prepare(error: BaseException) -> None:
        def run(options: object) -> int:
            del options
            raise error

        monkeypatch.setattr("capturectl.cli.list.run", run)

    return prepare


@pytest.mark.parametrize(
    ("kind", "status"), EXIT_CODES, ids=lambda v: getattr(v, "__name__", None)
)
def test_each_error_class_has_its_exit_status(
    list_raises: Callable[[BaseException], None], kind: type[errors.CaptureError], status: int
) -> None:
    list_raises(kind("it broke"))
    assert main(["list"]) == status


def test_an_error_is_one_line_on_standard_error(
    list_raises: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    list_raises(errors.CaptureBusyError("it broke", "mend it"))
    main(["list"])
    assert capsys.readouterr() == ("", "capturectl: it broke: mend it\n")


def test_an_error_does_not_command_the_terminal(
    list_raises: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    list_raises(errors.CaptureLostError("cut off by \x1b[2J\n"))
    main(["list"])
    assert capsys.readouterr().err == "capturectl: cut off by ?[2J?\n"


def test_with_json_an_error_is_an_object_on_standard_output(
    list_raises: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    list_raises(errors.CaptureBusyError("it broke", "mend it", code="in-use"))
    main(["list", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "schema": "captured/1/error",
        "error": {"code": "in-use", "reason": "it broke", "hint": "mend it"},
    }


@pytest.mark.parametrize(
    ("words", "reason", "hint"),
    [
        (["list", "--json", "--no"], "unrecognized arguments: --no", "see capturectl --help"),
        (
            ["snapshot", "--json", "--scale", "0"],
            "argument --scale: 0 is not more than 0",
            "see capturectl snapshot --help",
        ),
    ],
)
def test_with_json_a_line_that_cannot_be_read_is_an_object_too(
    capsys: pytest.CaptureFixture[str], words: list[str], reason: str, hint: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    out, err = capsys.readouterr()
    assert (caught.value.code, json.loads(out)["error"]) == (
        2,
        {"code": "usage", "reason": reason, "hint": hint},
    )
    assert err.endswith(f": {reason}: {hint}\n")


def test_a_kernel_error_exits_1_and_names_its_object(
    list_raises: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    list_raises(OSError(12, "Cannot allocate memory", "buffer 0"))
    status = main(["list"])
    assert (status, capsys.readouterr().err) == (
        1,
        "capturectl: buffer 0: Cannot allocate memory\n",
    )


def test_with_json_a_kernel_error_is_an_object_too(
    list_raises: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    list_raises(OSError(12, "Cannot allocate memory", "buffer 0"))
    main(["list", "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "failed"


def test_with_json_an_error_without_a_name_is_an_object_too(
    list_raises: Callable[[BaseException], None], capfd: pytest.CaptureFixture[str]
) -> None:
    list_raises(OSError(5, "Input/output error"))
    main(["list", "--json"])
    assert json.loads(capfd.readouterr().out)["error"]["reason"] == "Input/output error"


@pytest.mark.parametrize(
    ("module", "package"), [("PIL", "python3-pil"), ("numpy", "python3-numpy")]
)
def test_what_is_not_installed_is_one_line_and_the_package_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    package: str,
) -> None:
    def run(options: object) -> int:
        del options
        import_module(module)
        return 0

    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("capturectl.cli.list.run", run)
    assert main(["list"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert package in said


def test_a_module_of_our_own_that_is_missing_is_a_mistake_and_no_advice(
    list_raises: Callable[[BaseException], None],
) -> None:
    list_raises(ModuleNotFoundError("No module named 'capturectl.lost'", name="capturectl.lost"))
    with pytest.raises(ModuleNotFoundError):
        main(["list"])


def test_ctrl_c_exits_130_without_a_word(
    list_raises: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    list_raises(KeyboardInterrupt())
    assert (main(["list"]), capsys.readouterr()) == (130, ("", ""))


def test_a_process_can_run_the_command_twice(list_raises: Callable[[BaseException], None]) -> None:
    list_raises(errors.CaptureBusyError("it broke"))
    assert (main(["list"]), main(["list"])) == (1, 1)


def test_no_daemon_exits_3(tmp_path: Path) -> None:
    assert main(["list", "-S", str(tmp_path / "nothing")]) == 3


# --- as a process: what happens to standard output when the interpreter ends -----------------


def run_list(daemon: FakeDaemon, stdout: int) -> tuple[int, str]:
    """Return exit status and standard error of `capturectl list`."""
    words = [*COMMAND, "list", "-S", daemon.path]
    done = subprocess.run(words, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    os.close(stdout)
    return done.returncode, done.stderr


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(tmp_path / "sock", [(message, ()) for message in greeting(STREAM)])
    yield fake
    fake.close()


@pytest.mark.slow
def test_a_full_disk_behind_standard_output_is_one_line_and_exit_status_1(
    daemon: FakeDaemon,
) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    assert run_list(daemon, full) == (
        1,
        "capturectl: cannot write standard output: No space left on device: "
        "make room or choose another place\n",
    )


@pytest.mark.slow
def test_a_closed_pipe_behind_standard_output_is_one_line_and_exit_status_1(
    daemon: FakeDaemon,
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    assert run_list(daemon, write_end) == (
        1,
        "capturectl: standard output is closed: its reader has gone\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["", "unbuffered"])
def test_a_disk_that_takes_a_part_only_is_an_error(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    def let_files_have_100_bytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    with (tmp_path / "script").open("wb") as file:
        done = subprocess.run(
            [sys.executable, ROOT / "bin/capturectl", "completion", "bash"],
            env={"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            preexec_fn=let_files_have_100_bytes, stdout=file, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(b"capturectl: cannot write standard output: File too large")


@pytest.mark.slow
def test_ctrl_c_before_there_is_a_command_is_130_without_a_word(tmp_path: Path) -> None:
    package = tmp_path / "capturectl" / "__init__.py"
    package.parent.mkdir()
    package.write_text(
        "import os, signal\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        f"__path__ = {capturectl.__path__!r}\n"
    )
    done = subprocess.run(
        [sys.executable, ROOT / "bin/capturectl", "--version"],
        env={"PYTHONPATH": str(tmp_path)}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.slow
def test_the_help_waits_for_neither_numpy_nor_the_client() -> None:
    code = (
        "import sys, contextlib\n"
        "from capturectl.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "print(sorted({'numpy', 'PIL', 'socket', 'capturectl.client'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
