# SPDX-License-Identifier: MIT
"""The recipes of docs/operations.md, as far as they can be checked without their build systems."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
MANUAL = (PROJECT / "docs/operations.md").read_text()
INSTALL = (PROJECT / "packaging/install").read_text()
LICENSE = (PROJECT / "LICENSE").read_bytes()


def test_yocto_knows_the_license_by_its_sum() -> None:
    assert re.findall(r"file://LICENSE;md5=(\w+)", MANUAL) == [hashlib.md5(LICENSE).hexdigest()]


def test_buildroot_knows_the_license_by_its_sum() -> None:
    known = re.findall(r"^sha256  (\w+)  LICENSE$", MANUAL, re.MULTILINE)
    assert known == [hashlib.sha256(LICENSE).hexdigest()]


def test_whoever_checks_before_a_restart_reads_what_the_daemon_may_read() -> None:
    checks = re.findall(r"^.*--check-config && systemctl restart", MANUAL, re.MULTILINE)
    checks += re.findall(r'^check="(.*)"', INSTALL, re.MULTILINE)
    as_the_daemon = "runuser -u captured -- captured --check-config"
    assert len(checks) == 3
    assert all(check.startswith(as_the_daemon) for check in checks)
