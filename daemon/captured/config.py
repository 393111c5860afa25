# SPDX-License-Identifier: MIT
"""The daemon's settings: captured.toml, its drop-ins, and the command line on top."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from capturectl.errors import CaptureError, UsageError
from capturectl.fourcc import fourcc_code
from capturectl.protocol import DEFAULT_SOCKET
from captured.capture.pool import MINIMUM
from captured.drm.modeset import KEEP, check_wish

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_FILE = Path("/etc/captured/captured.toml")

_Buffers = Annotated[int, msgspec.Meta(ge=MINIMUM, le=64)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400 * 365)]
_Fourcc = Annotated[str, msgspec.Meta(pattern=r"^([A-Z0-9]{2}[0-9A-Z ]{2})?\Z")]


_Share = Annotated[str, msgspec.Meta(pattern=r"^(([0-9]+:)?[0-9]+)?\Z")]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the operator may set; the names are those of captured.toml."""

    card: str = ""
    """The card's path; empty takes the first with a writeback connector."""
    pattern: str = ""
    """WxH@HZ of a test picture to serve instead of a display; needs no card."""
    output: str = ""
    """The display connector to capture; empty takes the first that is driven."""
    socket: str = DEFAULT_SOCKET
    """Where clients connect."""
    group: str = ""
    """The group whose members may connect; empty leaves it to root."""
    modeset: str = KEEP
    """What to do with a dark display: keep, preferred, or WxH[@HZ]."""
    format: _Fourcc = ""
    """Pixel format of the frames, by its four letters; empty takes the best there is."""
    buffers: _Buffers = 6
    """Size of the pool; two of them are never lent."""
    memory: Literal["dumb", "sealed"] = "dumb"
    """Where pictures lie: in the card's dumb buffers, or in sealed memfds."""
    share: _Share = ""
    """Commit through another program's open card: FD, or PID:FD. Empty: be master."""
    settle: _Seconds | None = None
    """Seconds between a fence and the next commit; unset takes what the driver needs."""
    linger: _Seconds = 10.0
    """Seconds to stay attached after the last client has gone."""
    log: str = "info"
    """debug, info, warning or error."""

    def __post_init__(self) -> None:
        """Check what the types do not."""
        check_wish(self.modeset)
        if self.log not in {"debug", "info", "warning", "error"}:
            raise UsageError(f"log {self.log!r} is not debug, info, warning or error")

    @property
    def fourcc(self) -> int:
        """The pixel format's code; 0 takes the best there is."""
        return fourcc_code(self.format) if self.format else 0


def load(path: Path | None, overrides: Mapping[str, Any]) -> Config:
    """Read the settings.

    Args:
        path: The file; its drop-ins are the *.toml in the directory PATH.d, by name. None
            takes /etc/captured/captured.toml, which need not exist.
        overrides: From the command line, on top of the files.

    Raises:
        UsageError: A file is missing or no TOML, a key is unknown, a value is wrong. The
            reason names the file and the key.
    """
    settings: dict[str, Any] = {}
    for file in _files(path):
        part = _read(file)
        _convert(part, str(file))
        settings |= part
    return _convert(settings | dict(overrides), "the settings")


def _files(path: Path | None) -> Iterator[Path]:
    main = path or DEFAULT_FILE
    if path is not None or main.exists():
        yield main
    yield from sorted(main.with_name(f"{main.name}.d").glob("*.toml"))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", "name another --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {error}", "correct the file") from error


def _convert(settings: dict[str, Any], origin: str) -> Config:
    try:
        return msgspec.convert(settings, Config)
    except msgspec.ValidationError as error:
        known = ", ".join(Config.__struct_fields__)
        raise UsageError(f"{origin}: {error}", f"settings are {known}") from error
    except CaptureError as error:
        raise UsageError(f"{origin}: {error.reason}", error.hint) from error
