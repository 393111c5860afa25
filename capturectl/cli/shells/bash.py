# SPDX-License-Identifier: MIT
"""Completion for bash, with nothing but bash."""

from __future__ import annotations

from shlex import quote

from capturectl.cli.describe import Argument, Command, describe, shared_options
from capturectl.cli.shells import OUTPUTS

_SCRIPT = """\
# Completion of capturectl for bash; made by: capturectl completion bash
_capturectl_outputs() {{
    {outputs}
}}

_capturectl() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} before= command= offer= place=0 i word
    local valued={valued} options={options} where=()
    COMPREPLY=()
    [[ $cur == = ]] && cur=
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}} before=
        case $word in -S | --socket) where=(-S "${{COMP_WORDS[i + 1]}}") ;; esac
        if [[ " $valued " == *" $word "* ]]; then
            before=$word
            [[ ${{COMP_WORDS[i + 1]}} == = ]] && ((i++)) # bash cuts --option=value in three
            ((i++))
        elif [[ $word != -* || $word == - ]]; then
            if [[ $command ]]; then
                ((place++))
            else
                command=$word
                case $command in
{commands}
                esac
            fi
        fi
    done
    ((i > COMP_CWORD)) || before=
    if [[ $before ]]; then
        word="$command $before"
    elif [[ $cur == -* ]]; then
        word=
        offer=$options
    else
        word="$command $place"
    fi
    case $word in
{values}
    esac
    COMPREPLY+=($(compgen -W "$offer" -- "$cur"))
}}
complete -F _capturectl capturectl
"""


def script() -> str:
    """Return the script."""
    shared, commands = shared_options(), describe()
    return _SCRIPT.format(
        outputs=OUTPUTS.replace("$WHERE", '"${where[@]}"'),
        valued=quote(_valued(shared)),
        options=quote(_flags(shared) + " --help --version"),
        commands="\n".join(_command(command) for command in commands),
        values="\n".join(_values(commands, shared)),
    )


def _flags(options: tuple[Argument, ...]) -> str:
    return " ".join(flag for option in options for flag in option.flags)


def _valued(options: tuple[Argument, ...]) -> str:
    return _flags(tuple(option for option in options if option.value))


def _command(command: Command) -> str:
    flags, valued = _flags(command.options), _valued(command.options)
    more = f"options+={quote(f' {flags}')} valued+={quote(f' {valued}')}"
    return f"{' ' * 20}{command.name}) {more} ;;"


def _values(commands: list[Command], shared: tuple[Argument, ...]) -> list[str]:
    names = " ".join(command.name for command in commands)
    lines = [_case([" 0"], f"offer={quote(names)}")]
    lines += [_offer([f"* {flag}" for flag in option.flags], option) for option in shared]
    for command in commands:
        start = command.name
        lines += [_offer([f"{start} {flag}" for flag in o.flags], o) for o in command.options]
        lines += [_offer([f"{start} {n}"], place) for n, place in enumerate(command.places)]
    return [line for line in lines if line]


def _offer(patterns: list[str], argument: Argument) -> str:
    action = {
        "words": f"offer={quote(' '.join(argument.words))}",
        "output": "offer=$(_capturectl_outputs)",
        "file": 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")',
        "host": 'mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")',
    }.get(argument.kind)
    return _case(patterns, action) if action and argument.value else ""


def _case(patterns: list[str], action: str) -> str:
    alternatives = " | ".join(
        f"*{quote(pattern[1:])}" if pattern.startswith("*") else quote(pattern)
        for pattern in patterns
    )
    return f"        {alternatives}) {action} ;;"
