# SPDX-License-Identifier: MIT
"""The writeback source: jobs on a writeback connector that shares a display's CRTC."""

from __future__ import annotations

import contextlib
import errno

from capturectl.errors import CaptureError, CaptureLostError, CaptureUnsupportedError
from capturectl.protocol import Source as SourceKind
from capturectl.typed import NamedTuple
from captured import log
from captured.capture.source import NO_VBLANK, FenceResult, SourceBusy, Vblank
from captured.drm import modeset, proof, resources, route, vblank
from captured.drm.atomic import AtomicReq
from captured.drm.mastery import Mastery, master_hint, unless_gone
from captured.drm.memory import DumbMemory, SealedMemory, WritebackMemory
from captured.drm.modewish import KEEP
from captured.drm.route import Route
from captured.drm.sealed import check_machine
from captured.drm.syncfile import SyncFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from captured.capture.source import Geometry, Memory
    from captured.drm.atomic import FenceSlot
    from captured.drm.card import Card
    from captured.drm.flips import FlipQueue
    from captured.drm.framebuffer import DumbFramebuffer
    from captured.drm.mode import Mode
    from captured.drm.resources import Connector, Crtc, Resources
    from captured.drm.shown import ShownPlane


_DRAIN_EVERY = 32


class WritebackFence:
    """The out-fence of one job. Owns its sync_file."""

    is_lasting = False

    def __init__(self, sync_file: SyncFile) -> None:
        self._sync_file = sync_file

    def fileno(self) -> int:
        """Polls readable when the job has ended."""
        return self._sync_file.fileno()

    def read_result(self) -> FenceResult:
        """Say how the job stands."""
        return FenceResult(*self._sync_file.read_status())

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds at most; False when the job has not ended by then."""
        return self._sync_file.wait(timeout)

    def close(self) -> None:
        """Close the sync_file. Twice is fine."""
        self._sync_file.close()


class Wishes(NamedTuple):
    """What the operator wants of an output."""

    name: str = ""
    """The display connector; empty takes the first."""
    fourcc: int = 0
    """Pixel format; 0 takes the best that the connector can write."""
    modeset: str = KEEP
    """What to do with a dark display: keep, preferred, or WxH[@HZ]."""
    is_sealed: bool = False
    """Whether the memory is such that clients cannot write to it at all."""


class Outlook(NamedTuple):
    """How an output looks without touching it."""

    name: str
    connector_id: int
    crtc_id: int
    writeback: str
    mode: Mode | None
    """None when the CRTC is off."""
    fourccs: tuple[int, ...]
    problem: CaptureError | None
    """Why it cannot be captured now; None when nothing speaks against it."""
    clones: tuple[str, ...] = ()
    """The writeback connectors that may share its CRTC."""


class _Attachment(NamedTuple):
    route: Route
    geometry: Geometry
    request: AtomicReq
    fence_slot: FenceSlot
    lit: modeset.LitOutput | None


class WritebackSource:
    """Captures one display through a writeback connector.

    Is master of the card while attached, and only then. Attaching is a modeset: the display
    may flicker. Its commits name the writeback connector alone, never a plane, so what others
    program behind the CRTC stays as it is, and is in the picture.

    Ownership: borrows the card and its flip queue.
    Kernel: drivers/gpu/drm/drm_writeback.c, "DOC: overview".
    """

    kind = SourceKind.WRITEBACK
    has_fences = True

    def __init__(self, card: Card, flips: FlipQueue, wishes: Wishes, stream: int = 1) -> None:
        """Describe it; nothing is touched.

        Args:
            card: With the client capabilities enabled, and the event queue all ours.
            flips: Of that card.
            wishes: The operator's.
            stream: A number that tells this source's commits from its siblings'.
        """
        self._card = card
        self._flips = flips
        self._wishes = wishes
        self._stream = stream
        self._attachment: _Attachment | None = None
        self._mastery = Mastery(card)
        self._proved_problem: CaptureError | None = None

    def pin(self, name: str) -> None:
        """Stay with one display from now on, whatever is plugged in later."""
        self._wishes = self._wishes._replace(name=name)

    # -- looking ------------------------------------------------------------------------------

    def look(self, taken: Collection[int] = ()) -> Outlook:
        """Say how the output looks now; if all seems well, ask to be master for a moment.

        Raises:
            CaptureError: There is no such output, or no way to capture it.
        """
        found = resources.read_resources(self._card)
        way = self._choose(found, taken)
        problem: CaptureError | None = self._proved_problem
        if not way.is_lit and self._wishes.modeset == KEEP:
            problem = modeset.output_is_off(way)
        elif problem is None:
            problem = self._mastery.other_master()
        return Outlook(
            way.display.name,
            way.display.connector_id,
            way.crtc.crtc_id,
            way.writeback.name,
            way.mode,
            resources.writeback_fourccs(self._card, way.writeback),
            problem,
            route.possible_clones(found, way),
        )

    def shown_planes(self) -> list[ShownPlane]:
        """Return what is on the display's CRTC now.

        Raises:
            CaptureError: There is no such output, or no way to capture it.
            OSError: The card is gone.
        """
        from captured.drm.shown import shown_planes  # seldom asked for; it is not small

        found = resources.read_resources(self._card)
        return shown_planes(self._card, found, self._choose(found).crtc)

    def choose_fourcc(self, fourccs: tuple[int, ...]) -> int:
        """Return the pixel format that frames will have.

        Raises:
            CaptureUnsupportedError: no-format.
        """
        return proof.choose_fourcc("the connector", fourccs, self._wishes.fourcc)

    def prove(self) -> None:
        """Ask the driver, with TEST_ONLY, whether it would attach; nothing changes.

        Raises:
            CaptureError: It would not; the reason says what it refused. OutputOffError for a
                dark display that nobody wants lit.
        """
        try:
            self._check_memory()
            with self._mastery.for_a_moment():
                found = resources.read_resources(self._card, probe=True)
                way = self._choose(found)
                if way.is_lit:
                    proof.prove_clone(self._card, found, way, self._wishes.fourcc)
                else:
                    modeset.choose_mode(way, self._wishes.modeset)
        except CaptureError as error:
            # What passes is looked at anew each time, what the driver refuses is remembered.
            lasting = isinstance(error, CaptureUnsupportedError)
            self._proved_problem = error if lasting else None
            raise
        self._proved_problem = None

    def reconcile(self) -> bool:
        """Take off its CRTC what a crash left attached: it would keep that from being put out.

        It may be another CRTC than this output's: that of the output which was set before.

        Returns:
            Whether there was anything.

        Raises:
            CaptureBusyError: Another program is master; it is for that one to decide then.
            OSError: The driver's errno.
        """
        found = resources.read_resources(self._card)
        left = self._left_attached(found, self._choose(found).crtc)
        if not left:
            return False
        for connector in left:
            log.info("%s was left attached", connector.name)
        with self._mastery.for_a_moment():
            for connector in left:
                self._take_off(connector)
            # Not before: no CRTC can be put out under a connector, and there may be several.
            for connector in {one.crtc_id: one for one in left}.values():
                self._put_out_what_died(found, connector)
        return True

    def _left_attached(self, found: Resources, crtc: Crtc) -> list[Connector]:
        """Return what nobody uses, this CRTC's first: a driver may refuse to let go of another's.

        On a shared card the other CRTCs' may be a sibling's.
        """
        attached = [c for c in found.writeback_connectors() if c.crtc_id]
        if self._card.is_shared:
            return [c for c in attached if c.crtc_id == crtc.crtc_id]
        return sorted(attached, key=lambda c: c.crtc_id != crtc.crtc_id)

    def _put_out_what_died(self, found: Resources, connector: Connector) -> None:
        """Put out what a daemon lit with its own picture: it is dark since that died with it."""
        crtc = found.crtc(connector.crtc_id)
        if crtc is None or any(plane.fb_id for plane in found.planes_on(crtc)):
            return
        for display in found.display_connectors():
            way = Route(display, crtc, connector)
            if way.is_lit:
                modeset.put_out(self._card, way)
                log.info("%s was left lit, and is put out", display.name)
                return

    # -- attaching ----------------------------------------------------------------------------

    @property
    def is_attached(self) -> bool:
        """Whether the writeback connector is on the CRTC."""
        return self._attachment is not None

    def attach(self) -> Geometry:
        """Become master, light a dark display if wanted, and attach the connector.

        Raises:
            CaptureBusyError: Another program is master.
            OutputOffError: The display is dark and is to stay so.
            CaptureUnsupportedError: no-writeback, wrong-crtc, clone-refused, no-format, no-mode,
                no-udmabuf.
        """
        if self._attachment is not None:
            return self._look_again(self._attachment)
        self._check_memory()
        if self._wishes.modeset == KEEP:
            self._check_lit()
        self._mastery.take()
        try:
            self._attachment = self._attach()
        except BaseException as error:
            self._mastery.leave()
            if isinstance(error, CaptureUnsupportedError):
                self._proved_problem = error
            raise
        self._proved_problem = None
        return self._attachment.geometry

    def _check_memory(self) -> None:
        """Find out before the display is disturbed."""
        if self._wishes.is_sealed:
            check_machine()

    def _check_lit(self) -> None:
        """Say that a display is off without being master: who lights it needs that."""
        way = self._choose(resources.read_resources(self._card))
        if not way.is_lit:
            raise modeset.output_is_off(way)

    def _look_again(self, attachment: _Attachment) -> Geometry:
        """Bring the attachment up to date with what the display shows by now."""
        found = resources.read_resources(self._card)
        way = _through(found, self._choose(found), attachment.route.writeback)
        geometry = proof.prove_picture(self._card, way, self._wishes.fourcc)
        self._attachment = attachment._replace(route=way, geometry=geometry)
        return geometry

    def _attach(self) -> _Attachment:
        found = resources.read_resources(self._card)
        way = self._choose(found)
        lit = None
        if not way.is_lit:
            # A dark display's modes may never have been read.
            found = resources.read_resources(self._card, probe=True)
            way = self._choose(found)
            lit = modeset.LitOutput(self._card, found, way, self._wishes.modeset)
        try:
            return self._attach_to_active(lit)
        except BaseException:
            if lit is not None:
                lit.close()
            raise

    def _attach_to_active(self, lit: modeset.LitOutput | None) -> _Attachment:
        found = resources.read_resources(self._card)
        way = self._choose(found)
        geometry = proof.prove_clone(self._card, found, way, self._wishes.fourcc)
        connector = way.writeback
        # Quirk(vkms): a job in the commit that attaches is lost when the next commit comes
        # within the same frame; the connector is attached alone.
        proof.attach_request(self._card, way).commit(allow_modeset=True)
        log.info(
            "attached %s to %s (%s)", connector.name, way.crtc.name, way.display.name,
            output=way.display.name,
        )  # fmt: skip
        return self._attachment_of(way, geometry, lit)

    def _attachment_of(
        self, way: Route, geometry: Geometry, lit: modeset.LitOutput | None
    ) -> _Attachment:
        connector = way.writeback
        request = AtomicReq(self._card)
        request.add(connector.connector_id, connector.properties, "WRITEBACK_FB_ID", 0)
        slot = request.add_out_fence(
            connector.connector_id, connector.properties, "WRITEBACK_OUT_FENCE_PTR"
        )
        return _Attachment(way, geometry, request, slot, lit)

    def adopt(self, geometry: Geometry, black: DumbFramebuffer | None, *, is_lit: bool) -> None:
        """Go on with what a former daemon attached through the same open file; touch nothing.

        Args:
            geometry: Of its pictures; when the mode has changed since, the next commit tells.
            black: What it put on a dark display; owned from here on.
            is_lit: Whether it lit the display.

        Raises:
            CaptureLostError: The connector is not attached any more.
        """
        found = resources.read_resources(self._card)
        way = self._choose(found)
        if way.writeback.crtc_id != way.crtc.crtc_id:
            raise CaptureLostError(f"{way.writeback.name} was taken off meanwhile", "")
        lit = modeset.LitOutput.adopt(self._card, way, black) if is_lit else None
        self._attachment = self._attachment_of(way, geometry, lit)

    @property
    def lit(self) -> modeset.LitOutput | None:
        """What was lit to attach."""
        return self._attachment.lit if self._attachment else None

    def detach(self) -> None:
        """Take the connector off, put out what was lit, stop being master. Twice is fine.

        A card that is gone or has another master by now is left alone, with a warning.
        """
        attachment, self._attachment = self._attachment, None
        if attachment is None:
            return
        name = attachment.route.writeback.name
        with contextlib.ExitStack() as last:
            last.callback(self._mastery.leave)
            if attachment.lit is not None:
                last.callback(unless_gone, name, attachment.lit.close)
            unless_gone(name, lambda: self._take_off(attachment.route.writeback))

    def leave(self) -> None:
        """Stop being master unless attached: a file that was kept is master from the start."""
        if self._attachment is None:
            self._mastery.leave()

    def _take_off(self, connector: Connector) -> None:
        request = AtomicReq(self._card)
        request.add(connector.connector_id, connector.properties, "CRTC_ID", 0)
        request.commit(allow_modeset=True)
        log.info("detached %s", connector.name)

    # -- capturing ----------------------------------------------------------------------------

    def allocate(self) -> WritebackMemory:
        """Make memory for one picture.

        Raises:
            CaptureLostError: Not attached.
            CaptureUnsupportedError: no-udmabuf, for sealed memory.
            OSError: ENOMEM.
        """
        kind: type[SealedMemory | DumbMemory] = (
            SealedMemory if self._wishes.is_sealed else DumbMemory
        )
        return kind.allocate(self._card, self._attached().geometry)

    def commit(self, memory: Memory, number: int) -> WritebackFence:
        """Commit one job; the picture of the next vblank goes to the memory.

        Raises:
            SourceBusy: EBUSY, a commit on the CRTC waits for its vblank.
            CaptureLostError: EACCES, another program is master; or not attached.
            OSError: Any other errno.
        """
        attachment = self._attached()
        if not isinstance(memory, WritebackMemory):
            raise TypeError("memory of another source")
        connector = attachment.route.writeback
        attachment.request.add(
            connector.connector_id,
            connector.properties,
            "WRITEBACK_FB_ID",
            memory.fb_id,
        )
        if not number % _DRAIN_EVERY:
            self._flips.drain()  # of jobs that nobody asked after, since they failed
        try:
            # An owner's event queue is the owner's: no flip event there.
            user_data = None if self._card.is_shared else self._user_data(number)
            attachment.request.commit_nowait(user_data=user_data)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise SourceBusy from error
            if error.errno == errno.EACCES:
                raise CaptureLostError(
                    f"{self._card.path} has another master now", master_hint(self._card.path)
                ) from error
            raise
        fence = attachment.fence_slot.take()
        if fence is None:
            raise CaptureLostError(f"{connector.name}: the driver made no fence", "report it")
        return WritebackFence(SyncFile(fence))

    def flip_fd(self) -> int | None:
        """Lend the card's fd, whose events are flips; an owner's are the owner's."""
        return None if self._card.is_shared else self._card.fileno()

    def has_flipped(self, number: int) -> bool:
        """Take in the card's events, and say whether that of a commit is among them.

        Raises:
            OSError: The card is gone.
        """
        return self._flips.has(self._user_data(number))

    def vblank_of(self, number: int) -> Vblank:
        """Return the vblank of an ended job: its flip event's, or the last one there was."""
        if self._card.is_shared:
            return self._last_vblank()
        try:
            event = self._flips.take(self._user_data(number))
        except OSError:
            event = None  # the card is gone; the next commit says so
        return Vblank(event.sequence, event.time_ns) if event else Vblank(0, 0)

    def _last_vblank(self) -> Vblank:
        try:
            found = vblank.read_vblank(self._card, self._attached().route.crtc.crtc_id)
        except OSError:
            return NO_VBLANK
        return Vblank(found.sequence, found.time_ns)

    def _user_data(self, number: int) -> int:
        return self._stream << 48 | number & 0xFFFF_FFFF_FFFF

    def _attached(self) -> _Attachment:
        if self._attachment is None:
            raise CaptureLostError("the writeback connector is not attached", "try again")
        return self._attachment

    def _choose(self, found: Resources, taken: Collection[int] = ()) -> Route:
        return route.choose_route(found, self._wishes.name, taken=taken, card=self._card.path)


def _through(found: Resources, way: Route, attached: Connector) -> Route:
    """Return a way that goes through the connector that is attached, whichever else is by now.

    Raises:
        CaptureLostError: It is not on the display's CRTC.
    """
    writebacks = {now.connector_id: now for now in found.writeback_connectors()}
    now = writebacks.get(attached.connector_id)
    if now is None or now.crtc_id != way.crtc.crtc_id:
        raise CaptureLostError(
            f"{attached.name} is not on {way.crtc.name}, which feeds {way.display.name}",
            "another program took it off, or moved the display; see who holds the card",
        )
    return way._replace(writeback=now)
