# SPDX-License-Identifier: MIT
"""Stand-ins for time, for what makes pictures and for whoever wants them."""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import os
import select
from typing import TYPE_CHECKING, NamedTuple

from capturectl.errors import CaptureLostError
from capturectl.fd import OwnedFd
from capturectl.fourcc import fourcc_code
from capturectl.protocol import Source as SourceKind
from captured.capture.audience import NEVER
from captured.capture.outlet import NoOutlet
from captured.capture.source import FenceResult, Geometry, Plane, SourceBusy, Vblank
from captured.reactor import Reactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capturectl.errors import CaptureError
    from captured.capture.audience import Picture, Subscriber
    from captured.capture.engine import Engine
    from captured.capture.pool import Slot
    from captured.capture.source import Memory

SECOND_NS = 1_000_000_000
START_NS = 1_000 * SECOND_NS

GEOMETRY = Geometry(64, 32, 60_000, fourcc_code("XR24"), 0)

_EVENTFD_FULL = 2**64 - 2


class FakeTimer:
    """What `FakeClock` returns for a callback."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """The engine's loop, with a time that passes only in `advance`."""

    def __init__(self) -> None:
        self._now = START_NS
        self._order = itertools.count()
        self._timers: list[tuple[int, int, FakeTimer]] = []
        self._callbacks: dict[int, Callable[[int], None]] = {}

    def now_ns(self) -> int:
        return self._now

    def pass_unnoticed(self, seconds: float) -> None:
        """Let time pass in which the loop has no turn."""
        self._now += round(seconds * SECOND_NS)

    def call_at(self, deadline_ns: int, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (deadline_ns, next(self._order), timer))
        return timer

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        return self.call_at(self._now + round(seconds * SECOND_NS), callback)

    def watch_first(self, fd: int, callback: Callable[[int], None]) -> None:
        self._callbacks[fd] = callback

    def unwatch(self, fd: int) -> None:
        self._callbacks.pop(fd, None)

    @property
    def watched(self) -> frozenset[int]:
        """The fds that are watched now."""
        return frozenset(self._callbacks)

    def poll(self) -> None:
        """Call back once for each watched fd that is readable."""
        poller = select.poll()
        for fd in self._callbacks:
            poller.register(fd, select.POLLIN)
        for fd, events in poller.poll(0):
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(events)

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass, timer by timer, looking at the fds at each stop."""
        end = self._now + round(seconds * SECOND_NS)
        self.poll()
        while self._timers and self._timers[0][0] <= end:
            deadline, _, timer = heapq.heappop(self._timers)
            self._now = max(self._now, deadline)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
            self.poll()
        self._now = end


class VirtualReactor(Reactor):
    """The real loop, with a time that passes only in `advance`."""

    def __init__(self) -> None:
        super().__init__()
        self._now = START_NS

    def now_ns(self) -> int:
        return self._now

    def turn(self) -> None:
        """Run what is due and what is readable, and what follows from that."""
        for _ in range(8):
            self.run_once(0)

    def advance(self, seconds: float) -> None:
        """Let time pass, a millisecond a step."""
        end = self._now + round(seconds * SECOND_NS)
        while self._now < end:
            self._now = min(end, self._now + SECOND_NS // 1000)
            self.turn()


class FakeFence:
    """A fence that ends when the test says so."""

    is_lasting = False

    def __init__(self) -> None:
        self._fd = OwnedFd(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), "fake fence")
        self._result = FenceResult(0, 0)
        self.waited_s = 0.0
        self.ends_while_waited_for = False

    def fileno(self) -> int:
        return self._fd.fileno()

    def wake(self) -> None:
        """Become readable without having ended."""
        os.eventfd_write(self.fileno(), 1)

    def end_unheard(self, status: int = 1, time_done_ns: int = START_NS) -> None:
        """End without being readable yet."""
        self._result = FenceResult(status, time_done_ns)

    def signal(self, status: int = 1, time_done_ns: int = START_NS) -> None:
        """End, well or with a negative errno; nobody hears it once the fence is closed."""
        self.end_unheard(status, time_done_ns)
        if self._fd:
            self.wake()

    @property
    def is_pending(self) -> bool:
        return self._result.status == 0

    @property
    def is_closed(self) -> bool:
        return not self._fd

    def read_result(self) -> FenceResult:
        return self._result

    def wait(self, timeout: float) -> bool:
        self.waited_s += timeout
        if self.ends_while_waited_for and self.is_pending:
            self.signal()
        return not self.is_pending

    def close(self) -> None:
        self._fd.close()


class FakeMemory:
    """A picture's memory in a memfd, whose readers' fences have always ended."""

    takes_fences = True

    def __init__(self, geometry: Geometry = GEOMETRY) -> None:
        pitch = geometry.width * 4
        self.size = pitch * geometry.height
        self.dmabuf = OwnedFd(self._make(), "fake dma-buf")
        self.planes = (Plane(self.dmabuf, pitch, 0),)

    def _make(self) -> int:
        fd = os.memfd_create("picture", os.MFD_CLOEXEC)
        os.ftruncate(fd, self.size)
        return fd

    @property
    def is_closed(self) -> bool:
        return not self.dmabuf

    def poison(self) -> None:
        os.pwrite(self.dmabuf.fileno(), b"poison", 0)

    def is_poisoned(self) -> bool:
        return os.pread(self.dmabuf.fileno(), 6, 0) == b"poison"

    def write_picture(self) -> None:
        os.pwrite(self.dmabuf.fileno(), b"pixels", 0)

    def close(self) -> None:
        self.dmabuf.close()


class FencedMemory(FakeMemory):
    """Memory with a reader's fence that the test sets and ends; an eventfd, not writable then."""

    def _make(self) -> int:
        return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def begin_reading(self) -> None:
        os.eventfd_write(self.dmabuf.fileno(), _EVENTFD_FULL)

    def end_reading(self) -> None:
        os.eventfd_read(self.dmabuf.fileno())


class FakeJob(NamedTuple):
    """One commit that the source took."""

    memory: Memory
    number: int
    fence: FakeFence


class FakeSource:
    """A source whose captures end when the test says so.

    An error set as `attach_error`, `allocate_error` or `commit_error` is raised there until
    it is taken away; `is_busy` makes it refuse commits with EBUSY, `refusals` so many with
    EINVAL.
    """

    def __init__(
        self, geometry: Geometry = GEOMETRY, memory: Callable[[], FakeMemory] = FakeMemory
    ) -> None:
        self.kind = SourceKind.WRITEBACK
        self.has_fences = True
        self.geometry = geometry
        self.is_attached = False
        self.attach_count = 0
        self.is_busy = False
        self.forgets_to_write = False
        self.attempts = 0
        self.jobs: list[FakeJob] = []
        self.memories: list[FakeMemory] = []
        self.attach_error: Exception | None = None
        self.allocate_error: Exception | None = None
        self.commit_error: Exception | None = None
        self.refusals = 0
        self.most_at_once = 1
        self._make_memory = memory
        self._flips: OwnedFd | None = None
        self._flipped = 0

    def attach(self) -> Geometry:
        if self.attach_error is not None:
            raise self.attach_error
        self.attach_count += not self.is_attached
        self.is_attached = True
        return self.geometry

    def detach(self) -> None:
        self.is_attached = False

    def allocate(self) -> FakeMemory:
        if self.allocate_error is not None and len(self.memories) >= 2:
            raise self.allocate_error
        self.memories.append(self._make_memory())
        return self.memories[-1]

    def commit(self, memory: Memory, number: int) -> FakeFence:
        self.attempts += 1
        if not self.is_attached:
            raise CaptureLostError("not attached")
        if self.is_busy:
            raise SourceBusy
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EINVAL, "Invalid argument")
        if self.commit_error is not None:
            raise self.commit_error
        if len(self.under_way) >= self.most_at_once:
            raise AssertionError(f"more than {self.most_at_once} captures at once")
        fence = FakeFence()
        self.jobs.append(FakeJob(memory, number, fence))
        return fence

    def vblank_of(self, number: int) -> Vblank:
        return Vblank(7000 + number, START_NS + number)

    def tell_flips(self) -> OwnedFd:
        """Tell of vblanks from now on; the caller closes the fd."""
        self._flips = OwnedFd(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), "fake flips")
        return self._flips

    def flip_fd(self) -> int | None:
        return self._flips.fileno() if self._flips else None

    def has_flipped(self, number: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.flip_fd() or -1)
        return number <= self._flipped

    def flip(self) -> None:
        """Let the vblank of the last commit pass."""
        self._flipped = self.jobs[-1].number
        os.eventfd_write(self.flip_fd() or -1, 1)

    @property
    def under_way(self) -> list[FakeJob]:
        """The captures that somebody waits for, in the order of their commits."""
        return [job for job in self.jobs if job.fence.is_pending and not job.fence.is_closed]

    @property
    def is_writing(self) -> bool:
        """Whether a capture is under way."""
        return bool(self.jobs) and self.jobs[-1].fence.is_pending

    def finish(self, status: int = 1, time_done_ns: int = START_NS) -> None:
        """End the first capture that is under way."""
        if not self.is_writing:
            raise AssertionError("no capture is under way")
        memory, _, fence = (self.under_way or self.jobs[-1:])[0]
        if status > 0 and not self.forgets_to_write and isinstance(memory, FakeMemory):
            memory.write_picture()
        fence.signal(status, time_done_ns)


class FakeSubscriber:
    """Takes pictures while it has credits, keeps them, and notes why it ended."""

    def __init__(
        self,
        credits: int = 1,  # noqa: A002
        *,
        takes: bool = True,
        is_prompt: bool = True,
        is_early: bool = False,
    ) -> None:
        self.credits = credits
        self.takes = takes
        self._is_prompt = is_prompt
        self.is_early = is_early
        self.due = 0
        self.seen = 0
        self.pictures: list[Picture] = []
        self.fences: list[int] = []
        self.taken_back: list[int] = []
        self.never_written: list[int] = []
        self.errors: list[CaptureError] = []
        self.states: list[str] = []

    @property
    def due_ns(self) -> int:
        return self.due if self.credits > 0 else NEVER

    @due_ns.setter
    def due_ns(self, due_ns: int) -> None:
        self.due = due_ns

    def is_prompt(self, since: int) -> bool:
        return self._is_prompt and all(held.sequence >= since for held in self.pictures)

    def deliver(self, picture: Picture) -> bool:
        if self.takes:
            self.credits -= 1
            self.pictures.append(picture)
        return self.takes

    def announce(self, picture: Picture, fence: int) -> bool:
        self.fences.append(fence)
        return self.deliver(picture)

    def holds(self, slot: Slot) -> bool:
        return any(picture.slot is slot for picture in self.pictures)

    def revoked(self, slot: Slot, *, is_overdue: bool) -> None:
        picture = next(picture for picture in self.pictures if picture.slot is slot)
        self.pictures.remove(picture)
        (self.taken_back if is_overdue else self.never_written).append(picture.sequence)

    def reshaped(self) -> None:
        self.states.append("reshaped")

    def state_changed(self, problem: CaptureError | None) -> None:
        self.states.append(problem.code if problem else "")

    def fail(self, error: CaptureError) -> None:
        self.errors.append(error)

    @property
    def sequences(self) -> list[int]:
        """The numbers of the pictures that it holds."""
        return [picture.sequence for picture in self.pictures]

    def release(self, engine: Engine) -> None:
        """Give the oldest picture back; its credit returns."""
        self.credits += 1
        engine.release(self.pictures.pop(0).slot, self)


class FakeOutlet(NoOutlet):
    """Hands pictures straight to fake subscribers, and notes the news."""

    def __init__(self) -> None:
        self.news: list[object] = []

    def deliver(self, picture: Picture, subscribers: Sequence[Subscriber]) -> list[Subscriber]:
        return [s for s in subscribers if isinstance(s, FakeSubscriber) and s.deliver(picture)]

    def announce(
        self, picture: Picture, fence: int, subscribers: Sequence[Subscriber]
    ) -> list[Subscriber]:
        fakes = [s for s in subscribers if isinstance(s, FakeSubscriber)]
        return [s for s in fakes if s.announce(picture, fence)]

    def attached(self) -> None:
        self.news.append("attached")

    def detached(self) -> None:
        self.news.append("detached")

    def pool_freed(self, generation: int) -> None:
        self.news.append(("freed", generation))

    def slot_replaced(self, slot: Slot) -> None:
        self.news.append(("replaced", slot.generation, slot.index))

    def capture_lost(self, sequence: int) -> None:
        self.news.append(("lost", sequence))

    def problem_changed(self, problem: CaptureError | None) -> None:
        self.news.append(problem.code if problem else "")


def drain(clock: FakeClock, source: FakeSource, limit: int = 24) -> None:
    """End one capture after the other, until none follows or the limit is reached."""
    for _ in range(limit):
        with contextlib.suppress(AssertionError):
            source.finish()
        clock.advance()
        if not source.is_writing:
            return
