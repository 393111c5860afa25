# SPDX-License-Identifier: MIT
"""What is on a card: read-only records of its connectors, encoders, CRTCs and planes.

A record is what was true when it was read. Nothing here follows changes or commits any.
"""

from __future__ import annotations

import errno

from capturectl.typed import NamedTuple, TypeVar
from captured.drm import blob, formats, libdrm, mode, uapi
from captured.drm.ids import BlobId, ConnectorId, CrtcId, CrtcIndex, EncoderId, FbId, PlaneId
from captured.drm.props import Properties, read_properties

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from captured.drm.card import Card
    from captured.drm.mode import Mode

_Read = TypeVar("_Read")


class Encoder(NamedTuple):
    """The link between a CRTC and a connector.

    Kernel: drivers/gpu/drm/drm_encoder.c, struct drm_encoder.
    """

    encoder_id: EncoderId
    encoder_index: int
    """Place in GETRESOURCES; `possible_clones` counts in these."""
    encoder_type: str
    crtc_id: CrtcId
    """0 when it is not driven."""
    possible_crtcs: int
    """Mask of CRTC indices that can drive it."""
    possible_clones: int
    """Mask of encoder indices that may share its CRTC; includes its own."""

    def can_use(self, crtc: Crtc) -> bool:
        """Whether the CRTC can drive this encoder."""
        return bool(self.possible_crtcs >> crtc.crtc_index & 1)

    def can_clone(self, other: Encoder) -> bool:
        """Whether both encoders say that they may share a CRTC.

        Kernel: drm_atomic_helper.c, drm_atomic_check_valid_clones.
        """
        return bool(
            self.possible_clones >> other.encoder_index & 1
            and other.possible_clones >> self.encoder_index & 1
        )


class Connector(NamedTuple):
    """A place where pixels leave: a display, or memory.

    Kernel: drivers/gpu/drm/drm_connector.c, struct drm_connector.
    """

    connector_id: ConnectorId
    name: str
    """As in /sys/class/drm without the card: "HDMI-A-1"."""
    connector_type: int
    connection: int
    """DRM_MODE_CONNECTED, _DISCONNECTED or _UNKNOWNCONNECTION."""
    encoder_ids: tuple[EncoderId, ...]
    modes: tuple[Mode, ...]
    properties: Properties

    @property
    def is_writeback(self) -> bool:
        """Whether it writes to memory."""
        return self.connector_type == uapi.DRM_MODE_CONNECTOR_WRITEBACK

    @property
    def crtc_id(self) -> CrtcId:
        """The CRTC that feeds it; 0 when none does."""
        return CrtcId(self.properties.value("CRTC_ID"))


class Crtc(NamedTuple):
    """A scan-out pipeline: planes in, timing, connectors out.

    Kernel: drivers/gpu/drm/drm_crtc.c, struct drm_crtc.
    """

    crtc_id: CrtcId
    crtc_index: CrtcIndex
    mode: Mode | None
    """The timing it has; None when it has none."""
    properties: Properties

    @property
    def name(self) -> str:
        """Its name for messages: the kernel counts them the same way in its logs."""
        return f"crtc-{self.crtc_index}"

    @property
    def is_active(self) -> bool:
        """Whether it scans out now: ACTIVE is 1 and it has a mode."""
        return self.mode is not None and self.properties.value("ACTIVE") == 1


class Plane(NamedTuple):
    """A layer of a CRTC's picture.

    Kernel: drivers/gpu/drm/drm_plane.c, struct drm_plane.
    """

    plane_id: PlaneId
    plane_type: str
    """"Primary", "Overlay" or "Cursor"."""
    crtc_id: CrtcId
    """0 when it is not shown."""
    fb_id: FbId
    possible_crtcs: int
    """Mask of CRTC indices that can show it."""
    fourccs: tuple[int, ...]
    properties: Properties

    def can_use(self, crtc: Crtc) -> bool:
        """Whether the CRTC can show this plane."""
        return bool(self.possible_crtcs >> crtc.crtc_index & 1)


class Resources(NamedTuple):
    """Everything on a card, read in one go."""

    connectors: tuple[Connector, ...]
    encoders: tuple[Encoder, ...]
    crtcs: tuple[Crtc, ...]
    planes: tuple[Plane, ...]

    def encoders_of(self, connector: Connector) -> tuple[Encoder, ...]:
        """Return the encoders that can feed a connector."""
        return tuple(e for e in self.encoders if e.encoder_id in connector.encoder_ids)

    def crtc(self, crtc_id: CrtcId) -> Crtc | None:
        """Return the CRTC of that id."""
        return next((crtc for crtc in self.crtcs if crtc.crtc_id == crtc_id), None)

    def planes_on(self, crtc: Crtc) -> tuple[Plane, ...]:
        """Return the planes that the CRTC shows now."""
        return tuple(plane for plane in self.planes if plane.crtc_id == crtc.crtc_id)

    def writeback_connectors(self) -> tuple[Connector, ...]:
        """Return the connectors that write to memory."""
        return tuple(c for c in self.connectors if c.is_writeback)

    def display_connectors(self) -> tuple[Connector, ...]:
        """Return the connectors that light something up."""
        return tuple(c for c in self.connectors if not c.is_writeback)


def read_resources(card: Card, *, probe: bool = False) -> Resources:
    """Read all connectors, encoders, CRTCs and planes.

    Args:
        card: An open card with the client capabilities enabled.
        probe: Whether to ask the displays again (EDID; may take 100s of milliseconds and
            stalls every commit meanwhile). Without it the kernel's last knowledge is used.

    Raises:
        OSError: EOPNOTSUPP when the card has no modesetting.

    Kernel: drm_mode_config.c, drm_mode_getresources; connection_mutex while probing.
    """
    with libdrm.fetched(
        "drmModeGetResources", uapi.Resources, card.fileno(), what=card.path
    ) as found:
        crtc_ids = found.crtcs[: found.count_crtcs]
        encoder_ids = found.encoders[: found.count_encoders]
        connector_ids = found.connectors[: found.count_connectors]
    with libdrm.fetched(
        "drmModeGetPlaneResources", uapi.PlaneResources, card.fileno(), what=card.path
    ) as planes:
        plane_ids = planes.planes[: planes.count_planes]
    return Resources(
        tuple(_still_there(lambda i: read_connector(card, i, probe=probe), connector_ids)),
        tuple(_read_encoder(card, i, index) for index, i in enumerate(encoder_ids)),
        tuple(read_crtc(card, CrtcId(i), CrtcIndex(n)) for n, i in enumerate(crtc_ids)),
        tuple(read_plane(card, PlaneId(i)) for i in plane_ids),
    )


def _still_there(read: Callable[[ConnectorId], _Read], ids: list[int]) -> Iterator[_Read]:
    """Read each connector that has not gone since it was listed.

    Kernel: those behind a DisplayPort hub come and go with it, at any time
    (drm_connector.c, drm_mode_getconnector: ENOENT).
    """
    for connector_id in ids:
        try:
            yield read(ConnectorId(connector_id))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


def read_connector(card: Card, connector_id: ConnectorId, *, probe: bool = False) -> Connector:
    """Read one connector; `probe` as in `read_resources`.

    Raises:
        OSError: ENOENT when it is gone.
    """
    getter = "drmModeGetConnector" if probe else "drmModeGetConnectorCurrent"
    what = f"{card.path} connector {connector_id}"
    with libdrm.fetched(getter, uapi.Connector, card.fileno(), connector_id, what=what) as found:
        name = _name_of(found)
        return Connector(
            connector_id,
            name,
            found.connector_type,
            found.connection,
            tuple(EncoderId(i) for i in found.encoders[: found.count_encoders]),
            tuple(mode.from_uapi(found.modes[i]) for i in range(found.count_modes)),
            read_properties(card, connector_id, name),
        )


class Plug(NamedTuple):
    """What is plugged into a display connector, and nothing of what is shown there."""

    name: str
    connection: int
    """DRM_MODE_CONNECTED, _DISCONNECTED or _UNKNOWNCONNECTION."""
    modes: tuple[Mode, ...]


def read_plugs(card: Card, *, probe: bool = False) -> tuple[Plug, ...]:
    """Read what is plugged into the display connectors; `probe` as in `read_resources`.

    A hundredth of the work of `read_resources`, for who hears of a hotplug in the middle of a
    stream.

    Raises:
        OSError: ENODEV when the card is gone.
    """
    with libdrm.fetched(
        "drmModeGetResources", uapi.Resources, card.fileno(), what=card.path
    ) as found:
        connector_ids = found.connectors[: found.count_connectors]
    plugs = _still_there(lambda i: _read_plug(card, i, probe=probe), connector_ids)
    return tuple(plug for plug in plugs if plug is not None)


def _read_plug(card: Card, connector_id: ConnectorId, *, probe: bool) -> Plug | None:
    getter = "drmModeGetConnector" if probe else "drmModeGetConnectorCurrent"
    what = f"connector {connector_id}"
    with libdrm.fetched(getter, uapi.Connector, card.fileno(), connector_id, what=what) as found:
        if found.connector_type == uapi.DRM_MODE_CONNECTOR_WRITEBACK:
            return None
        modes = tuple(mode.from_uapi(m) for m in found.modes[: found.count_modes])
        return Plug(_name_of(found), found.connection, modes)


def _name_of(connector: uapi.Connector) -> str:
    kind = uapi.CONNECTOR_TYPE_NAMES.get(connector.connector_type, "Unknown")
    return f"{kind}-{connector.connector_type_id}"


def read_crtc(card: Card, crtc_id: CrtcId, crtc_index: CrtcIndex) -> Crtc:
    """Read one CRTC.

    Raises:
        OSError: ENOENT when there is none of that id.
    """
    properties = read_properties(card, crtc_id, f"crtc-{crtc_index}")
    timing = blob.read_blob_if_there(card, BlobId(properties.value("MODE_ID")))
    return Crtc(crtc_id, crtc_index, mode.unpack(timing) if timing else None, properties)


def read_plane(card: Card, plane_id: PlaneId) -> Plane:
    """Read one plane.

    Raises:
        OSError: ENOENT when there is none of that id.
    """
    properties = read_properties(card, plane_id, f"plane {plane_id}")
    plane_type = properties.get("type")
    with libdrm.fetched(
        "drmModeGetPlane", uapi.Plane, card.fileno(), plane_id, what=f"plane {plane_id}"
    ) as found:
        return Plane(
            plane_id,
            plane_type.enum_name if plane_type else "",
            CrtcId(found.crtc_id),
            FbId(found.fb_id),
            found.possible_crtcs,
            tuple(found.formats[: found.count_formats]),
            properties,
        )


def _read_encoder(card: Card, encoder_id: int, encoder_index: int) -> Encoder:
    with libdrm.fetched(
        "drmModeGetEncoder", uapi.Encoder, card.fileno(), encoder_id, what=f"encoder {encoder_id}"
    ) as found:
        return Encoder(
            EncoderId(encoder_id),
            encoder_index,
            uapi.ENCODER_TYPE_NAMES.get(found.encoder_type, "unknown"),
            CrtcId(found.crtc_id),
            found.possible_crtcs,
            found.possible_clones,
        )


def writeback_fourccs(card: Card, connector: Connector) -> tuple[int, ...]:
    """Return the pixel formats that a writeback connector can write, in the driver's order."""
    blob_id = BlobId(connector.properties.value("WRITEBACK_PIXEL_FORMATS"))
    return formats.unpack_pixel_formats(blob.read_blob(card, blob_id))
