# SPDX-License-Identifier: MIT
"""Who may import whom: read from the sources, not from what happens to be loaded."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = {"capturectl": ROOT / "capturectl", "captured": ROOT / "daemon" / "captured"}
SPDX = "# SPDX-License-Identifier: MIT"


@cache
def sources() -> dict[str, Path]:
    """Return the product's modules by name."""
    found = {}
    for package, folder in ROOTS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(sources()[module].read_text(encoding="utf-8"))


def imports_in(tree: ast.AST, package: tuple[str, ...] = ()) -> set[str]:
    """Return every module that a tree names in an import, wherever the import stands.

    Args:
        tree: The parsed module.
        package: The package that it is in, for relative imports.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def imports_of(module: str) -> set[str]:
    parts = tuple(module.split("."))
    is_package = sources()[module].name == "__init__.py"
    return imports_in(tree_of(module), parts if is_package else parts[:-1])


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def offences(importers: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
    """Return the imports of `forbidden` that modules in `importers` make."""
    return [
        f"{module} imports {name}"
        for module in sorted(sources())
        if is_in(module, importers)
        for name in sorted(imports_of(module))
        if is_in(name, forbidden)
    ]


# --- the reader itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import a.b", {"a.b"}),
        ("import a as x", {"a"}),
        ("from a import b", {"a", "a.b"}),
        ("from . import b", {"p.q", "p.q.b"}),
        ("from ..r import s", {"p.r", "p.r.s"}),
        ("def f():\n    import a", {"a"}),
        ("if TYPE_CHECKING:\n    import a", {"a"}),
    ],
)
def test_the_reader_sees_imports_of_every_form(line: str, found: set[str]) -> None:
    assert imports_in(ast.parse(line), ("p", "q")) == found


def test_the_reader_finds_the_modules_of_both_packages() -> None:
    assert {"capturectl", "capturectl.cli", "captured.main", "captured.drm.card"} <= set(sources())


def test_the_reader_finds_an_import_that_is_there() -> None:
    assert "captured.cards imports captured.drm.card" in offences(("captured",), ("captured.drm",))


# --- imports point one way -------------------------------------------------------------------


def test_the_client_never_imports_the_daemon() -> None:
    assert offences(("capturectl",), ("captured",)) == []


def test_drm_knows_no_server_and_no_main() -> None:
    assert offences(("captured.drm",), ("captured.server", "captured.main")) == []


def test_capture_knows_no_server_and_no_main() -> None:
    assert offences(("captured.capture",), ("captured.server", "captured.main")) == []


def test_only_those_who_build_the_daemon_know_what_is_handed_over() -> None:
    rooms = ("captured.drm", "captured.capture", "captured.server", "captured.reactor")
    assert offences(rooms, ("captured.handover", "captured.notify", "captured.service")) == []


def test_capture_knows_no_drm() -> None:
    assert offences(("captured.capture",), ("captured.drm",)) == []


def test_drm_knows_no_sockets() -> None:
    sockets = ("socket", "capturectl.transport", "capturectl.client", "captured.reactor")
    assert offences(("captured.drm",), sockets) == []


def test_only_drm_imports_the_library_binding() -> None:
    users = {module for module in sources() if "captured.drm.libdrm" in imports_of(module)}
    assert {module for module in users if not is_in(module, ("captured.drm",))} == set()


def test_the_client_touches_no_card() -> None:
    assert offences(("capturectl",), ("ctypes", "pyudev", "systemd")) == []


# --- files -----------------------------------------------------------------------------------


def test_daemon_is_a_folder_and_no_package() -> None:
    assert not (ROOT / "daemon" / "__init__.py").exists()


def test_every_python_file_begins_with_its_licence() -> None:
    folders = [ROOT / name for name in ("capturectl", "daemon", "tests")]
    unmarked = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        if not path.read_text(encoding="utf-8").startswith(f"{SPDX}\n")
    ]
    assert unmarked == []


def test_only_the_command_prints() -> None:
    printers = {
        module
        for module in sources()
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and not is_in(module, ("capturectl.cli",))
    }
    assert printers == set()
