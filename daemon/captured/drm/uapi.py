# SPDX-License-Identifier: MIT
"""Constants and structures of the kernel's DRM interface, each with its header.

Headers: include/uapi/drm/drm.h, drm_mode.h, drm_fourcc.h; include/uapi/linux/sync_file.h,
udmabuf.h.
Nothing here has behaviour.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64

# --- request numbers: asm-generic/ioctl.h --------------------------------------------------

_WRITE, _READ = 1, 2


class Request:
    """An ioctl's number and name."""

    __slots__ = ("name", "number")

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number

    def __repr__(self) -> str:
        return self.name


def _request(
    name: str, direction: int, group: str, nr: int, argument: type[ctypes.Structure] | None
) -> Request:
    size = ctypes.sizeof(argument) if argument else 0
    return Request(name, direction << 30 | size << 16 | ord(group) << 8 | nr)


def _drm(name: str, nr: int, argument: type[ctypes.Structure] | None = None) -> Request:
    return _request(f"DRM_IOCTL_{name}", _READ | _WRITE if argument else 0, "d", nr, argument)


# --- drm.h ---------------------------------------------------------------------------------

DRM_CAP_DUMB_BUFFER = 0x1

DRM_CLIENT_CAP_UNIVERSAL_PLANES = 2
DRM_CLIENT_CAP_ATOMIC = 3
DRM_CLIENT_CAP_WRITEBACK_CONNECTORS = 5

DRM_CLOEXEC = 0o2000000
DRM_RDWR = 2

DRM_EVENT_VBLANK = 0x01
DRM_EVENT_FLIP_COMPLETE = 0x02


class GemClose(ctypes.Structure):
    """struct drm_gem_close."""

    _fields_ = [("handle", c_uint32), ("pad", c_uint32)]


class CrtcGetSequence(ctypes.Structure):
    """struct drm_crtc_get_sequence."""

    _fields_ = [
        ("crtc_id", c_uint32),
        ("active", c_uint32),
        ("sequence", c_uint64),
        ("sequence_ns", c_int64),
    ]


class ClientCapability(ctypes.Structure):
    """struct drm_set_client_cap."""

    _fields_ = [("capability", c_uint64), ("value", c_uint64)]


class Capability(ctypes.Structure):
    """struct drm_get_cap."""

    _fields_ = [("capability", c_uint64), ("value", c_uint64)]


class PrimeHandle(ctypes.Structure):
    """struct drm_prime_handle."""

    _fields_ = [("handle", c_uint32), ("flags", c_uint32), ("fd", c_int32)]


SET_MASTER = _drm("SET_MASTER", 0x1E)
DROP_MASTER = _drm("DROP_MASTER", 0x1F)
GEM_CLOSE = _request("DRM_IOCTL_GEM_CLOSE", _WRITE, "d", 0x09, GemClose)
GET_CAP = _drm("GET_CAP", 0x0C, Capability)
SET_CLIENT_CAP = _request("DRM_IOCTL_SET_CLIENT_CAP", _WRITE, "d", 0x0D, ClientCapability)
PRIME_HANDLE_TO_FD = _drm("PRIME_HANDLE_TO_FD", 0x2D, PrimeHandle)
PRIME_FD_TO_HANDLE = _drm("PRIME_FD_TO_HANDLE", 0x2E, PrimeHandle)
CRTC_GET_SEQUENCE = _drm("CRTC_GET_SEQUENCE", 0x3B, CrtcGetSequence)

# --- drm_mode.h ----------------------------------------------------------------------------

DRM_MODE_CONNECTOR_WRITEBACK = 18

CONNECTOR_TYPE_NAMES = {
    0: "Unknown", 1: "VGA", 2: "DVI-I", 3: "DVI-D", 4: "DVI-A", 5: "Composite", 6: "SVIDEO",
    7: "LVDS", 8: "Component", 9: "DIN", 10: "DP", 11: "HDMI-A", 12: "HDMI-B", 13: "TV",
    14: "eDP", 15: "Virtual", 16: "DSI", 17: "DPI", 18: "Writeback", 19: "SPI", 20: "USB",
}  # fmt: skip
"""As in /sys/class/drm: drivers/gpu/drm/drm_connector.c, drm_connector_enum_list."""

ENCODER_TYPE_NAMES = {
    0: "none", 1: "DAC", 2: "TMDS", 3: "LVDS", 4: "TVDAC", 5: "Virtual", 6: "DSI", 7: "DPMST",
    8: "DPI",
}  # fmt: skip

DRM_MODE_CONNECTED = 1
DRM_MODE_DISCONNECTED = 2
DRM_MODE_UNKNOWNCONNECTION = 3

DRM_MODE_OBJECT_ANY = 0

DRM_MODE_TYPE_PREFERRED = 1 << 3
DRM_MODE_FLAG_INTERLACE = 1 << 4
DRM_MODE_FLAG_DBLSCAN = 1 << 5
DRM_MODE_FB_MODIFIERS = 1 << 1

DRM_MODE_PAGE_FLIP_EVENT = 0x01
DRM_MODE_ATOMIC_TEST_ONLY = 0x0100
DRM_MODE_ATOMIC_NONBLOCK = 0x0200
DRM_MODE_ATOMIC_ALLOW_MODESET = 0x0400


class ModeInfo(ctypes.Structure):
    """struct drm_mode_modeinfo, 68 bytes; the content of a MODE_ID blob."""

    _fields_ = [
        ("clock", c_uint32),
        ("hdisplay", c_uint16), ("hsync_start", c_uint16), ("hsync_end", c_uint16),
        ("htotal", c_uint16), ("hskew", c_uint16),
        ("vdisplay", c_uint16), ("vsync_start", c_uint16), ("vsync_end", c_uint16),
        ("vtotal", c_uint16), ("vscan", c_uint16),
        ("vrefresh", c_uint32), ("flags", c_uint32), ("type", c_uint32),
        ("name", c_char * 32),
    ]  # fmt: skip


class FbCmd2(ctypes.Structure):
    """struct drm_mode_fb_cmd2."""

    _fields_ = [
        ("fb_id", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixel_format", c_uint32),
        ("flags", c_uint32),
        ("handles", c_uint32 * 4),
        ("pitches", c_uint32 * 4),
        ("offsets", c_uint32 * 4),
        ("modifier", c_uint64 * 4),
    ]


class RemoveFb(ctypes.Structure):
    """The bare framebuffer id that DRM_IOCTL_MODE_RMFB takes."""

    _fields_ = [("fb_id", c_uint32)]


class CreateDumb(ctypes.Structure):
    """struct drm_mode_create_dumb."""

    _fields_ = [
        ("height", c_uint32),
        ("width", c_uint32),
        ("bpp", c_uint32),
        ("flags", c_uint32),
        ("handle", c_uint32),
        ("pitch", c_uint32),
        ("size", c_uint64),
    ]


class MapDumb(ctypes.Structure):
    """struct drm_mode_map_dumb."""

    _fields_ = [("handle", c_uint32), ("pad", c_uint32), ("offset", c_uint64)]


class DestroyDumb(ctypes.Structure):
    """struct drm_mode_destroy_dumb."""

    _fields_ = [("handle", c_uint32)]


class Atomic(ctypes.Structure):
    """struct drm_mode_atomic; the pointers are addresses of uint32 or uint64 arrays."""

    _fields_ = [
        ("flags", c_uint32),
        ("count_objs", c_uint32),
        ("objs_ptr", c_uint64),
        ("count_props_ptr", c_uint64),
        ("props_ptr", c_uint64),
        ("prop_values_ptr", c_uint64),
        ("reserved", c_uint64),
        ("user_data", c_uint64),
    ]


class CreateBlob(ctypes.Structure):
    """struct drm_mode_create_blob."""

    _fields_ = [("data", c_uint64), ("length", c_uint32), ("blob_id", c_uint32)]


class DestroyBlob(ctypes.Structure):
    """struct drm_mode_destroy_blob."""

    _fields_ = [("blob_id", c_uint32)]


class CreateLease(ctypes.Structure):
    """struct drm_mode_create_lease."""

    _fields_ = [
        ("object_ids", c_uint64),
        ("object_count", c_uint32),
        ("flags", c_uint32),
        ("lessee_id", c_uint32),
        ("fd", c_uint32),
    ]


class ListLessees(ctypes.Structure):
    """struct drm_mode_list_lessees; also the shape of struct drm_mode_get_lease."""

    _fields_ = [("count", c_uint32), ("pad", c_uint32), ("array_ptr", c_uint64)]


class RevokeLease(ctypes.Structure):
    """struct drm_mode_revoke_lease."""

    _fields_ = [("lessee_id", c_uint32)]


RMFB = _drm("MODE_RMFB", 0xAF, RemoveFb)
CREATE_DUMB = _drm("MODE_CREATE_DUMB", 0xB2, CreateDumb)
MAP_DUMB = _drm("MODE_MAP_DUMB", 0xB3, MapDumb)
DESTROY_DUMB = _drm("MODE_DESTROY_DUMB", 0xB4, DestroyDumb)
ADDFB2 = _drm("MODE_ADDFB2", 0xB8, FbCmd2)
ATOMIC = _drm("MODE_ATOMIC", 0xBC, Atomic)
CREATEPROPBLOB = _drm("MODE_CREATEPROPBLOB", 0xBD, CreateBlob)
DESTROYPROPBLOB = _drm("MODE_DESTROYPROPBLOB", 0xBE, DestroyBlob)
CREATE_LEASE = _drm("MODE_CREATE_LEASE", 0xC6, CreateLease)
LIST_LESSEES = _drm("MODE_LIST_LESSEES", 0xC7, ListLessees)
GET_LEASE = _drm("MODE_GET_LEASE", 0xC8, ListLessees)
REVOKE_LEASE = _drm("MODE_REVOKE_LEASE", 0xC9, RevokeLease)
GETFB2 = _drm("MODE_GETFB2", 0xCE, FbCmd2)


# --- linux/sync_file.h ---------------------------------------------------------------------


class SyncFenceInfo(ctypes.Structure):
    """struct sync_fence_info."""

    _fields_ = [
        ("obj_name", c_char * 32),
        ("driver_name", c_char * 32),
        ("status", c_int32),
        ("flags", c_uint32),
        ("timestamp_ns", c_uint64),
    ]


class SyncFileInfo(ctypes.Structure):
    """struct sync_file_info."""

    _fields_ = [
        ("name", c_char * 32),
        ("status", c_int32),
        ("flags", c_uint32),
        ("num_fences", c_uint32),
        ("pad", c_uint32),
        ("sync_fence_info", c_uint64),
    ]


SYNC_IOC_FILE_INFO = _request("SYNC_IOC_FILE_INFO", _READ | _WRITE, ">", 4, SyncFileInfo)

# --- what libdrm's own functions return: xf86drm.h, xf86drmMode.h ----------------------------


class Version(ctypes.Structure):
    """struct _drmVersion."""

    _fields_ = [
        ("version_major", ctypes.c_int),
        ("version_minor", ctypes.c_int),
        ("version_patchlevel", ctypes.c_int),
        ("name_len", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("date_len", ctypes.c_int),
        ("date", ctypes.c_char_p),
        ("desc_len", ctypes.c_int),
        ("desc", ctypes.c_char_p),
    ]


class Resources(ctypes.Structure):
    """struct _drmModeRes."""

    _fields_ = [
        ("count_fbs", ctypes.c_int),
        ("fbs", ctypes.POINTER(c_uint32)),
        ("count_crtcs", ctypes.c_int),
        ("crtcs", ctypes.POINTER(c_uint32)),
        ("count_connectors", ctypes.c_int),
        ("connectors", ctypes.POINTER(c_uint32)),
        ("count_encoders", ctypes.c_int),
        ("encoders", ctypes.POINTER(c_uint32)),
        ("min_width", c_uint32),
        ("max_width", c_uint32),
        ("min_height", c_uint32),
        ("max_height", c_uint32),
    ]


class Connector(ctypes.Structure):
    """struct _drmModeConnector."""

    _fields_ = [
        ("connector_id", c_uint32),
        ("encoder_id", c_uint32),
        ("connector_type", c_uint32),
        ("connector_type_id", c_uint32),
        ("connection", ctypes.c_int),
        ("mm_width", c_uint32),
        ("mm_height", c_uint32),
        ("subpixel", ctypes.c_int),
        ("count_modes", ctypes.c_int),
        ("modes", ctypes.POINTER(ModeInfo)),
        ("count_props", ctypes.c_int),
        ("props", ctypes.POINTER(c_uint32)),
        ("prop_values", ctypes.POINTER(c_uint64)),
        ("count_encoders", ctypes.c_int),
        ("encoders", ctypes.POINTER(c_uint32)),
    ]


class Encoder(ctypes.Structure):
    """struct _drmModeEncoder."""

    _fields_ = [
        ("encoder_id", c_uint32),
        ("encoder_type", c_uint32),
        ("crtc_id", c_uint32),
        ("possible_crtcs", c_uint32),
        ("possible_clones", c_uint32),
    ]


class PlaneResources(ctypes.Structure):
    """struct _drmModePlaneRes."""

    _fields_ = [("count_planes", c_uint32), ("planes", ctypes.POINTER(c_uint32))]


class Plane(ctypes.Structure):
    """struct _drmModePlane."""

    _fields_ = [
        ("count_formats", c_uint32),
        ("formats", ctypes.POINTER(c_uint32)),
        ("plane_id", c_uint32),
        ("crtc_id", c_uint32),
        ("fb_id", c_uint32),
        ("crtc_x", c_uint32),
        ("crtc_y", c_uint32),
        ("x", c_uint32),
        ("y", c_uint32),
        ("possible_crtcs", c_uint32),
        ("gamma_size", c_uint32),
    ]


class ObjectProperties(ctypes.Structure):
    """struct _drmModeObjectProperties."""

    _fields_ = [
        ("count_props", c_uint32),
        ("props", ctypes.POINTER(c_uint32)),
        ("prop_values", ctypes.POINTER(c_uint64)),
    ]


class PropertyEnum(ctypes.Structure):
    """struct drm_mode_property_enum."""

    _fields_ = [("value", c_uint64), ("name", c_char * 32)]


class Property(ctypes.Structure):
    """struct _drmModeProperty."""

    _fields_ = [
        ("prop_id", c_uint32),
        ("flags", c_uint32),
        ("name", c_char * 32),
        ("count_values", ctypes.c_int),
        ("values", ctypes.POINTER(c_uint64)),
        ("count_enums", ctypes.c_int),
        ("enums", ctypes.POINTER(PropertyEnum)),
        ("count_blobs", ctypes.c_int),
        ("blob_ids", ctypes.POINTER(c_uint32)),
    ]


class PropertyBlob(ctypes.Structure):
    """struct _drmModePropertyBlob."""

    _fields_ = [("id", c_uint32), ("length", c_uint32), ("data", ctypes.POINTER(c_uint8))]


class ModeCrtc(ctypes.Structure):
    """struct _drmModeCrtc."""

    _fields_ = [
        ("crtc_id", c_uint32),
        ("buffer_id", c_uint32),
        ("x", c_uint32),
        ("y", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("mode_valid", ctypes.c_int),
        ("mode", ModeInfo),
        ("gamma_size", ctypes.c_int),
    ]


# --- udmabuf.h -----------------------------------------------------------------------------

UDMABUF_FLAGS_CLOEXEC = 0x01


class UdmabufCreate(ctypes.Structure):
    """struct udmabuf_create."""

    _fields_ = [
        ("memfd", c_uint32),
        ("flags", c_uint32),
        ("offset", c_uint64),
        ("size", c_uint64),
    ]


UDMABUF_CREATE = _request("UDMABUF_CREATE", _WRITE, "u", 0x42, UdmabufCreate)
