# SPDX-License-Identifier: MIT
"""capturectl completion: what a shell needs to complete a command line."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

SHELLS = ("bash", "zsh", "fish")
ABOUT = """\
Commands, options, their values and files are completed, and the names of outputs by asking the
daemon, for a second at most."""
EXAMPLES = (
    ". <(capturectl completion bash)        # in ~/.bashrc",
    ". <(capturectl completion zsh)         # in ~/.zshrc, after compinit",
    "capturectl completion fish | source    # in ~/.config/fish/config.fish",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `completion` takes."""
    parser.add_argument("shell", choices=SHELLS, metavar="bash|zsh|fish", help="the shell")
    parser.add_argument(
        "--json", action="store_true", help="print the script as the field of a JSON object"
    )


def run(options: argparse.Namespace) -> int:
    """Print the script; return 0."""
    from importlib import import_module

    script = import_module(f"capturectl.cli.shells.{options.shell}").script()
    if options.json:
        from capturectl.cli.output import print_json

        print_json({"shell": options.shell, "script": script}, "completion")
    else:
        sys.stdout.write(script)
    return 0
