# SPDX-License-Identifier: MIT
"""Properties of mode objects, by the kernel's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from capturectl.typed import NamedTuple
from captured.drm import libdrm, uapi
from captured.drm.ids import PropId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.drm.card import Card
    from captured.drm.ids import ObjectId


class Property(NamedTuple):
    """One property of one object, as it was when read."""

    prop_id: PropId
    name: str
    """In the kernel's spelling, such as "WRITEBACK_FB_ID"."""
    value: int
    """Unsigned 64 bits; a signed range reads as two's complement."""
    enums: tuple[tuple[int, str], ...]
    """(value, name) of an enum or bitmask, in the driver's order."""

    @property
    def enum_name(self) -> str:
        """The name of the present value; empty when there is none."""
        return dict(self.enums).get(self.value, "")

    @property
    def signed_value(self) -> int:
        """The value as a signed 64-bit number, for CRTC_X and its like."""
        return self.value - (1 << 64) if self.value >> 63 else self.value


class Properties(Mapping[str, Property]):
    """All properties of one object. A snapshot: it does not follow changes."""

    def __init__(self, owner: str, by_name: dict[str, Property]) -> None:
        self._owner = owner
        self._by_name = by_name

    def __getitem__(self, name: str) -> Property:
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(f"{self._owner} has no property {name}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def value(self, name: str, default: int = 0) -> int:
        """Return a property's value, or the default where the driver has no such property."""
        found = self._by_name.get(name)
        return default if found is None else found.value

    def prop_id(self, name: str) -> PropId:
        """Return a property's number for an atomic request.

        Raises:
            KeyError: The object has no such property; the message names both.
        """
        return self[name].prop_id


def read_properties(card: Card, object_id: ObjectId, owner: str) -> Properties:
    """Read the properties of an object.

    Args:
        card: An open card with the client capabilities enabled; without ATOMIC the atomic
            properties are hidden.
        object_id: A connector, CRTC or plane.
        owner: The object's name, for messages.

    Raises:
        OSError: ENOENT when the object is gone, EINVAL when it has no properties.

    Kernel: OBJ_GETPROPERTIES takes all modeset locks (drm_mode_object.c): keep it out of
    the frame loop.
    """
    with libdrm.fetched(
        "drmModeObjectGetProperties",
        uapi.ObjectProperties,
        card.fileno(),
        object_id,
        uapi.DRM_MODE_OBJECT_ANY,
        what=owner,
    ) as found:
        pairs = [(found.props[i], found.prop_values[i]) for i in range(found.count_props)]
    properties = [_read_property(card, PropId(number), value, owner) for number, value in pairs]
    return Properties(owner, {prop.name: prop for prop in properties})


def _read_property(card: Card, prop_id: PropId, value: int, owner: str) -> Property:
    with libdrm.fetched(
        "drmModeGetProperty", uapi.Property, card.fileno(), prop_id, what=f"{owner} {prop_id}"
    ) as prop:
        enums = tuple(
            (prop.enums[i].value, bytes(prop.enums[i].name).decode())
            for i in range(prop.count_enums)
        )
        return Property(prop_id, bytes(prop.name).decode(), value, enums)
