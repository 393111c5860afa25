# SPDX-License-Identifier: MIT
"""The daemon's settings: captured.toml, its drop-ins, and the command line on top."""

from __future__ import annotations

import os

from capturectl.errors import UsageError
from capturectl.fourcc import fourcc_code
from capturectl.protocol import DEFAULT_SOCKET
from capturectl.typed import Any, NamedTuple
from captured.server.access import gid_of, parse_rules
from captured.settings import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from captured.settings import Setting

DEFAULT_FILE = "/etc/captured/captured.toml"
COMMAND_LINE = "command line"
_BEYOND = ValueError, OverflowError, RecursionError
"""What a number with too many digits, or a table that is too deep, raises anywhere."""


class Config(NamedTuple):
    """Everything the operator may set; `captured.settings` says what each one is."""

    card: str = ""
    missing: str = ""
    pattern: str = ""
    output: str = ""
    socket: str = DEFAULT_SOCKET
    group: str = ""
    allow: dict[str, list[str]] = {}  # noqa: RUF012 - nobody changes a value of the settings
    quota: int = 0
    modeset: str = "keep"
    format: str = ""
    buffers: int = 6
    memory: str = "dumb"
    share: str = ""
    settle: float | None = None
    pace: str = ""
    linger: float = 10.0
    log: str = "info"

    @property
    def fourcc(self) -> int:
        """The pixel format's code; 0 takes the best there is."""
        return fourcc_code(self.format) if self.format else 0


class Loaded(NamedTuple):
    """Settings, and where each of them came from."""

    config: Config
    origins: dict[str, str]
    """Setting to the file that has it, or to COMMAND_LINE; not those that are as built in."""


def load(path: str | None, overrides: Mapping[str, Any], *, is_once: bool = False) -> Loaded:
    """Read the settings that a daemon can start with.

    Raises:
        UsageError: As `read`; or there is no such group.
    """
    loaded = read(path, overrides, is_once=is_once)
    _check_by("group", gid_of, loaded.config.group, loaded.origins)
    return loaded


def read(path: str | None, overrides: Mapping[str, Any], *, is_once: bool = False) -> Loaded:
    """Read the settings, and leave it to the caller whether there is the group.

    Args:
        path: The file; its drop-ins are the *.toml in the directory PATH.d, by name. None
            takes /etc/captured/captured.toml, which need not exist.
        overrides: From the command line, on top of the files.
        is_once: Whether PATH may be a pipe: nobody will read the settings again.

    Raises:
        UsageError: A file is missing, cannot be reached or is no TOML, a key is unknown, a
            value is wrong. The reason names the file and the key.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    parts = [(file, _read(file, is_once=is_once and file == path)) for file in _files(path)]
    for origin, part in [*parts, (COMMAND_LINE, overrides)]:
        for name, value in part.items():
            values[name] = _checked(origin, name, value)
            origins[name] = origin
    config = Config(**values)
    _check_by("allow", parse_rules, config.allow, origins)
    if config.pattern:
        from captured.capture.pattern import parse_geometry  # a display has no need of it

        _check_by("pattern", parse_geometry, config.pattern, origins)
    return Loaded(config, origins)


def _files(path: str | None) -> list[str]:
    """Return the files that count.

    None is left out but what is not there: one that cannot be reached may shut somebody out.
    """
    main = path or DEFAULT_FILE
    directory = f"{main}.d"
    files = [main] if path is not None or _is_there(main) else []
    if _is_there(directory):
        files += [f"{directory}/{name}" for name in _drop_ins(directory)]
    return files


def _is_there(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return _leads_nowhere(os.path.dirname(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    return True


def _leads_nowhere(directory: str) -> bool:
    """Whether a directory is a link to one that is missing: nobody knows what would be there."""
    return os.path.islink(directory) and not os.path.exists(directory)


def _drop_ins(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(".toml"))
    except OSError as error:
        raise _unreadable(directory, error) from error


def _unreadable(path: str, error: OSError) -> UsageError:
    from captured.settingsfile import unreadable  # as in _read

    return unreadable(path, error)


def _read(file: str, *, is_once: bool) -> dict[str, Any]:
    from captured.settingsfile import read_file  # tomllib is half a megabyte: not without a file

    return read_file(file, is_once=is_once)


def _check_by(
    name: str, parse: Callable[[Any], object], value: object, origins: Mapping[str, str]
) -> None:
    """Let those who use a setting judge it, who raise UsageError; empty it is fine."""
    if not value:
        return
    try:
        parse(value)
    except UsageError as error:
        raise UsageError(f"{origins[name]}: {error.reason}", error.hint) from error
    except _BEYOND as error:
        raise UsageError(f"{origins[name]}: {name}: {error}", SETTINGS[name].help) from error


def _checked(origin: str, name: str, value: object) -> object:
    setting = SETTINGS.get(name)
    if setting is None:
        known = ", ".join(SETTINGS)
        raise UsageError(f"{origin}: there is no setting {name}", f"settings are {known}")
    try:
        return _judged(setting, origin, name, value)
    except _BEYOND as error:
        raise UsageError(f"{origin}: {name}: {error}", setting.help) from error


def _judged(setting: Setting, origin: str, name: str, value: object) -> object:
    # TOML and the command line both know what a whole number is; True is none.
    taken = float(value) if setting.kind is float and type(value) is int else value
    if type(taken) is not setting.kind or _ends_early(taken) or not setting.allows(taken):
        raise UsageError(f"{origin}: {name} {value!r} is not {setting.rule}", setting.help)
    return taken


def _ends_early(value: object) -> bool:
    """Whether the kernel and libraries would see less of a text than there is."""
    return isinstance(value, str) and "\0" in value
