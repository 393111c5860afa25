# SPDX-License-Identifier: MIT
"""-H HOST, through a program that treats the words as ssh and sshd do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from tests.support.png_reader import chunks
from tests.support.processes import DaemonProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPTURECTL = str(Path(sys.executable).with_name("capturectl"))
# ssh joins the words after HOST with blanks, and sshd gives the line to the user's shell, in
# another directory. -E FILE takes what ssh itself has to say.
SSH = """\
#!/bin/sh
printf '%s\\n' "$@" > "$SSH_SEEN"
while [ "$1" != -- ]; do [ "$1" = -E ] && log=$2; shift; done
shift; host=$1; shift
if [ "$host" = unreachable ]; then
    echo 'ssh: connect to host unreachable port 22: Connection refused' > "$log"; exit 255
fi
if [ "$host" = stranger ]; then
    echo 'root@stranger: Permission denied (publickey).' > "$log"; exit 255
fi
[ "$host" = bare ] && PATH=/nowhere
cd / && exec /bin/sh -c "$*"
"""


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("daemon") / "captured.sock"
    with DaemonProcess(path, "--pattern", "640x480@60"):
        yield path


@pytest.fixture
def environment(socket: Path, tmp_path: Path) -> dict[str, str]:
    fake = tmp_path / "programs" / "ssh"
    fake.parent.mkdir()
    fake.write_text(SSH)
    fake.chmod(0o755)
    return {
        "PATH": f"{fake.parent}:{Path(CAPTURECTL).parent}:/usr/bin:/bin",
        "CAPTURECTL_SOCKET": str(socket),
        "SSH_SEEN": str(tmp_path / "seen"),
    }


@pytest.fixture
def here(tmp_path: Path) -> Path:
    path = tmp_path / "here"
    path.mkdir()
    return path


def stand_in(environment: dict[str, str], script: str) -> dict[str, str]:
    """Let the host's command be a script; return what is another in the environment."""
    program = Path(environment["SSH_SEEN"]).with_name("capturectl")
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{environment['PATH'].split(':')[0]}:{program.parent}:/usr/bin:/bin"}


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def run(
    *words: str, env: dict[str, str], cwd: Path, **options: object
) -> subprocess.CompletedProcess[bytes]:
    fields = {"capture_output": True, "stdin": subprocess.DEVNULL} | options
    return subprocess.run([CAPTURECTL, *words], env=env, cwd=cwd, check=False, **fields)  # type: ignore[call-overload, no-any-return]  # options are its own


@pytest.mark.slow
@pytest.mark.parametrize("words", [("-H", "board", "list"), ("list", "--host=me@board")])
def test_a_command_prints_what_it_prints_there(
    words: tuple[str, ...], environment: dict[str, str], here: Path
) -> None:
    there, same = run(*words, env=environment, cwd=here), run("list", env=environment, cwd=here)
    assert (there.returncode, there.stdout) == (0, same.stdout)


@pytest.mark.slow
def test_ssh_gets_the_host_after_all_options_and_one_word_for_the_shell(
    environment: dict[str, str], here: Path
) -> None:
    run("-H", "me@board", "list", "--json", env=environment, cwd=here)
    seen = Path(environment["SSH_SEEN"]).read_text().splitlines()
    assert seen[-3:] == ["--", "me@board", "env CAPTURECTL_TIED=1 capturectl list --json"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["it's $(id)", "a b;c", "`x`", '"', "*", "\\", "ä\n€"])
def test_words_that_mean_something_to_a_shell_arrive_as_they_are(
    name: str, environment: dict[str, str], here: Path
) -> None:
    done = run("-H", "board", "snapshot", "-o", name, "-", env=environment, cwd=here)
    message = f"capturectl: there is no output {name}: the daemon has Pattern-1\n"
    said = done.stderr.decode().replace("\n", "?")  # as which a message may show it
    assert (done.returncode, said) == (4, message.replace("\n", "?"))


@pytest.mark.slow
def test_a_picture_arrives_here_byte_for_byte(environment: dict[str, str], here: Path) -> None:
    done = run("-H", "board", "snapshot", "a.png", env=environment, cwd=here)
    assert (done.returncode, done.stdout, names_in(here)) == (0, b"a.png\n", ["a.png"])
    assert all(chunk.crc_is_right for chunk in chunks((here / "a.png").read_bytes()))


@pytest.mark.slow
def test_the_extension_of_a_file_here_decides_what_is_encoded_there(
    environment: dict[str, str], here: Path
) -> None:
    run("snapshot", "a.ppm", "-H", "board", env=environment, cwd=here)
    assert (here / "a.ppm").read_bytes()[:2] == b"P6"


@pytest.mark.slow
def test_a_file_whose_name_begins_with_a_minus_is_one_too(
    environment: dict[str, str], here: Path
) -> None:
    done = run("-H", "board", "snapshot", "--", "-a.ppm", env=environment, cwd=here)
    assert (done.returncode, done.stderr, names_in(here)) == (0, b"", ["-a.ppm"])


@pytest.mark.slow
def test_binary_data_goes_through_standard_output(environment: dict[str, str], here: Path) -> None:
    words = ("-H", "board", "snapshot", "-t", "raw", "-")
    assert len(run(*words, env=environment, cwd=here).stdout) == 640 * 480 * 4


@pytest.mark.slow
def test_a_picture_without_a_name_is_not_left_there(
    environment: dict[str, str], here: Path
) -> None:
    done = run("-H", "board", "snapshot", env=environment, cwd=here)
    message = b"capturectl: without FILE it would be written on board: name one\n"
    assert (done.returncode, done.stderr) == (2, message)


@pytest.mark.slow
def test_a_capture_that_fails_there_leaves_no_file_here(
    environment: dict[str, str], here: Path
) -> None:
    done = run("-H", "board", "snapshot", "-o", "DP-7", "a.png", env=environment, cwd=here)
    assert (done.returncode, names_in(here)) == (4, [])


@pytest.mark.slow
def test_a_report_of_what_is_wrong_there_arrives_here(
    environment: dict[str, str], here: Path
) -> None:
    done = run("-H", "board", "doctor", "--report", "r.txt", env=environment, cwd=here)
    assert (done.returncode, done.stdout, names_in(here)) == (4, b"r.txt\n", ["r.txt"])
    assert (here / "r.txt").read_text().startswith("A report of capturectl doctor.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 1", 1), ("echo A report; exit 143", 143)],
    ids=["nothing", "a part, of a writer that was killed"],
)
def test_a_report_that_is_none_is_no_file(
    script: str, status: int, environment: dict[str, str], here: Path
) -> None:
    done = run(
        "-H", "board", "doctor", "--report", "r.txt",
        env=environment | stand_in(environment, script), cwd=here,
    )  # fmt: skip
    assert (done.returncode, done.stdout, names_in(here)) == (status, b"", [])


@pytest.mark.slow
def test_a_picture_that_did_not_come_is_an_error_whatever_the_host_says(
    environment: dict[str, str], here: Path
) -> None:
    done = run(
        "-H", "board", "snapshot", "a.png",
        env=environment | stand_in(environment, "exit 0"), cwd=here,
    )  # fmt: skip
    assert (done.returncode, done.stdout, names_in(here)) == (1, b"", [])
    assert done.stderr.startswith(b"capturectl: nothing came for a.png: ")


@pytest.mark.slow
def test_a_file_that_is_read_is_read_here(environment: dict[str, str], here: Path) -> None:
    (here / "new.toml").write_text("buffers = 1\n")
    done = run("-H", "board", "config", "check", "new.toml", env=environment, cwd=here)
    assert (done.returncode, b"buffers 1 is not a whole number" in done.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "status", "line"),
    [
        ("unreachable", 3, "unreachable: connect to host unreachable port 22: Connection refused"),
        ("stranger", 7, "stranger: root@stranger: Permission denied (publickey)."),
        ("-oProxyCommand=id", 2, "'-oProxyCommand=id' is no host: name one as USER@HOST"),
    ],
)
def test_a_host_that_is_not_reached_is_one_line(
    host: str, status: int, line: str, environment: dict[str, str], here: Path
) -> None:
    done = run(f"--host={host}", "list", env=environment, cwd=here)
    said = done.stderr.decode().splitlines()
    assert (done.returncode, len(said)) == (status, 1)
    assert said[0].startswith(f"capturectl: {line}")


@pytest.mark.slow
def test_with_json_a_host_that_is_not_reached_is_an_object(
    environment: dict[str, str], here: Path
) -> None:
    done = run("-H", "unreachable", "list", "--json", env=environment, cwd=here)
    assert json.loads(done.stdout)["error"]["code"] == "unreachable"


@pytest.mark.slow
def test_a_host_without_the_command_is_told_from_one_without_a_daemon(
    environment: dict[str, str], here: Path
) -> None:
    done = run("-H", "bare", "list", "--json", env=environment, cwd=here)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (3, "no-command")


@pytest.mark.slow
def test_without_ssh_the_line_says_so(environment: dict[str, str], here: Path) -> None:
    done = run("-H", "board", "list", env=environment | {"PATH": "/nowhere"}, cwd=here)
    assert (done.returncode, done.stderr) == (3, b"capturectl: there is no ssh here: install it\n")


@pytest.mark.slow
def test_a_file_that_only_the_host_can_read_is_refused_with_a_way_out(
    environment: dict[str, str], here: Path
) -> None:
    done = run("-H", "me@board", "compare", "a.png", env=environment, cwd=here)
    assert (done.returncode, b"ssh me@board capturectl compare" in done.stderr) == (2, True)


@pytest.mark.slow
def test_a_file_that_a_command_says_nothing_of_is_refused(
    environment: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capturectl.cli import main, snapshot

    monkeypatch.delattr(snapshot, "FILES")
    assert main(["-H", "board", "snapshot", "a.png"]) == 2


@pytest.mark.slow
def test_a_scripts_own_input_is_left_alone(environment: dict[str, str], here: Path) -> None:
    script = (
        f"printf '1\\n2\\n' | while read -r n; do {CAPTURECTL} -H board list >&2; echo $n; done"
    )
    done = subprocess.run(
        ["sh", "-c", script], env=environment, cwd=here, capture_output=True, check=True
    )
    assert done.stdout == b"1\n2\n"


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "lambda *_: sys.exit(0)"])
def test_ctrl_c_is_130_and_no_file_whatever_ssh_says(
    handler: str, environment: dict[str, str], here: Path, tmp_path: Path
) -> None:
    slow = Path(environment["PATH"].split(":", 1)[0]) / "ssh"
    slow.write_text(
        f"#!{sys.executable}\nimport pathlib, signal, sys\n"
        f"signal.signal(signal.SIGINT, {handler})\n"
        f"pathlib.Path('{tmp_path}/begun').touch()\nsignal.pause()\n"
    )
    with subprocess.Popen(
        [CAPTURECTL, "-H", "board", "snapshot", "a.png"], env=environment, cwd=here,
        stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        wait_until((tmp_path / "begun").exists, "ssh runs")
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        assert (process.wait(), process.stderr.read(), names_in(here)) == (130, b"", [])


def watching(socket: Path) -> set[int]:
    """Return the clients that the daemon has, but for the one that asks."""
    with library.connect(str(socket)) as client:
        return {one.status.pid for one in client.clients() if one.status.pid != os.getpid()}


@pytest.mark.slow
def test_a_command_that_waits_there_ends_with_the_one_here(
    environment: dict[str, str], here: Path, socket: Path
) -> None:
    with subprocess.Popen(
        [CAPTURECTL, "-H", "board", "monitor"], env=environment, cwd=here,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        wait_until(lambda: watching(socket) != set(), "it watches there")
        process.kill()
    wait_until(lambda: watching(socket) == set(), "it has gone there, though nothing happened")


@pytest.mark.slow
def test_a_command_that_is_to_end_with_its_input_runs_without_any(
    environment: dict[str, str], here: Path
) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{CAPTURECTL} list <&-"], env=environment | {"CAPTURECTL_TIED": "1"},
        cwd=here, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
