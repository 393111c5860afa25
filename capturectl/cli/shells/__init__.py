# SPDX-License-Identifier: MIT
"""Completion scripts, one module for each shell, made of what `describe` finds."""

OUTPUTS = (
    "timeout 1 capturectl $WHERE list --json 2>/dev/null"
    """ | grep -o '"name": "[A-Za-z0-9._-]*"' | cut -d'"' -f4"""
)
"""A pipeline that prints the names of the outputs; $WHERE is the line's socket.

Only plain names: bash expands what it is offered, command substitutions included.
"""


def brief(text: str) -> str:
    """Return a help text without what stands in brackets."""
    return text.split(" (", 1)[0]
