# SPDX-License-Identifier: MIT
"""packaging/captured.toml: every setting is in it, as it is built in."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from captured import config
from captured.settings import SETTINGS

EXAMPLE = Path(__file__).parents[2] / "packaging" / "captured.toml"
WITHOUT_DEFAULT = {"settle", "allow"}


def uncommented() -> str:
    """Return the example with every setting switched on."""
    return re.sub(r'^#(?=[a-z]+ = |\[|")', "", EXAMPLE.read_text(), flags=re.M)


def test_the_example_as_it_is_changes_nothing() -> None:
    assert config.load(str(EXAMPLE), {}).config == config.Config()


def test_the_example_has_every_setting() -> None:
    assert set(tomllib.loads(uncommented())) == set(SETTINGS)


def test_the_example_shows_the_defaults() -> None:
    shown = tomllib.loads(uncommented())
    assert {name: shown[name] for name in SETTINGS if name not in WITHOUT_DEFAULT} == {
        name: value
        for name, value in config.Config()._asdict().items()
        if name not in WITHOUT_DEFAULT
    }


def test_the_example_says_what_a_reload_changes() -> None:
    paragraphs = EXAMPLE.read_text().split("\n\n")
    marked = {
        name
        for name in SETTINGS
        for text in paragraphs
        if re.search(rf"^#(?:{name} = |\[{name}\])", text, re.M) and "(reload)" in text
    }
    assert marked == {name for name, setting in SETTINGS.items() if setting.is_live}


def test_every_value_of_the_example_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "captured.toml"
    text = re.sub(r'"@lab", |"@video"', "", uncommented())  # groups of another machine
    file.write_text(text)
    loaded = config.load(str(file), {}).config
    assert (loaded.settle, loaded.allow) == (0.001, {"HDMI-A-1": ["1000"], "*": []})
