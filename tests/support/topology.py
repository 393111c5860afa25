# SPDX-License-Identifier: MIT
"""Records of cards that are not here: connectors, encoders and CRTCs by hand."""

from __future__ import annotations

from captured.drm.ids import (
    ConnectorId,
    CrtcId,
    CrtcIndex,
    EncoderId,
    FbId,
    PlaneId,
    PropId,
)
from captured.drm.mode import Mode
from captured.drm.props import Properties, Property
from captured.drm.resources import Connector, Crtc, Encoder, Plane, Resources

WRITEBACK = 18
HDMI_A = 11
CONNECTED, DISCONNECTED, UNKNOWN_CONNECTION = 1, 2, 3

FULL_HD = Mode(
    "1920x1080", 148500, 1920, 2008, 2052, 2200, 0, 1080, 1084, 1089, 1125, 0, 60, 5, 0x48
)


def properties(owner: str, values: dict[str, int]) -> Properties:
    """Properties with these values; their numbers count from 1000."""
    return Properties(
        owner,
        {
            name: Property(PropId(1000 + index), name, value, ())
            for index, (name, value) in enumerate(values.items())
        },
    )


def crtc(index: int, *, active: bool = True, mode: Mode = FULL_HD) -> Crtc:
    """CRTC 50, 51, ...; an inactive one has no mode."""
    values = {"ACTIVE": int(active), "MODE_ID": 90 if active else 0}
    return Crtc(
        CrtcId(50 + index),
        CrtcIndex(index),
        mode if active else None,
        properties(f"crtc-{index}", values),
    )


def encoder(index: int, crtcs: int, clones: int | None = None, crtc_id: int = 0) -> Encoder:
    """Encoder 40, 41, ...; without `clones` it says what the kernel says for it: itself only."""
    own = 1 << index
    return Encoder(
        EncoderId(40 + index),
        index,
        "Virtual",
        CrtcId(crtc_id),
        crtcs,
        own if clones is None else clones,
    )


def connector(
    index: int,
    name: str,
    encoders: tuple[int, ...],
    *,
    kind: int = HDMI_A,
    crtc_id: int = 0,
    connection: int = CONNECTED,
    modes: tuple[Mode, ...] = (FULL_HD,),
) -> Connector:
    """Connector 30, 31, ... with the encoders of these indices."""
    return Connector(
        ConnectorId(30 + index),
        name,
        kind,
        connection,
        tuple(EncoderId(40 + i) for i in encoders),
        modes,
        properties(name, {"CRTC_ID": crtc_id}),
    )


def writeback(index: int, name: str, encoders: tuple[int, ...], crtc_id: int = 0) -> Connector:
    """A writeback connector; the kernel reports it as neither connected nor not."""
    found = connector(
        index, name, encoders, kind=WRITEBACK, connection=UNKNOWN_CONNECTION, modes=()
    )
    values = {"CRTC_ID": crtc_id, "WRITEBACK_FB_ID": 0, "WRITEBACK_OUT_FENCE_PTR": 0}
    return found._replace(properties=properties(name, values))


def plane(index: int, crtc_id: int = 0, *, crtcs: int = 0b11, kind: str = "Primary") -> Plane:
    """Plane 60, 61, ...; on a CRTC it shows a framebuffer."""
    values = dict.fromkeys(("CRTC_ID", "FB_ID", "CRTC_X", "CRTC_Y", "CRTC_W", "CRTC_H"), 0)
    values |= dict.fromkeys(("SRC_X", "SRC_Y", "SRC_W", "SRC_H"), 0)
    return Plane(
        PlaneId(60 + index),
        kind,
        CrtcId(crtc_id),
        FbId(80 + index if crtc_id else 0),
        crtcs,
        (),
        properties(f"plane {60 + index}", values),
    )


def card(
    connectors: tuple[Connector, ...], encoders: tuple[Encoder, ...], crtcs: tuple[Crtc, ...]
) -> Resources:
    """A card of these."""
    return Resources(connectors, encoders, crtcs, ())


def vkms(*, clones: int | None = 0b11, active: bool = True) -> Resources:
    """One CRTC, one virtual display, one writeback connector on it."""
    return card(
        (
            connector(0, "Virtual-1", (0,), crtc_id=50 if active else 0),
            writeback(1, "Writeback-1", (1,)),
        ),
        (encoder(0, 0b1, clones, 50 if active else 0), encoder(1, 0b1, clones)),
        (crtc(0, active=active),),
    )


def vc4() -> Resources:
    """HDMI on CRTC 0; the writeback connector's encoder can use CRTC 1, the TXP, alone."""
    return card(
        (connector(0, "HDMI-A-1", (0,), crtc_id=50), writeback(1, "Writeback-1", (1,))),
        (encoder(0, 0b01, crtc_id=50), encoder(1, 0b10)),
        (crtc(0), crtc(1, active=False)),
    )


def rcar() -> Resources:
    """Two displays on two CRTCs, each CRTC with a writeback connector of its own."""
    return card(
        (
            connector(0, "HDMI-A-1", (0,), crtc_id=50),
            connector(1, "LVDS-1", (1,), crtc_id=51),
            writeback(2, "Writeback-1", (2,)),
            writeback(3, "Writeback-2", (3,)),
        ),
        (
            encoder(0, 0b01, 0b0101, 50),
            encoder(1, 0b10, 0b1010, 51),
            encoder(2, 0b01, 0b0101),
            encoder(3, 0b10, 0b1010),
        ),
        (crtc(0), crtc(1)),
    )
