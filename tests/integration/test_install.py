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


def make(target: str, prefix: Path | str, destdir: Path | str = "") -> None:
    words = [
        "make", "--no-print-directory", "-C", str(PROJECT), target,
        f"PREFIX={prefix}", f"DESTDIR={destdir}", f"PYTHON={PYTHON}", "VENDOR=no",
    ]  # fmt: skip
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def files_under(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def modules(package: Path) -> set[str]:
    """Return the modules of a package in this tree."""
    return {str(path.relative_to(package.parent)) for path in package.rglob("*.py")}


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """What a packager gets: DESTDIR with PREFIX=/usr in it."""
    make("install", "/usr", tmp_path / "stage")
    return tmp_path / "stage/usr"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An installation that runs."""
    make("install", tmp_path / "opt")
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


@pytest.mark.parametrize("name", ["a&b", "a|b", "with space", "[a-z]*"])
def test_any_directory_does_for_a_packager(tmp_path: Path, name: str) -> None:
    make("install", "/usr", tmp_path / name)
    assert files_under(tmp_path / name / "usr") >= SYSTEM_FILES
    make("uninstall", "/usr", tmp_path / name)
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


# -- and goes away ----------------------------------------------------------------------------


def test_uninstalling_leaves_nothing(prefix: Path) -> None:
    make("uninstall", prefix)
    assert not prefix.exists()


def test_uninstalling_leaves_what_others_have_put_there(prefix: Path) -> None:
    (prefix / "share/doc/other").mkdir()
    (prefix / "lib/captured/note").write_text("mine")
    make("uninstall", prefix)
    assert files_under(prefix) == {"lib/captured/note"}
    assert (prefix / "share/doc/other").is_dir()


def test_directories_that_were_there_before_stay(tmp_path: Path) -> None:
    (tmp_path / "opt/bin").mkdir(parents=True)
    make("install", tmp_path / "opt")
    make("uninstall", tmp_path / "opt")
    assert list((tmp_path / "opt").iterdir()) == [tmp_path / "opt/bin"]


def test_installing_over_an_older_version_takes_its_files_away(prefix: Path) -> None:
    manifest = prefix / "lib/captured/manifest"
    (prefix / "lib/captured/capturectl/old.py").write_text("")
    manifest.write_text(f"{manifest.read_text()}f {prefix}/lib/captured/capturectl/old.py\n")
    before = files_under(prefix)
    make("install", prefix)
    assert before - files_under(prefix) == {"lib/captured/capturectl/old.py"}


def test_uninstalling_what_is_not_installed_says_so(tmp_path: Path) -> None:
    words = [str(PROJECT / "packaging/uninstall"), "", str(tmp_path)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"uninstall: nothing is installed under {tmp_path}\n"
