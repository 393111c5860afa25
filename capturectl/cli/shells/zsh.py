# SPDX-License-Identifier: MIT
"""Completion for zsh, with its _arguments."""

from __future__ import annotations

from capturectl.cli.describe import Argument, Command, describe, shared_options
from capturectl.cli.shells import OUTPUTS, brief

_SCRIPT = """\
#compdef capturectl
# Completion of capturectl for zsh; made by: capturectl completion zsh
_capturectl_outputs() {{
    local -a names where
    local socket=${{opt_args[-S]:-${{opt_args[--socket]}}}}
    [[ -n $socket ]] && where=(-S "${{(Q)socket}}")
    names=(${{(f)"$({outputs})"}})
    compadd -a names
}}

_capturectl_commands() {{
    local -a commands
    commands=(
{commands}
    )
    _describe command commands
}}

_capturectl() {{
    local context state state_descr line
    typeset -A opt_args
    _arguments -C {shared} '(- *)'{{-h,--help}}'[show the help]' \\
        '(- *)--version[print the version]' '1:command:_capturectl_commands' '*::word:->words'
    [[ $state == words ]] || return 0
    case $words[1] in
{cases}
    esac
}}

if [[ $funcstack[1] == _capturectl ]]; then
    _capturectl "$@"
else
    compdef _capturectl capturectl
fi
"""


def script() -> str:
    """Return the script."""
    commands = describe()
    shared = " ".join(map(_option, shared_options()))
    return _SCRIPT.format(
        outputs=OUTPUTS.replace("$WHERE", "$where"),
        commands="\n".join(f"        {_quoted(f'{c.name}:{c.summary}')}" for c in commands),
        shared=shared,
        cases="\n".join(_case(command, shared) for command in commands),
    )


def _case(command: Command, shared: str) -> str:
    words = [*map(_option, command.options), *map(_place, command.places)]
    lines = " \\\n                ".join([shared, "'(- *)'{-h,--help}'[show the help]'", *words])
    return f"        {command.name})\n            _arguments {lines} ;;"


def _option(option: Argument) -> str:
    ending = f"[{_escaped(brief(option.help))}]"
    if option.value:
        ending += f":{_escaped(option.value)}:{_action(option)}"
    flags = [flag + ("=" if flag.startswith("--") else "+") for flag in option.flags]
    if not option.value:
        flags = [*option.flags]
    if len(flags) == 1:
        return _quoted(flags[0] + ending)
    without_the_other = _quoted(f"({' '.join(option.flags)})")
    return f"{without_the_other}{{{','.join(flags)}}}{_quoted(ending)}"


def _place(place: Argument) -> str:
    colon = "::" if place.is_optional else ":"
    return _quoted(f"{colon}{_escaped(place.value)}:{_action(place)}")


def _action(argument: Argument) -> str:
    if argument.kind == "words":
        return f"({' '.join(argument.words)})"
    known = {"output": "_capturectl_outputs", "file": "_files", "host": "_hosts"}
    return known.get(argument.kind, " ")


def _escaped(text: str) -> str:
    for letter in "\\[]:":
        text = text.replace(letter, f"\\{letter}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
