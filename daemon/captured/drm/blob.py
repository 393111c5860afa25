# SPDX-License-Identifier: MIT
"""Property blobs: the kernel's byte strings (modes, format lists)."""

from __future__ import annotations

import ctypes
import errno

from captured.drm import libdrm, uapi
from captured.drm.ids import BlobId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from captured.drm.card import Card


class Blob:
    """A blob that this process made. Exists until `close()`, or as long as a state uses it.

    Ownership: borrows the card, owns the blob id.
    Kernel: drivers/gpu/drm/drm_property.c, drm_mode_createblob_ioctl.
    """

    def __init__(self, card: Card, data: bytes) -> None:
        """Create it.

        Args:
            card: The card that the blob belongs to.
            data: Its content, not empty.

        Raises:
            OSError: ENOMEM, or EINVAL when `data` is empty.
        """
        self._card = card
        buffer = ctypes.create_string_buffer(data, len(data))
        argument = uapi.CreateBlob(ctypes.addressof(buffer), len(data), 0)
        card.ioctl(uapi.CREATEPROPBLOB, argument, f"{card.path} blob")
        self.blob_id = BlobId(argument.blob_id)

    def close(self) -> None:
        """Destroy the blob; a committed state that uses it keeps it alive. Twice is fine."""
        blob_id, self.blob_id = self.blob_id, BlobId(0)
        if blob_id and self._card:
            self._card.ioctl(uapi.DESTROYPROPBLOB, uapi.DestroyBlob(blob_id), f"blob {blob_id}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def read_blob(card: Card, blob_id: BlobId) -> bytes:
    """Return a copy of a blob's bytes, whoever made it; empty for id 0.

    Raises:
        OSError: ENOENT when there is no such blob.
    """
    if not blob_id:
        return b""
    with libdrm.fetched(
        "drmModeGetPropertyBlob", uapi.PropertyBlob, card.fileno(), blob_id, what=f"blob {blob_id}"
    ) as blob:
        return ctypes.string_at(blob.data, blob.length)


def read_blob_if_there(card: Card, blob_id: BlobId) -> bytes:
    """Return a blob's bytes, empty when it went away since its id was read."""
    try:
        return read_blob(card, blob_id)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return b""
        raise
