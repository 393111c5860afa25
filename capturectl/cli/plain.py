# SPDX-License-Identifier: MIT
"""A plain command line, read without argparse: that takes as long as the rest of `list`.

A command's definitions are noted down as argparse would take them. Known options with values
that are right are read here; anything else (help, a wrong word, --option=value, groups) is left
to argparse, which reads the same definitions. A test holds the two to the same result; but words
may stand on both sides of an option here, as in `config check --json FILE`.
"""

from __future__ import annotations

import sys

from capturectl.cli import commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from capturectl.typed import Any

_SUPPRESS = "==SUPPRESS=="  # argparse.SUPPRESS
_UNDERSTOOD = {
    "action", "choices", "default", "dest", "help", "metavar", "nargs", "required", "type",
}  # fmt: skip


class NotPlain(Exception):  # noqa: N818 - no error: argparse is next
    """The line, or a definition, needs argparse."""


class Options:
    """What was read, as attributes; as argparse.Namespace."""

    command: str
    run: Callable[[Options], int]


class Argument:
    """One definition."""

    def __init__(self, flags: tuple[str, ...], settings: dict[str, Any]) -> None:
        self.is_switch = settings.get("action") == "store_true"
        if settings.get("action", "store") not in {"store", "store_true"}:
            raise NotPlain
        if settings.keys() - _UNDERSTOOD or settings.get("nargs") not in {None, "?"}:
            raise NotPlain
        self.is_positional = not flags[0].startswith("-")
        if "nargs" in settings and not self.is_positional:
            raise NotPlain
        long = next((flag for flag in flags if flag.startswith("--")), flags[0])
        self.dest: str = settings.get("dest") or long.lstrip("-").replace("-", "_")
        self.default = settings.get("default", False if self.is_switch else None)
        self.is_required = settings.get("required", self.is_positional and "nargs" not in settings)
        self._kind = settings.get("type")
        self._choices = settings.get("choices")

    def read(self, text: str | None) -> object:
        """Return the value that a word stands for."""
        if text is None or (text.startswith("-") and text != "-"):
            raise NotPlain
        try:
            value = self._kind(text) if self._kind else text
        except Exception as error:  # argparse words it, whatever it is
            raise NotPlain from error
        if self._choices is not None and value not in self._choices:
            raise NotPlain
        return value


class Definitions:
    """Takes the definitions of a command in place of a parser."""

    def __init__(self) -> None:
        self._options: dict[str, Argument] = {}
        self._positionals: list[Argument] = []
        for flags, _ in commands.SHARED_OPTIONS:
            short, long, _ = flags.replace(",", "").split(" ")
            self.add_argument(short, long, default=_SUPPRESS)

    def add_argument(self, *flags: str, **settings: Any) -> None:  # noqa: ANN401 - argparse's own
        """Note one argument down."""
        argument = Argument(flags, settings)
        if argument.is_positional:
            self._positionals.append(argument)
        self._options |= dict.fromkeys(flags, argument)

    def __getattr__(self, name: str) -> object:
        raise NotPlain(name)  # groups, parsers of parsers

    def read(self, words: Iterable[str]) -> Options:
        """Read a command's words."""
        values: dict[str, object] = {}
        texts: list[str] = []
        rest = iter(words)
        for word in rest:
            if word.startswith("-") and word != "-":
                self._read_option(word, rest, values)
            else:
                texts.append(word)
        if len(texts) > len(self._positionals):
            raise NotPlain
        for argument, text in zip(self._positionals, texts, strict=False):
            values[argument.dest] = argument.read(text)
        return self._completed(values)

    def _read_option(self, word: str, rest: Iterator[str], values: dict[str, object]) -> None:
        argument = self._options.get(word)
        if argument is None:
            raise NotPlain
        values[argument.dest] = True if argument.is_switch else argument.read(next(rest, None))

    def _completed(self, values: dict[str, object]) -> Options:
        for argument in (*self._options.values(), *self._positionals):
            if argument.dest in values:
                continue
            if argument.is_required:
                raise NotPlain
            if argument.default != _SUPPRESS:
                is_text = isinstance(argument.default, str)
                values[argument.dest] = (
                    argument.read(argument.default) if is_text else argument.default
                )
        options = Options()
        vars(options).update(values)
        return options


def read(words: Sequence[str]) -> Options:
    """Read a command line.

    Raises:
        NotPlain: argparse must.
    """
    at = _command_at(words)
    name = f"capturectl.cli.{words[at]}"
    __import__(name)  # importlib would import warnings
    module = sys.modules[name]
    definitions = Definitions()
    module.add_arguments(definitions)
    options = definitions.read([*words[:at], *words[at + 1 :]])
    options.command, options.run = words[at], module.run
    return options


def _command_at(words: Sequence[str]) -> int:
    """Return where the command stands; before it are shared options with their values only."""
    shared = {flag for flags, _ in commands.SHARED_OPTIONS for flag in flags.split(" ")[:2]}
    at = 0
    while at < len(words) and words[at] in {flag.rstrip(",") for flag in shared}:
        at += 2
    if at >= len(words) or words[at] not in commands.names():
        raise NotPlain
    return at
