# SPDX-License-Identifier: MIT
"""What the commands take, read from their own definitions, for completions and manual pages."""

from __future__ import annotations

from importlib import import_module

from capturectl.cli import commands, parser
from capturectl.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from capturectl.typed import Any

_FILES = {"FILE", "PATH", "SOCKET", "DIRECTORY"}


class Argument(NamedTuple):
    """An option, or a word with a place of its own."""

    flags: tuple[str, ...]
    """-o, --output; none for a word with a place."""
    value: str
    """What stands for its value in the help; empty for a switch."""
    words: tuple[str, ...]
    """The values that it can have, where they are few."""
    help: str
    is_optional: bool

    @property
    def kind(self) -> str:
        """What a shell offers: words, output, file, host or nothing."""
        if self.words:
            return "words"
        if self.value in _FILES:
            return "file"
        return {"OUTPUT": "output", "HOST": "host"}.get(self.value, "")


class Command(NamedTuple):
    """One command, as its module describes it."""

    name: str
    summary: str
    about: str
    examples: tuple[str, ...]
    options: tuple[Argument, ...]
    """Without those that all commands share."""
    places: tuple[Argument, ...]


def shared_options() -> tuple[Argument, ...]:
    """Return the options that every command takes."""
    found = []
    for flags, about in commands.SHARED_OPTIONS:
        short, long, value = flags.replace(",", "").split(" ")
        found.append(Argument((short, long), value, (), about.replace("\n", " "), True))
    return tuple(found)


def describe() -> list[Command]:
    """Return all commands, in the order of the help."""
    names = commands.names()
    parsers = parser.command_parsers(parser.build_parser(names))
    return [_command(name, parsers[name]) for name in names]


def _command(name: str, found: argparse.ArgumentParser) -> Command:
    module = import_module(f"capturectl.cli.{name}")
    shared = {flag for option in shared_options() for flag in option.flags} | {"-h"}
    arguments = [*_arguments(found)]
    options = tuple(a for a in arguments if a.flags and not shared & set(a.flags))
    places = tuple(a for a in arguments if not a.flags)
    about = getattr(module, "ABOUT", "")
    examples = tuple(getattr(module, "EXAMPLES", ()))
    return Command(name, commands.summary(name), about, examples, options, places)


def _arguments(found: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in parser.arguments_of(found):
        nested = parser.command_parsers_of(action)
        yield _argument(found, action, tuple(nested))
        for sub in nested.values():  # what "clients disconnect" takes, "clients" may complete
            yield from (a for a in _arguments(sub) if "-h" not in a.flags)


def _argument(
    found: argparse.ArgumentParser, action: argparse.Action, nested: tuple[str, ...]
) -> Argument:
    words = nested or tuple(map(str, action.choices or ()))
    value = "" if action.nargs == 0 else _value(action, words)
    is_optional = bool(action.option_strings) or action.nargs in {"?", "*"} or bool(nested)
    if nested:
        is_optional = not action.required
    help_text = _expanded(found, action)
    return Argument(tuple(action.option_strings), value, words, help_text, is_optional)


def _value(action: argparse.Action, words: tuple[str, ...]) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    if words:
        return "|".join(words)
    return action.dest.upper().replace("_", "-")


def _expanded(found: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter: Any = found._get_formatter()
    text: str = formatter._expand_help(action) if action.help else ""
    return text
