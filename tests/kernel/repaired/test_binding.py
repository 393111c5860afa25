# SPDX-License-Identifier: MIT
"""The KMS binding against a real driver."""

from __future__ import annotations

import errno
import mmap
from typing import TYPE_CHECKING

import pytest

from capturectl.errors import CaptureBusyError, CaptureClosedError
from capturectl.fd import OwnedFd
from capturectl.fourcc import fourcc_code
from captured.drm import events, lease, resources, uapi, vblank
from captured.drm.atomic import AtomicReq
from captured.drm.blob import Blob, read_blob
from captured.drm.card import Card
from captured.drm.framebuffer import BorrowedFramebuffer, DumbFramebuffer
from captured.drm.syncfile import SyncFile
from tests.support import kernel
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from captured.drm.resources import Resources
    from tests.support.processes import SceneProcess

XR24 = fourcc_code("XR24")


@pytest.fixture
def card() -> Iterator[Card]:
    with Card.open(kernel.CARD) as opened:
        opened.enable_client_capabilities()
        yield opened


@pytest.fixture
def found(scene: SceneProcess, card: Card) -> Resources:
    return resources.read_resources(card)


def attach(card: Card, found: Resources) -> AtomicReq:
    request = AtomicReq(card)
    (connector,) = found.writeback_connectors()
    request.add(connector.connector_id, connector.properties, "CRTC_ID", found.crtcs[0].crtc_id)
    return request


def test_an_opened_card_is_not_master(card: Card) -> None:
    assert kernel.master_names() == []


def test_a_second_master_is_refused_as_busy(card: Card) -> None:
    card.take_master()
    with Card.open(kernel.CARD) as other, pytest.raises(CaptureBusyError) as caught:
        other.take_master()
    assert caught.value.code == "another-master"


def test_dropping_master_twice_is_fine(card: Card) -> None:
    card.take_master()
    card.drop_master()
    card.drop_master()


def test_a_closed_card_says_so(card: Card) -> None:
    card.close()
    with pytest.raises(CaptureClosedError):
        card.version()


def test_the_driver_gives_its_name(card: Card) -> None:
    assert card.version().name == "vkms"


def test_an_unknown_capability_is_zero(card: Card) -> None:
    assert card.capability(0xFFFF) == 0
    assert card.capability(uapi.DRM_CAP_DUMB_BUFFER) == 1


def test_a_card_can_be_adopted_from_an_open_fd(card: Card) -> None:
    with Card(OwnedFd(card.fileno(), "mine").duplicate(), "adopted") as adopted:
        assert adopted.version() == card.version()


def test_the_writeback_connector_is_listed_beside_the_display(found: Resources) -> None:
    assert [c.name for c in found.display_connectors()] == ["Virtual-1"]
    assert [c.name for c in found.writeback_connectors()] == ["Writeback-1"]


def test_encoders_say_what_they_can_be_on_and_beside(found: Resources) -> None:
    display, writeback = found.encoders
    assert display.can_use(found.crtcs[0])
    assert writeback.can_use(found.crtcs[0])
    assert display.can_clone(writeback)


def test_the_crtc_has_the_mode_that_the_scene_set(found: Resources) -> None:
    (crtc,) = found.crtcs
    assert crtc.is_active
    assert crtc.mode is not None
    assert (crtc.mode.width, crtc.mode.height) == (640, 480)
    assert crtc.mode.refresh_mhz == pytest.approx(60_000, abs=5)


def test_planes_tell_their_kind_place_and_framebuffer(found: Resources) -> None:
    shown = found.planes_on(found.crtcs[0])
    assert [plane.plane_type for plane in shown] == ["Primary", "Overlay", "Overlay"]
    places = [
        (plane.properties["CRTC_X"].signed_value, plane.properties["CRTC_Y"].signed_value)
        for plane in shown
    ]
    assert places == [(0, 0), (240, 60), (40, 300)]
    assert all(plane.fb_id for plane in shown)


def test_a_missing_property_is_named_with_its_object(found: Resources) -> None:
    with pytest.raises(KeyError, match="Virtual-1 has no property NONSENSE"):
        found.display_connectors()[0].properties.prop_id("NONSENSE")


def test_the_writeback_formats_are_those_of_the_driver(card: Card, found: Resources) -> None:
    (connector,) = found.writeback_connectors()
    names = {fourcc_code(name) for name in ("AR24", "XR24", "XR48", "AR48", "RG16")}
    assert set(resources.writeback_fourccs(card, connector)) == names


def test_a_blob_keeps_its_bytes_until_it_is_closed(card: Card) -> None:
    with Blob(card, b"\x01\x02\x03") as blob:
        number = blob.blob_id
        assert read_blob(card, number) == b"\x01\x02\x03"
    with pytest.raises(OSError, match="drmModeGetPropertyBlob") as caught:
        read_blob(card, number)
    assert caught.value.errno == errno.ENOENT


def test_an_exported_buffer_cannot_be_mapped_for_writing(card: Card) -> None:
    with DumbFramebuffer(card, 64, 64, XR24) as fb, fb.buffer.export() as dmabuf:
        with mmap.mmap(dmabuf.fileno(), fb.size, mmap.MAP_SHARED, mmap.PROT_READ) as view:
            assert len(view) == fb.size
        with pytest.raises(PermissionError):
            mmap.mmap(dmabuf.fileno(), fb.size)


def test_a_closed_framebuffer_leaves_nothing(card: Card) -> None:
    before = kernel.framebuffer_count(), kernel.shmem_kib()
    for _ in range(20):
        fb = DumbFramebuffer(card, 1024, 768, XR24)
        fb.buffer.export().close()
        fb.close()
        fb.close()
    assert kernel.framebuffer_count() == before[0]
    assert kernel.shmem_kib() - before[1] < 3072, "less than one of them"


def test_a_refused_framebuffer_gives_its_buffer_back(card: Card) -> None:
    before = kernel.shmem_kib()
    for _ in range(20):
        with pytest.raises(OSError, match="ADDFB2") as caught:
            DumbFramebuffer(card, 1024, 768, fourcc_code("BG24"))
        assert caught.value.errno == errno.EINVAL
    assert kernel.shmem_kib() - before < 3072


def test_looking_at_anothers_framebuffer_leaves_no_handle(card: Card, found: Resources) -> None:
    plane = found.planes_on(found.crtcs[0])[0]
    for _ in range(3):
        with BorrowedFramebuffer(card, plane.fb_id) as seen:
            assert (seen.width, seen.height, seen.fourcc) == (640, 480, XR24)
            handles = {layout.gem_handle for layout in seen.layouts}
            assert handles == {1}, "the lowest number is free again each time"


def test_a_tested_request_changes_nothing_and_makes_no_fence(card: Card, found: Resources) -> None:
    card.take_master()
    (connector,) = found.writeback_connectors()
    request = attach(card, found)
    with DumbFramebuffer(card, 640, 480, XR24) as fb:
        request.add(connector.connector_id, connector.properties, "WRITEBACK_FB_ID", fb.fb_id)
        slot = request.add_out_fence(
            connector.connector_id, connector.properties, "WRITEBACK_OUT_FENCE_PTR"
        )
        request.test(allow_modeset=True)
    assert slot.take() is None
    assert not kernel.is_attached()


def test_attaching_needs_a_modeset(card: Card, found: Resources) -> None:
    card.take_master()
    with pytest.raises(OSError, match="MODE_ATOMIC") as caught:
        attach(card, found).test()
    assert caught.value.errno == errno.EINVAL


def test_a_commit_without_master_is_refused(card: Card, found: Resources) -> None:
    with pytest.raises(PermissionError):
        attach(card, found).test(allow_modeset=True)


def test_a_job_signals_its_fence_after_its_vblank(card: Card, found: Resources) -> None:
    card.take_master()
    (connector,) = found.writeback_connectors()
    attach(card, found).commit(allow_modeset=True)
    with DumbFramebuffer(card, 640, 480, XR24) as fb:
        request = AtomicReq(card)
        request.add(connector.connector_id, connector.properties, "WRITEBACK_FB_ID", fb.fb_id)
        slot = request.add_out_fence(
            connector.connector_id, connector.properties, "WRITEBACK_OUT_FENCE_PTR"
        )
        request.commit_nowait(user_data=42)
        fd = slot.take()
        assert fd is not None
        with SyncFile(fd) as fence:
            assert fence.wait(2)
            status = fence.read_status()
        (event,) = events.read_events(card)
        with fb.buffer.map() as memory:
            assert memory[:4] == b"\x00\x00\xff\xff", "the red corner of the scene's mark"
    assert status.status == 1
    assert event.user_data == 42
    assert event.time_ns <= status.timestamp_ns


def test_the_vblank_counter_counts(card: Card, found: Resources) -> None:
    crtc_id = found.crtcs[0].crtc_id
    before = vblank.read_vblank(card, crtc_id)
    assert before.is_active
    wait_until(
        lambda: vblank.read_vblank(card, crtc_id).sequence > before.sequence, "a vblank has passed"
    )
    assert vblank.read_vblank(card, crtc_id).time_ns > before.time_ns


def test_a_lease_lets_another_file_use_only_what_was_lent(card: Card, found: Resources) -> None:
    card.take_master()
    (writeback,) = found.writeback_connectors()
    crtc, spare = found.crtcs[0], found.planes[-1]
    given = lease.create_lease(card, [crtc.crtc_id, writeback.connector_id, spare.plane_id])
    with given.card as lessee:
        assert lease.list_lessees(card) == (given.lessee_id,)
        lessee.enable_client_capabilities()
        seen = resources.read_resources(lessee)
        assert [c.name for c in seen.connectors] == ["Writeback-1"]
        assert set(lease.leased_objects(lessee)) == {
            crtc.crtc_id, writeback.connector_id, spare.plane_id,
        }  # fmt: skip
        lease.revoke_lease(card, given.lessee_id)
        assert lease.leased_objects(lessee) == ()


def test_a_lease_without_a_plane_is_refused(card: Card, found: Resources) -> None:
    card.take_master()
    (writeback,) = found.writeback_connectors()
    with pytest.raises(OSError, match="CREATE_LEASE") as caught:
        lease.create_lease(card, [found.crtcs[0].crtc_id, writeback.connector_id])
    assert caught.value.errno == errno.EINVAL
