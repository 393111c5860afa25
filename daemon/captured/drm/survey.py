# SPDX-License-Identifier: MIT
"""One card, looked at for a doctor: who may open it, who has it, what its driver allows.

Nothing changes and nothing is attached. Opening makes the first opener master, which `Card.open`
drops at once; master again is for the moments of the TEST_ONLY commits alone.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat

from capturectl.errors import CaptureBusyError, CaptureError, NotAllowedError
from capturectl.fourcc import fourcc_name, pixel_format
from capturectl.typed import Any
from captured.drm import masters, proof, resources, route
from captured.drm.borrow import borrow_card
from captured.drm.card import Card
from captured.drm.mastery import Mastery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from captured.drm.resources import Connector, Crtc, Resources
    from captured.drm.writeback import Wishes

    Prover = Callable[[Resources, route.Route], None]
    """Raises a CaptureError for what the driver would refuse."""

Facts = dict[str, Any]
"""A JSON object; docs/architecture.md says who reads it."""

FREE, OTHER, SHARED = "free", "other", "shared"


def survey(path: str, wishes: Wishes, share: str) -> Facts:
    """Return what is to be known of a card; what cannot be seen is an `error` in its place.

    Args:
        path: Its primary node.
        wishes: The operator's: which display, which format.
        share: The setting of that name.
    """
    facts: Facts = {"path": path, "node": _node(path), "error": None}
    with_error = _noting(facts)
    if (card := with_error(lambda: Card.open(path))) is None:
        return facts
    with card:
        version = card.version()
        facts["driver"] = {"name": version.name, "description": version.description}
        with_error(lambda: facts.update(_survey(card, wishes, share)))
    return facts


def _noting(facts: Facts) -> Callable[[Callable[[], Any]], Any]:
    def attempt(step: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the step returns
        try:
            return step()
        except CaptureError as error:
            facts["error"] = error.as_dict()
        except (OSError, ValueError) as error:
            facts["error"] = {"code": "failed", "reason": str(error), "hint": ""}
        return None

    return attempt


def _node(path: str) -> Facts | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    return {"mode": mode, "owner": _user(found.st_uid), "group": _group(found.st_gid)}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _survey(card: Card, wishes: Wishes, share: str) -> Facts:
    card.enable_client_capabilities()
    found = resources.read_resources(card)
    mastery = _mastery(card, share)
    prove = None if mastery["state"] == OTHER else _prover(card, wishes)
    return {
        "mastery": mastery,
        "target": _target(found, wishes.name),
        "displays": [_display(found, display) for display in found.display_connectors()],
        "crtcs": [_crtc(crtc) for crtc in found.crtcs],
        "writebacks": [_writeback(card, wishes, w) for w in found.writeback_connectors()],
        "pairs": [
            pair_facts(found, writeback, crtc, prove)
            for writeback in found.writeback_connectors()
            for crtc in found.crtcs
        ],
    }


def _prover(card: Card, wishes: Wishes) -> Prover:
    mastery = Mastery(card)

    def prove(found: Resources, way: route.Route) -> None:
        with mastery.for_a_moment():
            proof.prove_clone(card, found, way, wishes.fourcc)

    return prove


def _mastery(card: Card, share: str) -> Facts:
    """Say whether the card can be had: by asking to be its master for a moment."""
    facts: Facts = {"state": FREE, "master": None, "error": None}
    # A bare number is a descriptor of the daemon's, not of ours.
    owner = _noting(facts)(lambda: borrow_card(share)) if ":" in share else None
    if owner is not None:
        card.share(owner)
        return facts | {"state": SHARED}
    try:
        card.take_master()
        card.drop_master()
    except (CaptureBusyError, NotAllowedError):
        # Kernel: who opens a card that has no master becomes it, and may be it again; so EACCES
        # says the same to a user as EBUSY to root (drm_auth.c, drm_master_check_perm).
        return facts | {"state": OTHER, "master": _master(card.path)}
    return facts


def _master(path: str) -> Facts | None:
    holder = masters.find_master(path)
    if holder is None:
        return None
    fds = masters.open_numbers(holder.pid, path)
    return {
        "pid": holder.pid, "name": holder.name, "is_certain": bool(holder.is_master), "fds": fds,
    }  # fmt: skip


def _target(found: Resources, name: str) -> Facts:
    """Say which display the daemon would take."""
    try:
        return {"name": route.choose_display(found, name).name, "error": None}
    except CaptureError as error:
        return {"name": "", "error": error.as_dict()}


def _display(found: Resources, display: Connector) -> Facts:
    crtc = found.crtc(display.crtc_id)
    return {
        "name": display.name,
        "connector_id": display.connector_id,
        "crtc": crtc.name if crtc else None,
        "is_lit": bool(crtc and crtc.is_active),
    }


def _crtc(crtc: Crtc) -> Facts:
    mode = crtc.mode if crtc.is_active else None
    shape = mode and {
        "width": mode.width, "height": mode.height, "refresh_hz": mode.refresh_mhz / 1000,
    }  # fmt: skip
    return {"name": crtc.name, "crtc_id": crtc.crtc_id, "is_active": crtc.is_active, "mode": shape}


def _writeback(card: Card, wishes: Wishes, writeback: Connector) -> Facts:
    fourccs = resources.writeback_fourccs(card, writeback)
    facts: Facts = {
        "name": writeback.name,
        "connector_id": writeback.connector_id,
        "crtc_id": writeback.crtc_id,
        "formats": [fourcc_name(fourcc) for fourcc in fourccs],
        "format": None,
        "bits_per_pixel": 0,
        "error": None,
    }
    choose = proof.choose_fourcc
    if fourcc := _noting(facts)(lambda: choose("the connector", fourccs, wishes.fourcc)):
        facts["format"] = fourcc_name(fourcc)
        facts["bits_per_pixel"] = pixel_format(fourcc).bits_per_pixel
    return facts


def pair_facts(found: Resources, writeback: Connector, crtc: Crtc, prove: Prover | None) -> Facts:
    """Say whether a writeback connector can capture what a CRTC feeds.

    Args:
        found: What is on the card.
        writeback: The connector.
        crtc: The CRTC; in its place a dark one's display is any that it could feed.
        prove: Asks the driver; None when nobody may.
    """
    shown = [d for d in found.display_connectors() if d.crtc_id == crtc.crtc_id]
    possible = [d for d in found.display_connectors() if _reaches(found, d, crtc)]
    reaches = _reaches(found, writeback, crtc)
    ways = [route.Route(display, crtc, writeback) for display in shown or possible]
    can_ask = bool(prove and reaches and ways and ways[0].is_lit)
    return {
        "writeback": writeback.name,
        "crtc": crtc.name,
        "displays": [display.name for display in shown],
        "possible_displays": [display.name for display in possible],
        "reaches": reaches,
        "clones": all(_declares_clones(found, way) for way in ways) if ways else None,
        "is_attached": writeback.crtc_id == crtc.crtc_id,
        "is_tested": can_ask,
        "refusal": _refusal(prove, found, ways[0]) if prove and can_ask else None,
    }


def _reaches(found: Resources, connector: Connector, crtc: Crtc) -> bool:
    return any(encoder.can_use(crtc) for encoder in found.encoders_of(connector))


def _declares_clones(found: Resources, way: route.Route) -> bool:
    try:
        route.check_clone(found, way)
    except CaptureError:
        return False
    return True


def _refusal(prove: Prover, found: Resources, way: route.Route) -> Facts | None:
    facts: Facts = {"error": None}
    _noting(facts)(lambda: prove(found, way))
    refusal: Facts | None = facts["error"]
    return refusal
