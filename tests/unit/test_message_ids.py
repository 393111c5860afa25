# SPDX-License-Identifier: MIT
"""Message ids and their catalog: every code that the daemon can say is explained."""

from __future__ import annotations

import ast
import re
import uuid
from pathlib import Path

from captured.message_ids import MESSAGE_IDS

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "systemd" / "captured.catalog"
FIELDS = {"PID", "UID", "OUTPUT", "SEQUENCE", "CODE", "CLIENT"}


def codes() -> set[str]:
    """Return every code that the sources name: code="..." in calls and classes."""
    files = [ROOT / "capturectl" / "errors.py", *(ROOT / "daemon").rglob("*.py")]
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            named = (isinstance(node, ast.keyword) and node.arg == "code") or (
                isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code"
            )
            if named and isinstance(node.value, ast.Constant):  # type: ignore[attr-defined]  # both have one
                found.add(str(node.value.value))  # type: ignore[attr-defined]  # the same
    return found


def entries() -> dict[str, str]:
    """Return the catalog's entries by message id."""
    parts = re.split(r"^-- ([0-9a-f]{32})\n", CATALOG.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def id_of(code: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"captured:{code}").hex


def test_every_code_has_a_message_id() -> None:
    lacking = {code: id_of(code) for code in sorted(codes() - set(MESSAGE_IDS))}
    assert lacking == {}


def test_no_message_id_is_of_a_code_that_is_not_there() -> None:
    assert sorted(set(MESSAGE_IDS) - codes() - {"suppressed", "internal"}) == []


def test_each_message_id_is_the_uuid_of_its_code() -> None:
    assert {code: id_of(code) for code in MESSAGE_IDS} == MESSAGE_IDS


def test_the_catalog_explains_every_message_id() -> None:
    assert sorted(entries()) == sorted(MESSAGE_IDS.values())


def test_every_entry_of_the_catalog_has_a_subject_and_a_text() -> None:
    form = re.compile(r"Subject: \S.*\nDefined-By: captured\n\n\S(?:.*\n)+\n?")
    assert [text for text in entries().values() if not form.fullmatch(text)] == []


def test_the_catalog_names_only_fields_that_the_journal_gets() -> None:
    assert set(re.findall(r"@CAPTURED_([A-Z]+)@", CATALOG.read_text())) <= FIELDS
