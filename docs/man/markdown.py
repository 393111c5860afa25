# SPDX-License-Identifier: MIT
"""The Markdown of our documents, onto a manual page: headings, lists, tables, code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docs.man.roff import Page


def add(page: Page, text: str) -> None:
    """Add a document without its title; `##` begins a section, `###` a part of one."""
    for block in _blocks(text):
        first = block[0]
        if first.startswith("### "):
            page.subheading(first[4:].replace("`", ""))
        elif first.startswith("## "):
            page.heading(first[3:])
        elif first.startswith("```"):
            page.literal(block[1:])
        elif first.startswith("|"):
            page.table([_cells(row) for row in (first, *block[2:])])
        elif re.match(r"(- |\d+\. )", first):
            for item in _items(block):
                page.bullet(item)
        elif not first.startswith("# "):
            page.paragraph(" ".join(block))


def _blocks(text: str) -> list[list[str]]:
    """Return paragraphs, lists, tables, headings and blocks of code, each as its lines."""
    blocks: list[list[str]] = [[]]
    is_code = False
    for line in text.splitlines():
        if line.startswith("```"):
            is_code = not is_code
            blocks.append([line] if is_code else [])
        elif is_code or line.strip():
            if line.startswith("#") and not is_code:
                blocks += [[line], []]
            else:
                blocks[-1].append(line)
        else:
            blocks.append([])
    return [block for block in blocks if block]


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def _items(block: list[str]) -> list[str]:
    items: list[str] = []
    for line in block:
        match = re.match(r"(?:- |\d+\. )(.*)", line)
        if match:
            items.append(match[1])
        else:
            items[-1] += f" {line.strip()}"
    return items
