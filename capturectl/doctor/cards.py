# SPDX-License-Identifier: MIT
"""What `captured --examine` saw: records of cards, without judgement, made from its JSON.

Fields that this version does not know are left out, those that the JSON lacks are as written
here: the two programs may differ in version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Problem(NamedTuple):
    """Why something could not be seen or done, in the words of our errors."""

    code: str = "failed"
    reason: str = ""
    hint: str = ""
    exit_code: int = 1


class Node(NamedTuple):
    """A file's permissions."""

    mode: str = ""
    """Octal, "0660"."""
    owner: str = ""
    group: str = ""

    @property
    def text(self) -> str:
        """Say it as "root:video 0660"."""
        return f"{self.owner}:{self.group} {self.mode}"

    @property
    def is_for_group(self) -> bool:
        """Whether its group may read and write."""
        return bool(self.mode) and int(self.mode, 8) & 0o060 == 0o060


class Quirk(NamedTuple):
    """What is known of a driver; see `captured.capture.quirks`."""

    word: str = ""
    sentence: str = ""
    remedy: str = ""
    is_warning: bool = False


class Display(NamedTuple):
    """A connector that lights something up."""

    name: str = ""
    crtc: str | None = None
    is_lit: bool = False


class Crtc(NamedTuple):
    """A CRTC and what it scans out."""

    name: str = ""
    crtc_id: int = 0
    width: int = 0
    """Pixels; 0 when it is off."""
    height: int = 0
    refresh_hz: float = 0.0

    @property
    def mode(self) -> str:
        """Say its mode as "1920x1080@60"."""
        return f"{self.width}x{self.height}@{self.refresh_hz:.4g}"


class Writeback(NamedTuple):
    """A writeback connector."""

    name: str = ""
    crtc_id: int = 0
    """The CRTC that it is attached to; 0 for none."""
    formats: tuple[str, ...] = ()
    format: str | None = None
    """The one that captured would take."""
    bits_per_pixel: int = 0
    error: Problem | None = None


class Pair(NamedTuple):
    """A writeback connector and a CRTC: whether the one can capture what the other feeds."""

    writeback: str = ""
    crtc: str = ""
    displays: tuple[str, ...] = ()
    """Fed by the CRTC now."""
    possible_displays: tuple[str, ...] = ()
    reaches: bool = False
    """By possible_crtcs."""
    clones: bool | None = None
    """By possible_clones; None without a display."""
    is_attached: bool = False
    is_tested: bool = False
    refusal: Problem | None = None
    """Of TEST_ONLY."""


class Master(NamedTuple):
    """Who is master of a card."""

    pid: int = 0
    name: str = ""
    is_certain: bool = False
    fds: tuple[int, ...] = ()
    """Under which it has the card open, as far as we may see."""


class Mastery(NamedTuple):
    """Whether the card can be had."""

    state: str = "free"
    """free, other (has a master), shared (through another program's open card)."""
    master: Master | None = None
    error: Problem | None = None


class Card(NamedTuple):
    """One card."""

    path: str
    node: Node | None = None
    error: Problem | None = None
    driver: str = ""
    description: str = ""
    quirks: tuple[Quirk, ...] = ()
    mastery: Mastery = Mastery()
    target: str = ""
    """The display that captured would take."""
    target_error: Problem | None = None
    displays: tuple[Display, ...] = ()
    crtcs: tuple[Crtc, ...] = ()
    writebacks: tuple[Writeback, ...] = ()
    pairs: tuple[Pair, ...] = ()

    def quirk(self, word: str) -> Quirk | None:
        """Return what is known of the driver under a word."""
        return next((quirk for quirk in self.quirks if quirk.word == word), None)

    def crtc_of(self, display: str) -> Crtc | None:
        """Return the CRTC that feeds a display."""
        fed = next((one.crtc for one in self.displays if one.name == display), None)
        return next((crtc for crtc in self.crtcs if crtc.name == fed), None)

    def is_lit(self, display: str) -> bool:
        """Whether a display shows something."""
        return any(one.is_lit for one in self.displays if one.name == display)


class Examination(NamedTuple):
    """What `captured --examine` saw."""

    version: str = ""
    settings: Mapping[str, Any] = {}
    settings_problem: Problem | None = None
    is_secret: bool = False
    """Whether this user may not read the settings."""
    cards: tuple[Card, ...] = ()

    @property
    def card(self) -> Card | None:
        """The card that captured would take, or that comes nearest to it."""
        wanted = self.settings.get("card", "")
        named = [card for card in self.cards if card.path == wanted]
        return max(named or self.cards, key=_promise, default=None)


def _promise(card: Card) -> int:
    """Rank a card by how much it promises; one that may not be opened may be the right one."""
    if card.writebacks:
        return 3
    if card.error is not None:
        return 2 if card.error.code == "not-allowed" else 0
    return 1


# -- from JSON --------------------------------------------------------------------------------


def examination_from(fields: Mapping[str, Any]) -> Examination:
    """Return what `captured --examine` printed, as records."""
    settings = fields.get("settings", {})
    error = settings.get("error")
    return Examination(
        fields.get("version", ""),
        settings,
        _problem(error),
        bool(error and error.get("is_secret")),
        tuple(_card(card) for card in fields.get("cards", ())),
    )


def _card(fields: Mapping[str, Any]) -> Card:
    target = fields.get("target", {})
    driver = fields.get("driver", {})
    return Card(
        fields["path"],
        _record(Node, fields.get("node")),
        _problem(fields.get("error")),
        driver.get("name", ""),
        driver.get("description", ""),
        tuple(_records(Quirk, fields.get("quirks", ()))),
        _mastery(fields.get("mastery", {})),
        target.get("name", ""),
        _problem(target.get("error")),
        tuple(_records(Display, fields.get("displays", ()))),
        tuple(_crtc(crtc) for crtc in fields.get("crtcs", ())),
        tuple(_with_problem(Writeback, one, "error") for one in fields.get("writebacks", ())),
        tuple(_with_problem(Pair, one, "refusal") for one in fields.get("pairs", ())),
    )


def _mastery(fields: Mapping[str, Any]) -> Mastery:
    master = _record(Master, fields.get("master"))
    return Mastery(fields.get("state", "free"), master, _problem(fields.get("error")))


def _crtc(fields: Mapping[str, Any]) -> Crtc:
    return Crtc(**_known(Crtc, {**fields, **(fields.get("mode") or {})}))


def _problem(fields: Mapping[str, Any] | None) -> Problem | None:
    return None if fields is None else Problem(**_known(Problem, fields))


def _with_problem(kind: Any, fields: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - a record
    return _record(kind, {**fields, name: _problem(fields.get(name))})


def _record(kind: Any, fields: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - one of the records
    return None if fields is None else kind(**_known(kind, fields))


def _records(kind: Any, many: Iterable[Mapping[str, Any]]) -> Iterable[Any]:  # noqa: ANN401 - the same
    return (_record(kind, fields) for fields in many)


def _known(kind: Any, fields: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - the same
    """Return the fields that a record has; JSON's lists become tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.items()
        if name in kind._fields
    }
