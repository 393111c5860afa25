# SPDX-License-Identifier: MIT
"""Completion for fish."""

from __future__ import annotations

from capturectl.cli.describe import Argument, Command, describe, shared_options
from capturectl.cli.shells import OUTPUTS, brief

_SCRIPT = """\
# Completion of capturectl for fish; made by: capturectl completion fish
function __capturectl_words --description 'the command of the line, and the words after it'
    set -l tokens (commandline -opc)
    set -l command
    set -l skip 1
    for token in $tokens
        if test $skip = 1
            set skip 0
        else if contains -- $token {valued} $argv
            set skip 1
        else if test "$token" = - || not string match -q -- '-*' $token
            set -a command $token
        end
    end
    string join \\n -- $command
end

function __capturectl_at --description 'whether the line has that command and so many words'
    set -l words (__capturectl_words $argv[3..])
    test "$words[1]" = "$argv[1]" -a (count $words) = "$argv[2]"
end

function __capturectl_in
    test "$(__capturectl_words)[1]" = "$argv[1]"
end

function __capturectl_outputs
    set -l where
    set -l tokens (commandline -opc)
    for i in (seq (count $tokens))
        contains -- $tokens[$i] -S --socket && set where -S $tokens[(math $i + 1)]
    end
    {outputs}
end

complete -c capturectl -f
complete -c capturectl -l help -s h -d 'show the help'
{lines}
"""


def script() -> str:
    """Return the script."""
    shared, commands = shared_options(), describe()
    lines = [f"complete -c capturectl {_option(option)}" for option in shared]
    for command in commands:
        lines += _command(command)
    return _SCRIPT.format(
        valued=" ".join(flag for option in shared for flag in option.flags),
        outputs=OUTPUTS.replace("$WHERE", "$where"),
        lines="\n".join(lines),
    )


def _command(command: Command) -> list[str]:
    start = "complete -c capturectl -n 'test -z \"$(__capturectl_words)\"'"
    lines = [f"{start} -a {command.name} -d {_quoted(command.summary)}"]
    inside = f"complete -c capturectl -n '__capturectl_in {command.name}'"
    lines += [f"{inside} {_option(option)}" for option in command.options]
    valued = " ".join(f for o in command.options if o.value for f in o.flags)
    for number, place in enumerate(command.places, 1):
        if values := _values(place):
            at = f"__capturectl_at {command.name} {number} {valued}".rstrip()
            lines.append(f"complete -c capturectl -n '{at}' {values}")
    return lines


def _option(option: Argument) -> str:
    long = [f"-l {flag[2:]}" for flag in option.flags if flag.startswith("--")]
    flags = [f"-s {flag[1:]}" for flag in option.flags if not flag.startswith("--")] + long
    if option.value:
        flags.append(f"-r {_values(option)}".rstrip())
    return f"{' '.join(flags)} -d {_quoted(brief(option.help))}"


def _values(argument: Argument) -> str:
    """Return what is offered for a value."""
    return {
        "words": f"-f -a {_quoted(' '.join(argument.words))}",
        "output": "-f -a '(__capturectl_outputs)'",
        "host": "-f -a '(__fish_print_hostnames)'",
        "file": "-F",
    }.get(argument.kind, "")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
