# SPDX-License-Identifier: MIT
"""Goes on where a former daemon stopped: counts, pool and clients, in this order."""

from __future__ import annotations

from capturectl.errors import CaptureError
from capturectl.typed import NamedTuple, Protocol
from captured import log
from captured.capture.engine import Statistics
from captured.handover.revival import Revival

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.engine import Engine
    from captured.capture.pool import Pool
    from captured.handover.estate import Estate
    from captured.handover.keeper import Keeper, Keepsake
    from captured.handover.records import OutputRecord
    from captured.handover.state import State
    from captured.server.hub import Hub
    from captured.server.stream import Stream


_SURE_FRAMES = 4
"""A job that was committed has ended after so many, if it ends at all."""
_SURE_NS = 50_000_000
"""But not sooner than this."""
_JOBS = 2
"""Commits that may not have ended when the former daemon did."""


class Output(Protocol):
    """What is captured."""

    stream: Stream

    def start(self) -> None:
        """Clean up after a daemon that nobody goes on from."""

    def keep(self) -> Keepsake | None:
        """Say what there is to keep; None when that is nothing."""

    def adopt(self, record: OutputRecord) -> Pool:
        """Go on with what was kept.

        Raises:
            CaptureError: That is not possible; the output is as if nothing had been kept.
            OSError: The same.
        """


class _Gap(NamedTuple):
    resume_ns: int
    """When the former daemon's jobs have ended."""
    frames: int
    """That were missed until then."""


def succeed(estate: Estate, output: Output, hub: Hub, keeper: Keeper) -> bool:
    """Take a former daemon's output and clients over.

    Returns:
        Whether the output goes on as well; otherwise its clients wait for a new pool.
    """
    state, engine = estate.state, output.stream.engine
    _resume(engine, state)
    pool = _adopt_pool(estate, output)
    revival = Revival(hub, output.stream, state, pool.slots if pool else ())
    if estate.output is not None:
        keeper.adopt_card(pool.slots if pool else ())
    if pool is None:
        keeper.detached()
        output.start()
    for row, record, sock in estate.take_clients():
        keeper.adopt(record.number, row)
        revival.revive(record, row, sock)
    gap = _measure(state, pool, revival.gap_ns, hub.reactor.now_ns())
    engine.note_missed(gap.frames)
    if pool is not None:
        _hold_unfinished(engine, pool, state)
        engine.adopt(pool, gap.resume_ns)
    revival.finish()
    log.info(
        "going on with %d clients after %d frames%s",
        len(hub.sessions), gap.frames, "" if pool else ", and a new pool",
    )  # fmt: skip
    return pool is not None


def _adopt_pool(estate: Estate, output: Output) -> Pool | None:
    if estate.output is None:
        return None
    try:
        return output.adopt(estate.output)
    except CaptureError as error:
        log.warning("%s is attached anew: %s", estate.output.name, error)
    except OSError as error:
        log.warning("%s is attached anew: %s", estate.output.name, error.strerror)
    return None


def _measure(state: State, pool: Pool | None, gap_ns: int, now_ns: int) -> _Gap:
    """Say how many frames the subscribers went without."""
    committed_ns = min(state.counts.time_commit_ns, now_ns)
    if pool is None or not pool.geometry.refresh_mhz or not committed_ns:
        return _Gap(now_ns, 0)
    frame_ns = 10**12 // pool.geometry.refresh_mhz
    resume_ns = max(now_ns, committed_ns + max(_SURE_NS, _SURE_FRAMES * frame_ns))
    if gap_ns < 0:
        return _Gap(resume_ns, 0)  # nobody was waiting
    return _Gap(resume_ns, max(0, (resume_ns - committed_ns) // max(frame_ns, gap_ns)))


def _resume(engine: Engine, state: State) -> None:
    counts = state.counts
    done = Statistics(counts.captured, counts.missed, 0, 0, 1)
    engine.resume(done, state.last_number, counts.generation)


def _hold_unfinished(engine: Engine, pool: Pool, state: State) -> None:
    """Hold what was committed last: it may still be written to."""
    before = max(0, state.last_number - _JOBS)
    for slot in pool.slots:
        if state.sequence_of(slot.place) > before:
            engine.hold(slot)
