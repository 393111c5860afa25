# SPDX-License-Identifier: MIT
"""Which writeback connector can capture which display, and why another cannot.

What is decided here follows from masks and lists; whether the driver agrees is proved with
TEST_ONLY, in `proof`.
"""

from __future__ import annotations

from capturectl.errors import CaptureUnsupportedError, NoOutputError
from capturectl.typed import NamedTuple
from captured.drm import uapi
from captured.drm.ids import CrtcId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from captured.drm.mode import Mode
    from captured.drm.resources import Connector, Crtc, Encoder, Resources


_CONNECTION_RANK = {
    uapi.DRM_MODE_CONNECTED: 0,
    uapi.DRM_MODE_UNKNOWNCONNECTION: 1,
    uapi.DRM_MODE_DISCONNECTED: 2,
}


class Route(NamedTuple):
    """A display, the CRTC that feeds it, and the writeback connector to attach there."""

    display: Connector
    crtc: Crtc
    writeback: Connector

    @property
    def is_lit(self) -> bool:
        """Whether the CRTC feeds this display, and scans out."""
        return self.display.crtc_id == self.crtc.crtc_id and self.crtc.is_active

    @property
    def mode(self) -> Mode | None:
        """What is on the display; None when it is dark."""
        return self.crtc.mode if self.is_lit else None


def choose_display(resources: Resources, name: str = "") -> Connector:
    """Return the display connector to capture.

    Args:
        resources: What is on the card.
        name: The wanted one, such as "HDMI-A-1"; empty takes the first that is lit, else the
            first that has a CRTC, else the first that is or may be connected. Of those that are
            alike in this, one that a writeback connector reaches; a headset comes last.

    Raises:
        NoOutputError: There is none, or none of that name.
    """
    displays = resources.display_connectors()
    if name:
        for connector in displays:
            if connector.name == name:
                return connector
        names = ", ".join(connector.name for connector in displays)
        raise NoOutputError(f"there is no output {name}", f"the card has {names or 'none'}")
    if not displays:
        raise NoOutputError("the card has no display connector", "choose another --card")
    lit = {crtc.crtc_id for crtc in resources.crtcs if crtc.is_active}
    return min(
        displays,
        key=lambda c: (
            c.properties.value("non-desktop"),  # Kernel: drm_connector.c, "non-desktop"
            c.crtc_id not in lit,
            not c.crtc_id,
            _CONNECTION_RANK.get(c.connection, 3),
            not any(_is_written(resources, crtc) for crtc in _crtcs_of(resources, c)),
        ),
    )


def choose_crtc(resources: Resources, display: Connector) -> Crtc:
    """Return the CRTC that feeds a display, or the first that could.

    Raises:
        CaptureUnsupportedError: No CRTC can drive it.
    """
    crtcs = _crtcs_of(resources, display)
    if not crtcs:
        raise CaptureUnsupportedError(
            f"no CRTC can drive {display.name}", "choose another --output", code="wrong-crtc"
        )
    busy = {connector.crtc_id for connector in resources.display_connectors()}
    # A CRTC that feeds another display is the last choice. Not every CRTC need have a way to
    # memory: that is the next thing to look for.
    return min(
        crtcs,
        key=lambda c: (c.crtc_id in busy, not _is_written(resources, c), c.is_active),
    )


def _crtcs_of(resources: Resources, display: Connector) -> list[Crtc]:
    """Return the CRTC that feeds a display, or all that could."""
    driven = resources.crtc(display.crtc_id)
    if driven is not None:
        return [driven]
    encoders = resources.encoders_of(display)
    return [crtc for crtc in resources.crtcs if any(e.can_use(crtc) for e in encoders)]


def _is_written(resources: Resources, crtc: Crtc) -> bool:
    """Whether a writeback connector can use a CRTC."""
    return any(
        encoder.can_use(crtc)
        for connector in resources.writeback_connectors()
        for encoder in resources.encoders_of(connector)
    )


def no_writeback(card: str) -> CaptureUnsupportedError:
    """Return the error for a card that cannot write what it displays."""
    return CaptureUnsupportedError(
        f"{card} has no writeback connector",
        "its driver or chip cannot write what it displays to memory; choose another --card",
        code="no-writeback",
    )


def choose_route(
    resources: Resources, name: str = "", *, taken: Collection[int] = (), card: str = "the card"
) -> Route:
    """Find the way from a display to memory.

    Args:
        resources: What is on the card.
        name: Of the display connector; empty as in `choose_display`.
        taken: Ids of writeback connectors that serve other outputs.
        card: The card's name, for messages.

    Raises:
        NoOutputError: No such display.
        CaptureUnsupportedError: no-writeback, wrong-crtc or clone-refused.
    """
    writebacks = resources.writeback_connectors()
    if not writebacks:
        raise no_writeback(card)
    display = choose_display(resources, name)
    crtc = choose_crtc(resources, display)
    reachable = [
        connector
        for connector in writebacks
        if connector.connector_id not in taken
        and any(encoder.can_use(crtc) for encoder in resources.encoders_of(connector))
    ]
    if not reachable:
        raise CaptureUnsupportedError(
            f"no free writeback connector can use {crtc.name}, which feeds {display.name}",
            _reach(resources, writebacks),
            code="wrong-crtc",
        )
    # One that is attached there already is the one that a crash left; one that is attached
    # elsewhere serves somebody else. Of the others one that may share the CRTC.
    ranks = {crtc.crtc_id: 0, CrtcId(0): 1}
    reachable.sort(key=lambda c: (ranks.get(c.crtc_id, 2), not _may_clone(resources, display, c)))
    return Route(display, crtc, reachable[0])


def check_clone(resources: Resources, route: Route) -> None:
    """Check that the encoders of both connectors say that they may share a CRTC.

    Raises:
        CaptureUnsupportedError: clone-refused.

    Kernel: drm_atomic_helper.c, drm_atomic_check_valid_clones, since Linux commit
    41b4b11da021 ("drm: Add valid clones check"), also in the stable trees of 2025.
    """
    if not _may_clone(resources, route.display, route.writeback):
        raise clone_refused(route)


def possible_clones(resources: Resources, route: Route) -> tuple[str, ...]:
    """Return the names of all writeback connectors that may share a route's CRTC."""
    return tuple(
        writeback.name
        for writeback in resources.writeback_connectors()
        if any(encoder.can_use(route.crtc) for encoder in resources.encoders_of(writeback))
        and _may_clone(resources, route.display, writeback)
    )


def _may_clone(resources: Resources, display: Connector, writeback: Connector) -> bool:
    return any(
        one.can_clone(other)
        for one in _active_encoders(resources, display)
        for other in resources.encoders_of(writeback)
    )


def clone_refused(route: Route) -> CaptureUnsupportedError:
    """Return the error for a driver that does not let the two connectors share the CRTC."""
    return CaptureUnsupportedError(
        f"{route.writeback.name} may not share {route.crtc.name} with {route.display.name}: "
        "their encoders are no possible clones",
        "kernels from mid-2025 on insist on that; the driver needs the change that declares them",
        code="clone-refused",
    )


def _active_encoders(resources: Resources, connector: Connector) -> tuple[Encoder, ...]:
    encoders = resources.encoders_of(connector)
    driven = tuple(e for e in encoders if e.crtc_id and e.crtc_id == connector.crtc_id)
    return driven or encoders


def _reach(resources: Resources, writebacks: tuple[Connector, ...]) -> str:
    ways = []
    for connector in writebacks:
        crtcs = [
            crtc.name
            for crtc in resources.crtcs
            if any(encoder.can_use(crtc) for encoder in resources.encoders_of(connector))
        ]
        ways.append(f"{connector.name} can use {', '.join(crtcs) or 'none'}")
    return "; ".join(ways)
