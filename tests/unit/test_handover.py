# SPDX-License-Identifier: MIT
"""captured.handover: a daemon's clients and pool, with the daemon after it."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capturectl import protocol
from capturectl.errors import CaptureLostError, OutputOffError
from capturectl.fd import OwnedFd
from capturectl.transport import Transport
from captured.capture.engine import Engine, Settings
from captured.capture.pacing import Policy
from captured.capture.pool import Pool, Slot, SlotState
from captured.handover.estate import sort
from captured.handover.keeper import Keeper, Keepsake
from captured.handover.records import SESSION_SIZE, LitRecord, OutputRecord, SlotRecord
from captured.handover.state import COLUMNS, SIZE, State
from captured.handover.succession import succeed
from captured.server.hub import Hub
from captured.server.peer import peer_of
from captured.server.session import Session
from captured.server.stream import OutputLook, Stream
from tests.support.fakes import GEOMETRY, FakeMemory, FakeSource, VirtualReactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from captured.capture.source import Geometry
    from captured.handover.estate import Estate
    from captured.notify import Holder

STREAM = 1
POOL = 6
WELCOME = protocol.Welcome(1, 1, 0, 42, protocol.MAX_CREDITS, 250, "vkms", "0.1")
FRAME_S = 1 / 60


class Store:
    """A manager that keeps descriptors; what outlives a daemon. Also its notifier."""

    def __init__(self) -> None:
        self.fds: dict[str, OwnedFd] = {}

    def store(self, name: str, holder: Holder) -> None:
        self.forget(name)
        self.fds[name] = OwnedFd(os.dup(holder.fileno()), name)

    def forget(self, name: str) -> None:
        if (fd := self.fds.pop(name, None)) is not None:
            fd.close()

    def given(self) -> list[OwnedFd]:
        return [OwnedFd(os.dup(fd.fileno()), name) for name, fd in self.fds.items()]

    def close(self) -> None:
        for name in list(self.fds):
            self.forget(name)


class Display:
    """What outlives a daemon in the kernel: the buffers, and jobs that go on."""

    def __init__(self) -> None:
        self.card = OwnedFd(os.memfd_create("card"), "card")
        self.memories: list[FakeMemory] = []
        self.is_attached = False

    def close(self) -> None:
        self.card.close()
        for memory in self.memories:
            memory.close()


class Daemon:
    """All of a daemon that matters here, over a fake source. `die` leaves everything."""

    def __init__(self, display: Display, store: Store, reactor: VirtualReactor) -> None:
        self.display, self.store, self.reactor = display, store, reactor
        self.source = FakeSource(memory=self._allocate)
        self.engine = Engine("X-1", self.source, reactor, Settings(POOL, 30.0), Policy())
        self.stream = Stream(
            STREAM, self.engine, self.source.kind, "/dev/dri/card9", self._look,
            lambda: GEOMETRY.fourcc,
        )  # fmt: skip
        self.hub = Hub(reactor, {STREAM: self.stream}, lambda: WELCOME)
        self.is_started = False
        _, estate = sort(store.given(), store)  # type: ignore[arg-type]  # a notifier's fake
        self.state = estate.state if estate else State.create(42)
        self.keeper = self.hub.keeper = Keeper(self.state, store, 512, self.keep)  # type: ignore[arg-type]
        self.engine.ledger = self.state
        self.goes_on = estate is not None and self._succeed(estate)

    def _succeed(self, estate: Estate) -> bool:
        if estate.output is not None:
            estate.take_card().close()
        try:
            return succeed(estate, self, self.hub, self.keeper)
        finally:
            estate.close()

    def _allocate(self) -> FakeMemory:
        self.display.memories.append(FakeMemory())
        return self.display.memories[-1]

    def _look(self) -> OutputLook:
        return OutputLook("X-1", 1, 2, "Writeback-1", GEOMETRY, (GEOMETRY.fourcc,), None)

    # -- what `succession.Output` wants --------------------------------------------------------

    def start(self) -> None:
        self.is_started = True

    def keep(self) -> Keepsake | None:
        pool = self.engine.pool
        if pool is None:
            return None
        slots = tuple(
            SlotRecord(s.index, self.display.memories.index(s.memory), 0, 256, 8192, s.is_tainted)  # type: ignore[arg-type]
            for s in pool.slots
        )
        head = "X-1", "/dev/dri/card9", pool.generation
        record = OutputRecord(*head, *pool.geometry, LitRecord(0, 0, 0), slots)
        return Keepsake(record, self.display.card, pool.slots)

    def adopt(self, record: OutputRecord) -> Pool:
        self.source.is_attached = True
        memories = [self.display.memories[slot.fb_id] for slot in record.slots]
        slots = [
            Slot(kept.buffer, record.generation, memory, place)
            for place, (kept, memory) in enumerate(zip(record.slots, memories, strict=True))
        ]
        return Pool.adopt(GEOMETRY, slots)

    # -- living and dying ----------------------------------------------------------------------

    def connect(self) -> Client:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        Session(Transport(ours), peer_of(ours), self.hub)
        client = Client(theirs, self)
        client.say(protocol.HELLO, protocol.Hello(protocol.MAGIC, 1, 1, 0, "tester"))
        return client

    def capture(self, count: int = 1) -> None:
        """Let so many captures be made."""
        for _ in range(count):
            self.source.finish()
            self.reactor.turn()

    def die(self) -> None:
        """Be killed: descriptors and timers are gone, and nobody is told."""
        for session in self.hub.sessions.values():
            self.reactor.unwatch(session.fileno())
            session._transport.close()
        for _, _, fence in self.source.jobs:
            if not fence.is_closed:
                self.reactor.unwatch(fence.fileno())
                fence.close()
        self.reactor._timers.clear()
        self.hub.sessions.clear()
        self.state.close()


class Client:
    """The other end of a socket; it outlives daemons."""

    def __init__(self, sock: socket.socket, daemon: Daemon) -> None:
        self.socket = sock
        self.daemon = daemon
        self.hung_up = False
        sock.settimeout(0)

    def say(self, message: protocol.Message[Any], body: Any, stream: int = 0) -> None:
        self.socket.send(message.pack(body, stream=stream, serial=1))
        self.daemon.reactor.turn()

    def subscribe(self, wanted: int = 2, frames: int = 0, flags: int = 0) -> None:
        request = protocol.Subscribe(0b111, flags, 0, wanted, frames, 0)
        self.say(protocol.SUBSCRIBE, request, STREAM)

    def release(self, frame: protocol.Frame) -> None:
        body = protocol.Release(frame.sequence, frame.buffer, frame.generation)
        self.say(protocol.RELEASE, body, STREAM)

    def read(self) -> list[tuple[str, Any]]:
        """Take every message that is there, by name."""
        names = {message.code: message for message in protocol.FROM_DAEMON}
        found: list[tuple[str, Any]] = []
        while True:
            try:
                raw, fds, _, _ = socket.recv_fds(self.socket, protocol.MAX_MESSAGE, 4)
            except BlockingIOError:
                return found
            for fd in fds:
                os.close(fd)
            if not raw:
                self.hung_up = True
                return found
            message = names[protocol.unpack_header(raw).code]
            found.append((message.name, message.unpack(raw)))

    def frames(self) -> list[protocol.Frame]:
        return [body for name, body in self.read() if name == "FRAME"]

    def follow(self, count: int) -> None:
        """Let so many captures be made, and release each."""
        for _ in range(count):
            self.daemon.capture()
            for frame in self.frames():
                self.release(frame)


class World:
    """Daemons one after the other."""

    def __init__(self) -> None:
        self.display, self.store, self.reactor = Display(), Store(), VirtualReactor()
        self.daemon = Daemon(self.display, self.store, self.reactor)
        self.clients: list[Client] = []

    def client(self, **wish: int) -> Client:
        """A client that has subscribed."""
        client = self.daemon.connect()
        self.clients.append(client)
        client.subscribe(**wish)
        client.read()
        return client

    def next_daemon(self, after_s: float = 0.5) -> Daemon:
        """Kill the one there is; another comes some time later."""
        self.daemon.die()
        self.reactor._now += round(after_s * 1e9)
        self.daemon = Daemon(self.display, self.store, self.reactor)
        for client in self.clients:
            client.daemon = self.daemon
        return self.daemon

    def close(self) -> None:
        self._end()
        gc.collect()  # marks keep a state mapped, and with it its descriptor

    def _end(self) -> None:
        for session in tuple(self.daemon.hub.sessions.values()):
            session.close()
        self.daemon.engine.close()
        for job in self.daemon.source.jobs:
            job.fence.close()
        self.daemon.state.close()
        for client in self.clients:
            client.socket.close()
            del client.daemon
        self.store.close()
        self.display.close()
        self.reactor._timers.clear()
        self.reactor.close()
        del self.daemon


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def proved(daemon: Daemon) -> None:
    """Let the first capture of a daemon that goes on be made, and written."""
    daemon.reactor.advance(0.001)
    daemon.capture()


# -- the pool ---------------------------------------------------------------------------------


def test_the_pool_goes_on_without_new_memory_and_without_attaching(world: World) -> None:
    world.client(wanted=4)
    world.daemon.capture(3)
    daemon = world.next_daemon()
    assert daemon.goes_on
    assert daemon.source.attach_count == 0
    assert not daemon.is_started
    assert len(world.display.memories) == POOL


def test_frames_go_on_and_their_numbers_show_what_was_missed(world: World) -> None:
    client = world.client(wanted=4)
    world.daemon.capture(2)
    assert [frame.sequence for frame in client.frames()] == [1, 2]
    proved(world.next_daemon(after_s=30 * FRAME_S + 0.001))
    (frame,) = client.frames()
    assert frame.missed == 30
    assert frame.sequence == 3 + 30 + 1, "job 3 was under way, 30 were missed"


def test_nothing_was_missed_while_nobody_waited(world: World) -> None:
    client = world.client()
    world.daemon.capture()
    client.say(protocol.UNSUBSCRIBE, protocol.Unsubscribe(), STREAM)
    daemon = world.next_daemon(after_s=2.0)
    client.subscribe()
    proved(daemon)
    assert [frame.missed for frame in client.frames()][-1] == 0


def test_what_the_last_jobs_were_for_is_not_written_before_there_is_proof(world: World) -> None:
    client = world.client()
    client.follow(2)
    pending = world.daemon.source.jobs[-1].memory
    daemon = world.next_daemon()
    daemon.reactor.advance(0.001)
    assert daemon.source.jobs[-1].memory is not pending
    client.follow(POOL)
    assert pending in [job.memory for job in daemon.source.jobs]


def test_the_last_jobs_have_some_frames_to_end_in(world: World) -> None:
    world.client()
    world.daemon.capture()
    daemon = world.next_daemon(after_s=0.001)
    daemon.reactor.advance(3 * FRAME_S - 0.001)
    assert daemon.source.jobs == []
    daemon.reactor.advance(1.1 * FRAME_S)
    assert len(daemon.source.jobs) == 1


def test_a_picture_that_its_own_job_did_not_write_is_not_announced(world: World) -> None:
    client = world.client(wanted=4)
    world.daemon.capture()
    client.read()
    daemon = world.next_daemon()
    daemon.source.forgets_to_write = True
    proved(daemon)
    assert client.frames() == []
    daemon.source.forgets_to_write = False
    daemon.capture()
    assert len(client.frames()) == 1


def test_nobody_hears_of_a_doubt_that_the_first_capture_ends(world: World) -> None:
    client = world.client(wanted=4)
    world.daemon.capture()
    client.read()
    proved(world.next_daemon())
    assert [name for name, _ in client.read() if name != "BUFFER"] == ["FRAME"]


def test_when_the_pool_is_lost_the_clients_stay_and_get_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.client()
    world.daemon.capture()
    client.read()
    world.daemon.die()
    monkeypatch.setattr(Daemon, "adopt", _refuse)
    world.daemon = client.daemon = Daemon(world.display, world.store, world.reactor)
    assert not world.daemon.goes_on
    assert world.daemon.is_started, "what was left attached is taken off"
    world.daemon.capture()
    names = dict(client.read())
    assert names["BUFFER"].generation == 2
    assert names["FRAME"].generation == 2
    assert "card" in world.store.fds


def test_clients_of_an_output_that_is_off_wait_on_with_the_next_daemon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.client()
    monkeypatch.setattr(FakeSource, "attach", _dark)
    world.daemon.source.refusals = 1
    world.daemon.capture()
    world.daemon.reactor.advance(1)
    client.read()
    daemon = world.next_daemon()
    assert [(name, body.word) for name, body in client.read()] == [("STATE", "output-off")]
    monkeypatch.undo()
    daemon.reactor.advance(1)
    daemon.capture()
    names = [name for name, _ in client.read()]
    assert names[0] == "STATE"
    assert "FRAME" in names


def _dark(source: FakeSource) -> Geometry:
    raise OutputOffError("X-1 is off")


def _refuse(daemon: Daemon, record: OutputRecord) -> Pool:
    raise CaptureLostError(f"{record.name} was taken off")


# -- what clients hold ------------------------------------------------------------------------


def known_to(daemon: Daemon, number: int) -> set[Slot]:
    """Return the buffers that a client was sent, by this daemon or a former one."""
    loans = daemon.hub.sessions[number].loans
    return set() if loans is None else set(loans.known)


def test_a_client_is_not_sent_a_buffer_twice(world: World) -> None:
    client = world.client(wanted=4)
    world.daemon.capture(2)
    for _, frame in [m for m in client.read() if m[0] == "FRAME"]:
        client.release(frame)
    known = known_to(world.daemon, 1)
    daemon = world.next_daemon()
    assert {slot.index for slot in known_to(daemon, 1)} == {s.index for s in known}


def test_a_held_frame_stays_held_and_its_release_returns_the_credit(world: World) -> None:
    client = world.client(wanted=1)
    world.daemon.capture()
    (frame,) = client.frames()
    daemon = world.next_daemon()
    daemon.reactor.advance(0.001)
    assert daemon.source.jobs == [], "nobody has a credit"
    client.release(frame)
    proved(daemon)
    (later,) = client.frames()
    assert later.sequence > frame.sequence
    assert not client.hung_up


def test_a_release_from_between_two_daemons_is_heard(world: World) -> None:
    client = world.client(wanted=1)
    world.daemon.capture()
    (frame,) = client.frames()
    body = protocol.Release(frame.sequence, frame.buffer, frame.generation)
    world.daemon.die()
    client.socket.send(protocol.RELEASE.pack(body, stream=STREAM))
    world.daemon = client.daemon = Daemon(world.display, world.store, world.reactor)
    world.reactor.advance(0.1)
    world.daemon.capture()
    assert len(client.frames()) == 1


def test_a_frame_that_is_not_released_within_a_lease_is_taken_back(world: World) -> None:
    client = world.client(wanted=1)
    world.daemon.capture()
    (frame,) = client.frames()
    daemon = world.next_daemon()
    daemon.reactor.advance(0.24)
    assert client.read() == []
    daemon.reactor.advance(0.02)
    assert [(name, body.sequence) for name, body in client.read()] == [("REVOKED", frame.sequence)]
    daemon.capture()
    assert len(client.frames()) == 1, "its credit is back"


def test_a_late_release_of_what_was_taken_back_is_no_mistake(world: World) -> None:
    client = world.client(wanted=1)
    world.daemon.capture()
    (frame,) = client.frames()
    world.next_daemon().reactor.advance(0.3)
    client.release(frame)
    assert "ERROR" not in [name for name, _ in client.read()]
    assert not client.hung_up


@pytest.mark.parametrize("sequence", [0, 10_000])
def test_a_release_of_what_never_was_is_a_mistake_still(world: World, sequence: int) -> None:
    client = world.client(wanted=1)
    world.daemon.capture()
    (frame,) = client.frames()
    world.next_daemon()
    client.release(frame._replace(sequence=sequence))
    assert "ERROR" in [name for name, _ in client.read()]


def test_a_frame_that_was_sent_but_not_yet_noted_counts_against_the_limit(world: World) -> None:
    client = world.client(wanted=2, frames=2)
    session = world.daemon.hub.sessions[1]
    world.daemon.capture()
    before = world.daemon.state.session(0).load()
    world.daemon.capture()
    assert [name for name, _ in client.read()][-1] == "ENDED"
    assert session.subscriptions == ()
    world.daemon.state.session(0).store(before)  # killed after the send
    world.next_daemon()
    assert [name for name, _ in client.read()] == ["ENDED"]


def test_a_limit_goes_on_where_it_was(world: World) -> None:
    client = world.client(wanted=4, frames=3)
    world.daemon.capture()
    client.read()
    daemon = world.next_daemon()
    proved(daemon)
    daemon.capture()
    assert [name for name, _ in client.read() if name != "BUFFER"] == ["FRAME", "FRAME", "ENDED"]


# -- clients ----------------------------------------------------------------------------------


def test_a_client_keeps_its_number_and_its_name(world: World) -> None:
    world.client()
    world.client()
    before = {n: (s.name, s.peer) for n, s in world.daemon.hub.sessions.items()}
    daemon = world.next_daemon()
    assert {n: (s.name, s.peer) for n, s in daemon.hub.sessions.items()} == before
    daemon.connect().socket.close()
    assert max(daemon.hub.sessions) == 3


def test_what_a_client_went_without_counts_from_the_restart(world: World) -> None:
    client = world.client()
    client.follow(5)
    daemon = world.next_daemon()
    proved(daemon)
    client.read()
    client.say(protocol.QUERY, protocol.AskQuery(protocol.Query.CLIENTS))
    ((_, status),) = [m for m in client.read() if m[0] == "CLIENT"]
    assert (status.sent, status.skipped) == (1, 0)


def test_a_paused_client_stays_paused(world: World) -> None:
    client = world.client()
    client.say(protocol.PAUSE, protocol.Pause(), STREAM)
    daemon = world.next_daemon()
    daemon.reactor.advance(0.1)
    assert daemon.source.jobs == []


def test_a_client_that_watches_goes_on_watching(world: World) -> None:
    client = world.daemon.connect()
    world.clients.append(client)
    client.say(protocol.WATCH, protocol.Watch(1))
    client.read()
    world.next_daemon()
    world.client()
    assert "EVENT" in [name for name, _ in client.read()]


def test_a_client_whose_hello_was_not_answered_to_the_end_is_answered(world: World) -> None:
    client = world.daemon.connect()
    world.clients.append(client)
    first = [name for name, _ in client.read()]
    session = world.daemon.hub.sessions[1]
    session.is_introduced = False
    world.daemon.keeper.changed(session)
    world.next_daemon()
    assert [name for name, _ in client.read()] == first


def test_a_client_that_hung_up_meanwhile_gives_everything_back(world: World) -> None:
    stays, goes = world.client(wanted=1), world.client(wanted=4)
    world.daemon.capture()
    world.daemon.die()
    goes.socket.close()
    world.clients.remove(goes)
    world.daemon = stays.daemon = Daemon(world.display, world.store, world.reactor)
    world.reactor.advance(0.01)
    assert list(world.daemon.hub.sessions) == [1]
    assert "client-2" not in world.store.fds
    world.reactor.advance(0.3)
    world.daemon.capture()
    pool = world.daemon.engine.pool
    assert pool is not None
    assert pool.count(SlotState.LENT) == 1, "what the other has got since"


def test_a_client_whose_socket_was_not_kept_is_forgotten(world: World) -> None:
    world.client()
    world.store.forget("client-1")
    daemon = world.next_daemon()
    assert daemon.hub.sessions == {}
    assert daemon.state.session(0).load() == b""


def test_a_client_that_nobody_goes_on_with_sees_the_end_before_the_manager_lets_go(
    world: World,
) -> None:
    client = world.client()
    world.daemon.state.session(0).clear()
    with world.store.fds["client-1"].duplicate():
        world.next_daemon()
        client.read()
        assert client.hung_up


def test_more_clients_than_the_manager_keeps_are_served_all_the_same(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.daemon.keeper._free = [0]
    kept, first, second = world.client(), world.client(), world.client()
    world.daemon.capture(2)
    assert all(client.frames() for client in (kept, first, second))
    assert capsys.readouterr().err.count("will notice a restart") == 1
    assert {name for name in world.store.fds if name.startswith("client")} == {"client-1"}


def test_clients_go_on_with_a_manager_that_keeps_fewer_than_before(world: World) -> None:
    world.daemon.keeper._free = [900]
    client = world.client(wanted=4)
    daemon = world.next_daemon()
    proved(daemon)
    assert len(client.frames()) == 1
    assert len(daemon.keeper._free) == 512 - 8 - 1


def test_a_place_is_free_again_when_its_client_has_left(world: World) -> None:
    client = world.client()
    client.say(protocol.GOODBYE, protocol.Goodbye())
    assert "client-1" not in world.store.fds
    assert world.daemon.state.session(0).load() == b""
    world.client()
    assert world.daemon.state.session(0).load() != b""


# -- the card ---------------------------------------------------------------------------------


def test_the_card_is_kept_while_it_is_attached(world: World) -> None:
    assert "card" not in world.store.fds
    client = world.client()
    assert "card" in world.store.fds
    client.say(protocol.GOODBYE, protocol.Goodbye())
    world.daemon.engine.detach()
    assert "card" not in world.store.fds
    assert world.daemon.state.output.load() == b""


def test_a_buffer_that_was_replaced_is_unknown_to_all(world: World) -> None:
    client = world.client()
    client.follow(1)
    (slot,) = known_to(world.daemon, 1)
    place = slot.place
    world.daemon.engine.taint([(slot.generation, slot.index)])
    client.follow(POOL)
    world.client()  # to whom the new buffer may be unknown
    daemon = world.next_daemon()
    pool = daemon.engine.pool
    assert pool is not None
    assert pool.slots[place].index == POOL
    assert pool.slots[place] not in known_to(daemon, 2)


# -- a state that makes no sense --------------------------------------------------------------


def overwrite(state: State, offset: int, data: bytes) -> None:
    os.pwrite(state.fileno(), data, offset)


def assert_next_daemon_serves(world: World) -> None:
    """The next daemon comes up, and who connects to it gets frames."""
    daemon = world.next_daemon()
    client = world.client(wanted=4)
    for _ in range(400):
        daemon.reactor.advance(0.001)
        if daemon.source.is_writing:
            daemon.capture()
        if client.frames():
            return
    raise AssertionError("no frame came")


MOST_WORD, MOST = (1 << 32) - 1, (1 << 64) - 1
ANY = st.sampled_from([0, 1, 1 << 47, 1 << 48, 1 << 63, MOST]) | st.integers(0, MOST)
WORD = st.sampled_from([0, 1, 1 << 31, MOST_WORD]) | st.integers(0, MOST_WORD)
"""Where fields end, and signs change; and between."""
fuzzed = settings(max_examples=15, deadline=None, derandomize=True)


@contextlib.contextmanager
def streaming() -> Iterator[World]:
    """A daemon with a client that has frames."""
    with contextlib.closing(World()) as world:
        client = world.client()
        client.follow(2)
        world.daemon.capture()
        yield world
        gc.collect()


@pytest.mark.slow
@fuzzed
@given(st.lists(ANY, min_size=5, max_size=5))
@example([MOST, 0, 0, 0, 0])
@example([9, 0, 0, 1 << 62, 1])
def test_no_counts_end_the_next_daemon(counts: list[int]) -> None:
    with streaming() as world:
        overwrite(world.daemon.state, 64, struct.pack("<5Q", *counts))
        assert_next_daemon_serves(world)


@pytest.mark.slow
@fuzzed
@given(st.integers(0, COLUMNS - 1), ANY)
def test_no_sequence_ends_the_next_daemon(place: int, sequence: int) -> None:
    with streaming() as world:
        overwrite(world.daemon.state, 128 + 8 * place, struct.pack("<Q", sequence))
        assert_next_daemon_serves(world)


@pytest.mark.slow
@fuzzed
@given(st.integers(64, SIZE), st.integers(64, SIZE), st.integers(0, 1 << 32))
@example(64, SIZE, 1)
def test_no_bytes_end_the_next_daemon(one: int, other: int, seed: int) -> None:
    begin, end = sorted((one, other))
    with streaming() as world:
        overwrite(world.daemon.state, begin, random.Random(seed).randbytes(end - begin))
        assert_next_daemon_serves(world)


@pytest.mark.slow
@fuzzed
@given(st.binary(min_size=COLUMNS, max_size=COLUMNS))
def test_no_marks_end_the_next_daemon(marks: bytes) -> None:
    with streaming() as world:
        world.daemon.state.marks(0)[:] = marks
        assert_next_daemon_serves(world)


@pytest.mark.slow
@fuzzed
@given(ANY, st.binary(min_size=SESSION_SIZE - 8, max_size=SESSION_SIZE - 8))
@example(MOST, bytes(SESSION_SIZE - 8))
@example(1, bytes([255]) * (SESSION_SIZE - 8))
def test_no_record_of_a_client_ends_the_next_daemon(number: int, rest: bytes) -> None:
    with streaming() as world:
        if number != 1:
            world.store.store(f"client-{number}", world.store.fds["client-1"])
        world.daemon.state.session(0).store(struct.pack("<Q", number) + rest)
        assert_next_daemon_serves(world)


@pytest.mark.slow
@fuzzed
@given(WORD, WORD, WORD, WORD, WORD)
@example(MOST_WORD, 1, 1, 1, 1)
@example(1, MOST_WORD, 1, 1, 1)
def test_no_record_of_an_output_ends_the_next_daemon(
    generation: int, buffer: int, width: int, height: int, refresh_mhz: int
) -> None:
    with streaming() as world:
        record = OutputRecord.unpack(world.daemon.state.output.load())
        slots = record.slots[0]._replace(buffer=buffer), *record.slots[1:]
        changed = record._replace(
            generation=generation, width=width, height=height, refresh_mhz=refresh_mhz, slots=slots
        )
        world.daemon.state.output.store(changed.pack())
        assert_next_daemon_serves(world)
