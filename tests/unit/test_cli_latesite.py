# SPDX-License-Identifier: MIT
"""capturectl.cli.latesite: site-packages for those who ask for something that lies there."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import PROJECT

BEGIN = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from capturectl.cli import latesite
latesite.install()
"""


def answer_to(code: str) -> str:
    """Run code in an interpreter without `site`; return what it prints."""
    words = [sys.executable, "-IS", "-c", BEGIN + code]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def test_a_module_of_site_packages_is_found_with_its_parts() -> None:
    assert answer_to("import numpy.linalg; print(numpy.linalg.norm([3, 4]))") == "5.0"


def test_nothing_of_it_is_looked_at_before() -> None:
    assert answer_to("import json, zlib; print('site' in sys.modules)") == "False"


def test_what_is_nowhere_is_not_found() -> None:
    code = """
for _ in range(2):
    try:
        import nowhere_at_all
    except ModuleNotFoundError as error:
        print(error.name)
"""
    assert answer_to(code).split() == ["nowhere_at_all"] * 2
