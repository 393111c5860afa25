# SPDX-License-Identifier: MIT
"""libdrm.so.2 through ctypes: the functions that enumerate, and the one that does ioctls.

Imported by its siblings only. No callbacks are made, so that the service can run under
MemoryDenyWriteExecute.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from ctypes import POINTER, c_int, c_uint32, c_ulong, c_void_p
from functools import cache

from capturectl.errors import CaptureUnsupportedError
from capturectl.typed import Any, TypeVar
from captured.drm import uapi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_Structure = TypeVar("_Structure", bound=ctypes.Structure)


@cache
def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libdrm.so.2", use_errno=True)
    except OSError as error:
        raise CaptureUnsupportedError(
            "libdrm.so.2 cannot be loaded", "install the package libdrm2 of the distribution"
        ) from error


@cache
def _bound(name: str, result: type | None, *arguments: type) -> Any:  # noqa: ANN401 - ctypes
    function = getattr(_library(), name)
    function.restype, function.argtypes = result, arguments
    return function


_GETTERS: dict[str, tuple[type[ctypes.Structure], int, str]] = {
    "drmGetVersion": (uapi.Version, 0, "drmFreeVersion"),
    "drmModeGetResources": (uapi.Resources, 0, "drmModeFreeResources"),
    "drmModeGetConnector": (uapi.Connector, 1, "drmModeFreeConnector"),
    "drmModeGetConnectorCurrent": (uapi.Connector, 1, "drmModeFreeConnector"),
    "drmModeGetEncoder": (uapi.Encoder, 1, "drmModeFreeEncoder"),
    "drmModeGetCrtc": (uapi.ModeCrtc, 1, "drmModeFreeCrtc"),
    "drmModeGetPlaneResources": (uapi.PlaneResources, 0, "drmModeFreePlaneResources"),
    "drmModeGetPlane": (uapi.Plane, 1, "drmModeFreePlane"),
    "drmModeObjectGetProperties": (uapi.ObjectProperties, 2, "drmModeFreeObjectProperties"),
    "drmModeGetProperty": (uapi.Property, 1, "drmModeFreeProperty"),
    "drmModeGetPropertyBlob": (uapi.PropertyBlob, 1, "drmModeFreePropertyBlob"),
}
"""Function to what it returns a pointer to, how many ids it takes, and what frees its answer."""


@contextlib.contextmanager
def fetched(
    getter: str, structure: type[_Structure], fd: int, *ids: int, what: str
) -> Iterator[_Structure]:
    """Call one of libdrm's `drmModeGet...` and free its answer on leaving.

    Args:
        getter: libdrm's name of the function.
        structure: The structure it returns a pointer to, for the type checker.
        fd: An open card; borrowed.
        ids: The object numbers that follow the fd.
        what: The object's name, for the error.

    Raises:
        OSError: The kernel's errno, with `what` as filename.
    """
    answer, count, freeing = _GETTERS[getter]
    get = _bound(getter, POINTER(answer), c_int, *[c_uint32] * count)
    free = _bound(freeing, None, c_void_p)
    ctypes.set_errno(0)
    pointer = get(fd, *ids)
    if not pointer:
        code = ctypes.get_errno()
        raise OSError(code, f"{getter}: {os.strerror(code)}", what)
    try:
        yield pointer.contents
    finally:
        free(pointer)


def ioctl(fd: int, request: uapi.Request, argument: ctypes.Structure | None, what: str) -> int:
    """Do one ioctl; EINTR and EAGAIN are repeated by libdrm.

    Args:
        fd: An open card, lease or sync_file; borrowed.
        request: From `uapi`.
        argument: The request's structure, read and written by the kernel; None if it has none.
        what: The object's name, for the error.

    Returns:
        What the kernel returned: 0, but for requests that make a descriptor.

    Raises:
        OSError: The kernel's errno, with `what` as filename.
    """
    pointer = ctypes.byref(argument) if argument is not None else None
    result: int = _bound("drmIoctl", c_int, c_int, c_ulong, c_void_p)(fd, request.number, pointer)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{request.name}: {os.strerror(code)}", what)
    return result
