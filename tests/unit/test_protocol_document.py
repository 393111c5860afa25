# SPDX-License-Identifier: MIT
"""docs/protocol.md says what the code does: its tables against the bytes that `pack` makes."""

from __future__ import annotations

import ast
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from capturectl import protocol

if TYPE_CHECKING:
    from enum import IntEnum, IntFlag

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"
MESSAGES = (*protocol.FROM_CLIENT, *protocol.FROM_DAEMON)
ENUMS = (
    protocol.Flag, protocol.Source, protocol.State, protocol.ByeReason, protocol.ErrorFlag,
    protocol.ErrorCode, protocol.Capability, protocol.SubscribeFlag, protocol.Query,
    protocol.EngineState, protocol.ClientFlag, protocol.EventKind,
)  # fmt: skip

by_name = pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)


class Row(NamedTuple):
    offset: int
    size: int
    kind: str
    field: str


def sections(level: str) -> dict[str, str]:
    """Return the document's sections of one heading level, by heading."""
    parts = re.split(rf"^{level} (.+)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading; none where it has no table."""
    text = re.split(r"^#", sections("###")[heading], flags=re.MULTILINE)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def heading_of(message: protocol.Message[Any]) -> str:
    return f"{message.name}, {message.code:#06x}, {message.size} bytes"


def rows(heading: str) -> list[Row]:
    return [Row(int(line[0]), int(line[1]), line[2], line[3]) for line in table(heading)]


def fields(heading: str) -> list[Row]:
    return [row for row in rows(heading) if row.kind != "pad"]


def largest(kind: str) -> Any:
    """Return the value of a documented type whose bytes are all ones (all "~" in a text)."""
    if match := re.fullmatch(r"char\[(\d+)\]", kind):
        return "~" * int(match[1])
    if kind == "u32[4]":
        return (0xFFFF_FFFF,) * 4
    return -1 if kind.startswith("i") else (1 << int(kind[1:])) - 1


def too_large(kind: str) -> Any:
    """Return a value that the documented type has no room for."""
    if kind.startswith("char"):
        return largest(kind) + "!"
    if kind == "u32[4]":
        return (1 << 32, 0, 0, 0)
    return 1 << int(kind[1:]) - (kind[0] == "i")


def zero(kind: str) -> Any:
    return "" if kind.startswith("char") else (0,) * 4 if kind == "u32[4]" else 0


def pack_with(message: protocol.Message[Any], wanted: Row, value: Any) -> bytes:
    """Return a message whose fields are zero but for one."""
    values = [value if row == wanted else zero(row.kind) for row in fields(heading_of(message))]
    return message.pack(message.body(*values))


@by_name
def test_every_message_stands_under_its_sender(message: protocol.Message[Any]) -> None:
    chapter = "Client to daemon" if message in protocol.FROM_CLIENT else "Daemon to client"
    assert f"### {heading_of(message)}\n" in sections("##")[chapter]


def test_the_document_has_no_other_messages() -> None:
    documented = [heading for heading in sections("###") if re.search(r", 0x\w+, ", heading)]
    assert documented == [heading_of(message) for message in MESSAGES]


@by_name
def test_fields_have_their_names_and_order(message: protocol.Message[Any]) -> None:
    assert tuple(row.field for row in fields(heading_of(message))) == message.body._fields


@by_name
def test_rows_fill_the_message_without_gaps(message: protocol.Message[Any]) -> None:
    end = protocol.HEADER_SIZE
    for row in rows(heading_of(message)):
        assert row.offset == end, row
        end += row.size
    assert end == message.size


@by_name
def test_fields_lie_where_the_table_says(message: protocol.Message[Any]) -> None:
    for row in fields(heading_of(message)):
        data = pack_with(message, row, largest(row.kind))
        filler = b"~" if row.kind.startswith("char") else b"\xff"
        body = bytes(message.size - protocol.HEADER_SIZE)
        start = row.offset - protocol.HEADER_SIZE
        expected = body[:start] + filler * row.size + body[start + row.size :]
        assert data[protocol.HEADER_SIZE :] == expected, row


@by_name
def test_fields_have_no_more_room_than_the_table_says(message: protocol.Message[Any]) -> None:
    for row in fields(heading_of(message)):
        if row.kind.startswith("char"):
            fitting = pack_with(message, row, largest(row.kind))
            assert pack_with(message, row, too_large(row.kind)) == fitting, row
        else:
            with pytest.raises(struct.error):
                pack_with(message, row, too_large(row.kind))


def test_the_header_is_as_documented() -> None:
    header = rows("Header")
    assert tuple(row.field for row in header) == protocol.Header._fields
    assert sum(row.size for row in header) == protocol.HEADER_SIZE
    data = protocol.GOODBYE.pack(protocol.Goodbye(), serial=0x0403_0201, stream=0x0807_0605)
    known = protocol.unpack_header(data)
    for row, value in zip(header, known, strict=True):
        assert row.kind == f"u{row.size * 8}"
        assert data[row.offset : row.offset + row.size] == value.to_bytes(row.size, "little")
    assert (known.serial, known.stream) == (0x0403_0201, 0x0807_0605)


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_values_have_their_names(enum: type[IntEnum | IntFlag]) -> None:
    documented = {name: int(value) for value, name, *_ in table(f"`{enum.__name__}`")}
    assert documented == {name: member.value for name, member in enum.__members__.items()}


def test_limits_have_their_values() -> None:
    for name, value, _ in table("Limits"):
        assert getattr(protocol, name) == ast.literal_eval(value), name


@pytest.mark.parametrize("word", ["version", "format", "slow", "mode-changed"])
def test_a_word_with_an_error_code_of_its_own_stands_with_no_other(word: str) -> None:
    """tests/unit/test_wire_errors.py says which words those are."""
    own = word.replace("-", "_").upper()
    named = {name for _, name, *cells in table("`ErrorCode`") if f"`{word}`" in cells[0]}
    assert named <= {own}


def test_a_pixel_format_that_the_stream_does_not_have_has_an_error_code_of_its_own() -> None:
    (fourcc,) = (row for row in table("SUBSCRIBE, 0x0002, 40 bytes") if row[3] == "fourcc")
    assert fourcc[4].endswith("FORMAT, word `format`.")
