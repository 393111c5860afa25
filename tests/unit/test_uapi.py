# SPDX-License-Identifier: MIT
"""captured.drm.uapi: numbers and sizes against those of the kernel's headers, by hand."""

from __future__ import annotations

import ctypes

import pytest

from captured.drm import uapi

# drm.h and drm_mode.h, DRM_IOCTL_..., as strace and the headers of a 64-bit kernel have them.
REQUESTS = [
    (uapi.SET_MASTER, "DRM_IOCTL_SET_MASTER", 0x0000641E),
    (uapi.DROP_MASTER, "DRM_IOCTL_DROP_MASTER", 0x0000641F),
    (uapi.GEM_CLOSE, "DRM_IOCTL_GEM_CLOSE", 0x40086409),
    (uapi.GET_CAP, "DRM_IOCTL_GET_CAP", 0xC010640C),
    (uapi.SET_CLIENT_CAP, "DRM_IOCTL_SET_CLIENT_CAP", 0x4010640D),
    (uapi.PRIME_HANDLE_TO_FD, "DRM_IOCTL_PRIME_HANDLE_TO_FD", 0xC00C642D),
    (uapi.PRIME_FD_TO_HANDLE, "DRM_IOCTL_PRIME_FD_TO_HANDLE", 0xC00C642E),
    (uapi.CRTC_GET_SEQUENCE, "DRM_IOCTL_CRTC_GET_SEQUENCE", 0xC018643B),
    (uapi.RMFB, "DRM_IOCTL_MODE_RMFB", 0xC00464AF),
    (uapi.CREATE_DUMB, "DRM_IOCTL_MODE_CREATE_DUMB", 0xC02064B2),
    (uapi.MAP_DUMB, "DRM_IOCTL_MODE_MAP_DUMB", 0xC01064B3),
    (uapi.DESTROY_DUMB, "DRM_IOCTL_MODE_DESTROY_DUMB", 0xC00464B4),
    (uapi.ADDFB2, "DRM_IOCTL_MODE_ADDFB2", 0xC06864B8),
    (uapi.ATOMIC, "DRM_IOCTL_MODE_ATOMIC", 0xC03864BC),
    (uapi.CREATEPROPBLOB, "DRM_IOCTL_MODE_CREATEPROPBLOB", 0xC01064BD),
    (uapi.DESTROYPROPBLOB, "DRM_IOCTL_MODE_DESTROYPROPBLOB", 0xC00464BE),
    (uapi.CREATE_LEASE, "DRM_IOCTL_MODE_CREATE_LEASE", 0xC01864C6),
    (uapi.LIST_LESSEES, "DRM_IOCTL_MODE_LIST_LESSEES", 0xC01064C7),
    (uapi.GET_LEASE, "DRM_IOCTL_MODE_GET_LEASE", 0xC01064C8),
    (uapi.REVOKE_LEASE, "DRM_IOCTL_MODE_REVOKE_LEASE", 0xC00464C9),
    (uapi.GETFB2, "DRM_IOCTL_MODE_GETFB2", 0xC06864CE),
    (uapi.SYNC_IOC_FILE_INFO, "SYNC_IOC_FILE_INFO", 0xC0383E04),
]

SIZES = [
    (uapi.ModeInfo, 68),
    (uapi.FbCmd2, 104),
    (uapi.Atomic, 56),
    (uapi.CreateDumb, 32),
    (uapi.SyncFenceInfo, 80),
    (uapi.SyncFileInfo, 56),
    (uapi.PropertyEnum, 40),
]

OFFSETS = [
    (uapi.ModeInfo, "vrefresh", 24),
    (uapi.ModeInfo, "name", 36),
    (uapi.FbCmd2, "handles", 20),
    (uapi.FbCmd2, "pitches", 36),
    (uapi.FbCmd2, "offsets", 52),
    (uapi.FbCmd2, "modifier", 72),
    (uapi.Atomic, "objs_ptr", 8),
    (uapi.Atomic, "user_data", 48),
    (uapi.CreateDumb, "handle", 16),
    (uapi.CreateDumb, "size", 24),
    (uapi.SyncFileInfo, "status", 32),
    (uapi.SyncFileInfo, "num_fences", 40),
    (uapi.SyncFileInfo, "sync_fence_info", 48),
    (uapi.SyncFenceInfo, "status", 64),
    (uapi.SyncFenceInfo, "timestamp_ns", 72),
    (uapi.CreateLease, "lessee_id", 16),
    (uapi.CreateLease, "fd", 20),
]

CONSTANTS = [
    (uapi.DRM_MODE_CONNECTOR_WRITEBACK, 18),
    (uapi.DRM_CLIENT_CAP_UNIVERSAL_PLANES, 2),
    (uapi.DRM_CLIENT_CAP_ATOMIC, 3),
    (uapi.DRM_CLIENT_CAP_WRITEBACK_CONNECTORS, 5),
    (uapi.DRM_MODE_PAGE_FLIP_EVENT, 0x01),
    (uapi.DRM_MODE_ATOMIC_TEST_ONLY, 0x0100),
    (uapi.DRM_MODE_ATOMIC_NONBLOCK, 0x0200),
    (uapi.DRM_MODE_ATOMIC_ALLOW_MODESET, 0x0400),
    (uapi.DRM_MODE_FB_MODIFIERS, 2),
    (uapi.DRM_MODE_TYPE_PREFERRED, 8),
    (uapi.DRM_CLOEXEC, 0o2000000),
    (uapi.DRM_RDWR, 2),
]


@pytest.mark.parametrize(("request_", "name", "number"), REQUESTS, ids=str)
def test_a_request_has_the_kernels_number_and_name(
    request_: uapi.Request, name: str, number: int
) -> None:
    assert request_.number == number
    assert repr(request_) == name


@pytest.mark.parametrize(("structure", "size"), SIZES)
def test_a_structure_has_the_kernels_size(structure: type[ctypes.Structure], size: int) -> None:
    assert ctypes.sizeof(structure) == size


@pytest.mark.parametrize(("structure", "field", "offset"), OFFSETS)
def test_a_field_is_where_the_kernel_has_it(
    structure: type[ctypes.Structure], field: str, offset: int
) -> None:
    assert getattr(structure, field).offset == offset


@pytest.mark.parametrize(("value", "expected"), CONSTANTS)
def test_a_constant_is_the_kernels(value: int, expected: int) -> None:
    assert value == expected


@pytest.mark.parametrize(
    ("number", "name"), [(10, "DP"), (11, "HDMI-A"), (14, "eDP"), (16, "DSI"), (18, "Writeback")]
)
def test_a_connector_type_has_the_name_it_has_in_sysfs(number: int, name: str) -> None:
    assert uapi.CONNECTOR_TYPE_NAMES[number] == name
