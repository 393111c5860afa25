# SPDX-License-Identifier: MIT
"""One text with all that a stranger needs to help: versions, checks, facts, logs; no pictures."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from capturectl.doctor.gather import UNITS, run
from capturectl.doctor.redact import harmless_arguments, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from capturectl.doctor.facts import Facts

_HEAD = """\
A report of capturectl doctor. It holds versions, the checks, what captured saw of the cards, what
the daemon says of itself, the state of its units, its last lines in the journal, and the kernel's
lines about displays. It holds no pictures. Names of users and of this host, paths in homes,
serial numbers, network addresses, EDIDs, and what the kernel's command line says beside display
settings are left out. Names of programs are in it: read it before you send it.
"""
_JOURNAL_LINES = "200"
_KERNEL_LINES = 200
_KERNEL_WORDS = (
    "drm", "vkms", "vc4", "msm_dpu", "rcar-du", "rcar_du", "malidp", "mali-dp", "komeda", "amdgpu",
    "i915", "cma:", "fb0", "dma-buf", "hdmi", "dsi",
)  # fmt: skip
_SERIALS = (
    "/sys/firmware/devicetree/base/serial-number", "/sys/class/dmi/id/product_serial",
    "/sys/class/dmi/id/board_serial", "/sys/class/dmi/id/chassis_serial",
)  # fmt: skip
_NOBODY = ("", "none", "localhost")
"""Names that name nothing; "(none)" is a host without one."""
_FIRST_PERSON = 1000
"""Numbers of users below belong to services, whose names say nothing about anybody."""


def write(facts: Facts, checks: str) -> str:
    """Return the report.

    Args:
        facts: What the checks were made of.
        checks: Those, as text.
    """
    body = "".join(
        f"\n== {title}\n{text.rstrip() or 'nothing'}\n" for title, text in _parts(facts, checks)
    )
    return _HEAD + _calm(redact(body, _names(facts)))


def _calm(text: str) -> str:
    """Return a text without what moves a terminal's cursor; logs may hold anything."""
    return "".join(one if one.isprintable() or one in "\n\t" else "?" for one in text)


def _parts(facts: Facts, checks: str) -> Iterable[tuple[str, str]]:
    yield "checks", checks
    yield "versions", _versions(facts)
    yield "kernel command line", harmless_arguments(_read("/proc/cmdline"))
    yield "cards (captured --examine)", _cards(facts)
    yield "daemon", _daemon(facts)
    yield "units", _said(run("systemctl", "show", *UNITS, "--property", _UNIT_PROPERTIES))
    journal = ("journalctl", "--no-pager", "--no-hostname", "-o", "short-monotonic")
    yield "journal of captured", _said(run(*journal, "-n", _JOURNAL_LINES, "-u", UNITS[0]))
    yield "kernel", _kernel_lines(_said(run("dmesg")))


_UNIT_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,FragmentPath,DropInPaths"
)


def _versions(facts: Facts) -> str:
    kernel = os.uname()
    lines = [
        f"capturectl {facts.version}",
        f"captured   {facts.examination.version if facts.examination else 'unknown'}",
        f"daemon     {facts.daemon.version or 'not reached'}",
        f"kernel     {kernel.sysname} {kernel.release} {kernel.version} {kernel.machine}",
        f"board      {_read('/sys/firmware/devicetree/base/model') or 'unknown'}",
    ]
    release = [line for line in _read("/etc/os-release").splitlines() if "PRETTY_NAME" in line]
    return "\n".join(lines + release)


def _cards(facts: Facts) -> str:
    if facts.examination is None:
        return facts.examination_problem or "captured was not found"
    return json.dumps(_plain(facts.examination), indent=1, default=str)


def _daemon(facts: Facts) -> str:
    return json.dumps(_plain(facts.daemon), indent=1, default=str)


def _plain(value: object) -> object:
    """Return records as objects, for JSON; their names are those of the fields."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(field) for name, field in value._asdict().items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(field) for name, field in value.items()}
    return value


def _kernel_lines(text: str) -> str:
    found = [line for line in text.splitlines() if any(w in line.lower() for w in _KERNEL_WORDS)]
    return "\n".join(found[-_KERNEL_LINES:]) or "nothing about displays, or not for this user"


def _said(answer: tuple[int, str, str]) -> str:
    status, output, errors = answer
    return output if status == 0 else f"{output}{errors}".strip() or f"ended with {status}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - one call
            return file.read().strip("\0\n ")
    except OSError:
        return ""


def _names(facts: Facts) -> Mapping[str, str]:
    """Return what is to be hidden: this host, its serial numbers, its people."""
    import pwd

    names = {serial: "SERIAL" for path in _SERIALS if len(serial := _read(path)) > 3}
    host = os.uname().nodename
    names |= dict.fromkeys((host, host.split(".")[0]), "HOST")
    people = [one.pw_name for one in pwd.getpwall() if _FIRST_PERSON <= one.pw_uid < 65534]
    if facts.user.uid >= _FIRST_PERSON and facts.user.name != "nobody":
        people.append(facts.user.name)
    people += filter(None, (os.environ.get("SUDO_USER", ""), os.environ.get("LOGNAME", "")))
    names |= dict.fromkeys(set(people) - {"root", "nobody"}, "USER")
    return {name: instead for name, instead in names.items() if name.strip("()") not in _NOBODY}
