# SPDX-License-Identifier: MIT
"""capturectl config: the daemon's settings, as the daemon itself reads them."""

from __future__ import annotations

from capturectl.cli.options import add_json
from capturectl.cli.output import print_json
from capturectl.cli.table import table
from capturectl.errors import CaptureError
from capturectl.installed import find_captured

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from capturectl.typed import Any

ABOUT = """\
`check` reads FILE and its drop-ins (FILE.d/*.toml) as the daemon would, and says OK or what is
wrong. `show` prints every setting, its value, and the file that it comes from. Without FILE both
read what the service reads. Nothing is changed, and no running daemon is asked: this is what it
will do when it starts next."""
EXAMPLES = (
    "capturectl config check new.toml && sudo cp new.toml /etc/captured/captured.toml",
    "capturectl config show --json",
)
FILES = {"file": "read"}
_BUILT_IN = "built in"
_STDIN = "/dev/stdin"
"""What - is to the daemon."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `config` takes."""
    parser.add_argument(
        "action", choices=("check", "show"), metavar="check|show",
        help="say whether the settings are right, or print them",
    )  # fmt: skip
    parser.add_argument(
        "file", nargs="?", metavar="FILE",
        help="settings to read, - for standard input (default: /etc/captured/captured.toml, if it "
        "is there)",
    )  # fmt: skip
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Check or show; return 0 when the settings are right."""
    settings = _ask_daemon(options.file)
    files = {row["origin"]: None for row in settings if row["origin"] != _BUILT_IN}
    if options.file:
        files[options.file] = None
    if options.action == "show":
        _show(settings, as_json=options.json)
    elif options.json:
        print_json({"is_right": True, "files": [*files]}, "config-check")
    else:
        print("\n".join(f"{file}: OK" for file in files) or "no file, all built in: OK")
    return 0


def _show(settings: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"settings": settings}, "config")
        return
    rows = [(row["name"], _text(row["value"]), row["origin"]) for row in settings]
    print("\n".join(table([("SETTING", "VALUE", "ORIGIN"), *rows])))


def _text(value: object) -> str:
    if value is None or value in ("", {}, []):
        return "-"
    if isinstance(value, dict | list):
        import json

        return json.dumps(value)
    return str(value)


def _ask_daemon(file: str | None) -> list[dict[str, Any]]:
    """Let the daemon's program read the settings.

    Raises:
        CaptureError: They are wrong, or it is not installed here.
    """
    import json
    import subprocess

    words = [_program(), "--show-config"]
    if file is not None:
        words += ["--config", _STDIN if file == "-" else file]
    done = subprocess.run(words, capture_output=True, text=True, check=False, errors="replace")
    if done.returncode != 0:
        raise _refused(done.stderr, done.returncode, file)
    settings: list[dict[str, Any]] = json.loads(done.stdout)["settings"]
    return [row | {"origin": _as_given(row["origin"], file)} for row in settings]


def _refused(said: str, status: int, file: str | None) -> CaptureError:
    """Return the daemon's last line as an error with its exit status."""
    lines = said.strip().splitlines() or [f"captured ended with status {status}"]
    reason = lines[-1].removeprefix("captured: ")
    error = CaptureError(_as_given(reason, file), code="config")
    error.exit_code = status if status > 0 else 1  # negative: a signal ended it
    return error


def _as_given(text: str, file: str | None) -> str:
    """Return what begins with the daemon's name of standard input with the one given here."""
    return file + text.removeprefix(_STDIN) if file == "-" and text.startswith(_STDIN) else text


def _program() -> str:
    found = find_captured()
    if not found:
        raise CaptureError(
            "captured is not installed here", "install it, or name its machine with -H",
            code="no-daemon",
        )  # fmt: skip
    return found
