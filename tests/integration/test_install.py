# SPDX-License-Identifier: MIT
"""make install and make uninstall, into a directory of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import capturectl as library
from tests.support.processes import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
SYSTEM_FILES = {
    "bin/capturectl",
    "sbin/captured",
    "lib/captured/manifest",
    "lib/systemd/system/captured.service",
    "lib/systemd/system/captured.socket",
    "lib/systemd/system/captured-card.target",
    "lib/systemd/catalog/captured.catalog",
    "lib/sysusers.d/captured.conf",
    "lib/udev/rules.d/70-captured.rules",
    "share/doc/captured/captured.toml",
    "share/doc/captured/README.md",
    "share/doc/captured/docs/operations.md",
    "share/doc/captured/docs/examples/client.c",
    "share/doc/captured/LICENSE",
    "share/doc/captured/drop-ins/realtime.conf",
}
_SAY_WHAT_IS_BLOCKED = """
import signal
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
def main():
    print("blocked:", *(number.name for number in blocked))
"""


def make(
    target: str, prefix: Path | str, destdir: Path | str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    settings = {"PREFIX": prefix, "DESTDIR": destdir, "PYTHON": PYTHON, "VENDOR": "no"} | variables
    words = ["make", "--no-print-directory", "-C", str(PROJECT), target]
    words += [f"{name}={value}" for name, value in settings.items()]
    return subprocess.run(words, check=False, capture_output=True, text=True)


def install(prefix: Path | str, destdir: Path | str = "", **variables: str) -> None:
    done = make("install", prefix, destdir, **variables)
    assert done.returncode == 0, done.stderr


def uninstall(prefix: Path | str, destdir: Path | str = "") -> None:
    done = make("uninstall", prefix, destdir)
    assert (done.returncode, done.stderr) == (0, "")


def files_under(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def modules(package: Path) -> set[str]:
    """Return the modules of a package in this tree."""
    return {str(path.relative_to(package.parent)) for path in package.rglob("*.py")}


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """What a packager gets: DESTDIR with PREFIX=/usr in it."""
    install("/usr", tmp_path / "stage")
    return tmp_path / "stage/usr"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An installation that runs."""
    install(tmp_path / "opt")
    return tmp_path / "opt"


class InstalledDaemon(DaemonProcess):
    """captured as it was installed."""

    def __init__(self, prefix: Path, socket: Path) -> None:
        self._program = str(prefix / "sbin/captured")
        super().__init__(socket, "--pattern", "256x64@60", cwd="/")

    def _command(self) -> list[str]:
        return [self._program]


@pytest.fixture
def daemon(prefix: Path, tmp_path: Path) -> Iterator[InstalledDaemon]:
    with InstalledDaemon(prefix, tmp_path / "c.sock") as process:
        yield process


@pytest.mark.parametrize("prefix", ["opt", "/opt/with space", "/opt/a|b", "/opt/$HOME"])
def test_a_prefix_that_units_and_scripts_cannot_name_is_refused(
    prefix: str, tmp_path: Path
) -> None:
    words = [str(PROJECT / "packaging/install"), str(tmp_path), prefix, PYTHON, "no"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (done.returncode, "PREFIX" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prefix", ["/", "//"])
def test_the_root_directory_is_no_prefix_and_that_is_what_is_said(prefix: str) -> None:
    done = make("install", prefix)
    assert "install: PREFIX must name a directory such as /usr/local, not '/" in done.stderr
    assert done.returncode != 0


@pytest.mark.parametrize("name", ["a&b", "a|b", "with space", "[a-z]*\\1"])
def test_any_directory_does_for_a_packager(tmp_path: Path, name: str) -> None:
    install("/usr", tmp_path / name)
    install("/usr", tmp_path / name)
    assert files_under(tmp_path / name / "usr") >= SYSTEM_FILES
    uninstall("/usr", tmp_path / name)
    assert list(tmp_path.rglob("*")) == [tmp_path / name]


# -- what is installed ------------------------------------------------------------------------


def test_everything_that_a_board_needs_is_placed(staged: Path) -> None:
    assert files_under(staged) >= SYSTEM_FILES


def test_both_packages_are_there_and_byte_compiled(staged: Path) -> None:
    placed = files_under(staged / "lib/captured")
    wanted = modules(PROJECT / "capturectl") | modules(PROJECT / "daemon/captured")
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    compiled = {f"{Path(name).parent}/__pycache__/{Path(name).stem}.{tag}.pyc" for name in wanted}
    assert {name for name in placed if name.endswith(".py")} == wanted
    assert {name for name in placed if name.endswith(".pyc")} == compiled


def test_nothing_names_the_place_where_it_was_built(staged: Path, tmp_path: Path) -> None:
    traces = [str(tmp_path).encode(), str(PROJECT).encode()]
    named = [
        path
        for path in staged.rglob("*")
        if path.is_file() and any(trace in path.read_bytes() for trace in traces)
    ]
    assert named == []


def test_the_daemons_launcher_blocks_sigterm_before_anything_is_imported(prefix: Path) -> None:
    (prefix / "lib/captured/captured/main.py").write_text(_SAY_WHAT_IS_BLOCKED)
    done = subprocess.run([prefix / "sbin/captured"], capture_output=True, text=True, check=True)
    assert done.stdout == "blocked: SIGTERM\n"


def test_ctrl_c_while_the_command_is_being_loaded_is_130_without_a_word(prefix: Path) -> None:
    home = prefix / "lib/captured/capturectl/__init__.py"
    home.write_text(f"import os\nos.kill(os.getpid(), 2)\n{_without_future(home.read_text())}")
    words = [f"{prefix}/bin/capturectl", "--version"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def _without_future(source: str) -> str:
    return source.replace("from __future__ import annotations\n", "")


def test_units_and_launchers_name_the_prefix(staged: Path) -> None:
    service = (staged / "lib/systemd/system/captured.service").read_text()
    assert "ExecStart=/usr/sbin/captured\n" in service
    assert "ExecReload=/usr/sbin/captured --check-config\n" in service
    assert "/usr/local" not in service
    assert '"/usr/lib/captured"' in (staged / "bin/capturectl").read_text()


def test_links_in_the_documents_lead_somewhere(staged: Path) -> None:
    documents = list((staged / "share/doc/captured").rglob("*.md"))
    links = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
        if "://" not in target
    ]
    dead = [(str(document), to) for document, to in links if not (document.parent / to).exists()]
    assert (dead, len(documents) > 20, len(links) > 20) == ([], True, True)


def test_units_and_manual_pages_name_documents_that_are_there(staged: Path) -> None:
    places = [*staged.glob("lib/systemd/system/*"), *staged.glob("share/man/man?/*")]
    texts = [place.read_text().replace("\\-", "-") for place in places]
    named = {name for text in texts for name in re.findall(r"/usr/share/doc/[\w/.]+\w", text)}
    documents = "/usr/share/doc/captured/docs"
    assert named == {f"{documents}/operations.md", f"{documents}/examples/client.c"}
    assert [path for path in named if not (staged / path.removeprefix("/usr/")).exists()] == []


def test_files_are_readable_for_all_and_only_commands_executable(staged: Path) -> None:
    modes = {
        str(path.relative_to(staged)): path.stat().st_mode & 0o777
        for path in staged.rglob("*")
        if path.is_file()
    }
    executable = {name for name, mode in modes.items() if mode == 0o755}
    assert executable == {"bin/capturectl", "sbin/captured"}
    assert set(modes.values()) == {0o755, 0o644}


# -- that it runs -----------------------------------------------------------------------------


def test_the_installed_daemon_serves_frames(daemon: InstalledDaemon) -> None:
    with library.connect(str(daemon.socket)) as client, client.snapshot() as frame:
        assert (frame.width, frame.height) == (256, 64)


def test_the_installed_command_takes_a_snapshot(
    prefix: Path, daemon: InstalledDaemon, tmp_path: Path
) -> None:
    words = [f"{prefix}/bin/capturectl", "-S", str(daemon.socket), "snapshot", f"{tmp_path}/s.png"]
    subprocess.run(words, check=True, cwd="/", env={})
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_the_installed_command_finds_its_daemon_without_sbin_in_path(prefix: Path) -> None:
    words = [f"{prefix}/bin/capturectl", "config", "check"]
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_installed_commands_heed_no_module_of_the_current_directory(
    prefix: Path, tmp_path: Path
) -> None:
    (tmp_path / "capturectl.py").write_text("raise SystemExit(99)")
    words = [f"{prefix}/bin/capturectl", "--version"]
    done = subprocess.run(words, check=False, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0


# -- packages that the distribution lacks -------------------------------------------------------


@pytest.mark.timeout(300)
def test_the_packages_that_are_taken_along_serve_the_commands_that_need_them(
    tmp_path: Path,
) -> None:
    prefix = tmp_path / "opt"
    install(prefix, VENDOR="yes")
    with InstalledDaemon(prefix, tmp_path / "c.sock") as daemon:
        for name, magic in ("s.npy", b"\x93NUMPY"), ("s.jpg", b"\xff\xd8\xff"):
            words = [f"{prefix}/bin/capturectl", "-S", str(daemon.socket), "snapshot", name]
            subprocess.run(words, check=True, cwd=tmp_path, env={})
            assert (tmp_path / name).read_bytes().startswith(magic)
    install(prefix)
    assert not (prefix / "lib/captured/vendor").exists()
    uninstall(prefix)
    assert not prefix.exists()


# -- and goes away ----------------------------------------------------------------------------


def test_uninstalling_leaves_nothing(prefix: Path) -> None:
    uninstall(prefix)
    assert not prefix.exists()


def test_uninstalling_leaves_what_others_have_put_there(prefix: Path) -> None:
    (prefix / "share/doc/other").mkdir()
    (prefix / "lib/captured/note").write_text("mine")
    uninstall(prefix)
    assert files_under(prefix) == {"lib/captured/note"}
    assert (prefix / "share/doc/other").is_dir()


def test_directories_that_were_there_before_stay(tmp_path: Path) -> None:
    (tmp_path / "opt/bin").mkdir(parents=True)
    install(tmp_path / "opt")
    uninstall(tmp_path / "opt")
    assert list((tmp_path / "opt").iterdir()) == [tmp_path / "opt/bin"]


def test_uninstalling_what_is_not_installed_says_so(tmp_path: Path) -> None:
    words = [str(PROJECT / "packaging/uninstall"), "", str(tmp_path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"uninstall: nothing is installed under {tmp_path}\n"


# -- over an older version --------------------------------------------------------------------


def add_to_manifest(prefix: Path, kind: str, name: str) -> None:
    """As if an older version had placed it."""
    with (prefix / "lib/captured/manifest").open("a") as manifest:
        manifest.write(f"{kind} {prefix}/{name}\n")


def test_installing_over_an_older_version_takes_its_files_away(prefix: Path) -> None:
    (prefix / "lib/captured/capturectl/old.py").write_text("")
    add_to_manifest(prefix, "f", "lib/captured/capturectl/old.py")
    before = files_under(prefix)
    install(prefix)
    assert before - files_under(prefix) == {"lib/captured/capturectl/old.py"}


def test_a_directory_of_an_older_version_goes_as_soon_as_it_is_empty(prefix: Path) -> None:
    guest = prefix / "share/old/note"
    guest.parent.mkdir()
    guest.write_text("mine")
    add_to_manifest(prefix, "d", "share/old")
    install(prefix)
    assert guest.read_text() == "mine"
    guest.unlink()
    uninstall(prefix)
    assert not prefix.exists()


def test_installing_again_changes_nothing(prefix: Path) -> None:
    before = files_under(prefix), (prefix / "lib/captured/manifest").read_text()
    install(prefix)
    assert (files_under(prefix), (prefix / "lib/captured/manifest").read_text()) == before


def test_who_reads_a_file_of_the_old_version_reads_it_to_its_end(prefix: Path) -> None:
    command = prefix / "bin/capturectl"
    command.write_text("of the old version")
    with command.open() as opened:
        install(prefix)
        assert opened.read() == "of the old version"
    assert command.read_text().startswith("#!")


def version(prefix: Path) -> str:
    """Return what the installed command says; it has to work."""
    done = subprocess.run(
        [f"{prefix}/bin/capturectl", "--version"], check=True, capture_output=True
    )
    return done.stdout.decode()


NO_PACKAGES = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
FAILURES = {
    "no interpreter": {"PYTHON": "/nonexistent"},
    "no packages": {"VENDOR": "yes"},
}


@pytest.fixture(params=list(FAILURES.values()), ids=list(FAILURES))
def failure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables with which nothing can be installed."""
    for name, value in NO_PACKAGES.items():
        monkeypatch.setenv(name, value)
    chosen: dict[str, str] = request.param
    return chosen


def test_where_installing_fails_the_old_version_works_on_and_can_be_uninstalled(
    prefix: Path, failure: dict[str, str]
) -> None:
    before = files_under(prefix), version(prefix)
    assert make("install", prefix, **failure).returncode != 0
    assert (files_under(prefix), version(prefix)) == before
    uninstall(prefix)
    assert not prefix.exists()


def test_where_installing_fails_for_the_first_time_nothing_is_left(
    tmp_path: Path, failure: dict[str, str]
) -> None:
    assert make("install", tmp_path / "opt/local", **failure).returncode != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_first", [True, False])
def test_what_was_broken_off_half_way_can_be_uninstalled(
    tmp_path: Path, *, is_first: bool
) -> None:
    prefix = tmp_path / "opt"
    if not is_first:
        install(prefix)
        (prefix / "share/man/man8/captured.8").unlink()
    obstacle = prefix / "share/man/man8/captured.8/obstacle"  # no file can be put there
    obstacle.mkdir(parents=True)
    assert make("install", prefix).returncode != 0
    assert (prefix / "bin/capturectl").exists()
    obstacle.rmdir()
    obstacle.parent.rmdir()
    uninstall(prefix)
    assert files_under(prefix) == set()


def test_what_was_broken_off_half_way_can_be_installed(prefix: Path) -> None:
    before = files_under(prefix)
    (prefix / "lib/captured/.staging").mkdir()  # somebody has pulled the plug
    (prefix / "lib/captured/.staging/half").write_text("")
    (prefix / "bin/capturectl").unlink()
    install(prefix)
    assert files_under(prefix) == before
