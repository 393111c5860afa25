# SPDX-License-Identifier: MIT
"""What the kernel itself says of the card: an independent witness for the tests."""

from __future__ import annotations

import re
from pathlib import Path

from captured.drm.atomic import AtomicReq
from captured.drm.blob import Blob
from captured.drm.card import Card
from captured.drm.resources import Resources, read_resources

CARD = "/dev/dri/card0"
_DEBUGFS = Path("/sys/kernel/debug/dri/0")
_OF_THE_MOMENT = re.compile("refcount=|vmap_use_count=|pages_use_count=")


def resources() -> Resources:
    """Read the card's state with a file of our own."""
    with Card.open(CARD) as card:
        card.enable_client_capabilities()
        return read_resources(card)


def put_out() -> None:
    """Make the card as it is after a boot: no CRTC is on, nothing is attached."""
    with Card.open(CARD) as card:
        card.enable_client_capabilities()
        card.take_master()
        found = read_resources(card)
        request = AtomicReq(card)
        for connector in found.connectors:
            request.add(connector.connector_id, connector.properties, "CRTC_ID", 0)
        for crtc in found.crtcs:
            request.add(crtc.crtc_id, crtc.properties, "ACTIVE", 0)
            request.add(crtc.crtc_id, crtc.properties, "MODE_ID", 0)
        for plane in found.planes:
            request.add(plane.plane_id, plane.properties, "CRTC_ID", 0)
            request.add(plane.plane_id, plane.properties, "FB_ID", 0)
        request.commit(allow_modeset=True)


def is_active() -> bool:
    """Whether the CRTC scans out."""
    return resources().crtcs[0].is_active


def is_attached() -> bool:
    """Whether the writeback connector is on a CRTC."""
    return any(connector.crtc_id for connector in resources().writeback_connectors())


def take_off_writeback() -> None:
    """Take every writeback connector off its CRTC, as whoever finds it attached may."""
    with Card.open(CARD) as card:
        card.enable_client_capabilities()
        card.take_master()
        request = AtomicReq(card)
        for connector in read_resources(card).writeback_connectors():
            request.add(connector.connector_id, connector.properties, "CRTC_ID", 0)
        request.commit(allow_modeset=True)


def plane_state() -> str:
    """Return all that the kernel knows of the planes' state, but for who is looking at it.

    Kernel: a composition that runs holds the planes' framebuffers and their mappings
    (vkms_plane_duplicate_state), so those counts are of the moment.
    """
    text = (_DEBUGFS / "state").read_text()
    lines = text[: text.index("crtc[")].splitlines()
    return "\n".join(line for line in lines if not _OF_THE_MOMENT.match(line.strip()))


def framebuffer_ids() -> list[int]:
    """Return the numbers of everybody's framebuffers."""
    text = (_DEBUGFS / "framebuffer").read_text()
    return [int(number) for number in re.findall(r"^framebuffer\[(\d+)\]", text, re.M)]


def framebuffer_count() -> int:
    """Count the framebuffers of everybody."""
    return len(framebuffer_ids())


def dmabuf_count() -> int:
    """Count the dma-bufs of everybody."""
    text = Path("/sys/kernel/debug/dma_buf/bufinfo").read_text()
    found = re.search(r"^Total (\d+) objects", text, re.M)
    return int(found[1]) if found else 0


def next_object_id() -> int:
    """Return the number that the card's next mode object would get.

    Kernel: numbers are the lowest that are free (drm_mode_object.c, __drm_mode_object_add),
    so a framebuffer or blob that was left behind shows here.
    """
    with Card.open(CARD) as card, Blob(card, b"x") as blob:
        return blob.blob_id


def leftovers() -> tuple[int, int, int]:
    """Return what a process could have left in the kernel, framebuffers, dma-bufs and blobs."""
    return framebuffer_count(), dmabuf_count(), next_object_id()


def shmem_kib() -> int:
    """Return the shared memory of the machine: buffer objects that a handle pins are in it."""
    found = re.search(r"^Shmem: +(\d+)", Path("/proc/meminfo").read_text(), re.M)
    assert found is not None
    return int(found[1])


def master_names() -> list[str]:
    """Return the commands that are master of the card."""
    lines = (_DEBUGFS / "clients").read_text().splitlines()[1:]
    return [line[:20].strip() for line in lines if line[20:].split()[2] == "y"]
