# SPDX-License-Identifier: MIT
"""How engines and clients are doing, for who asks: ENGINE and CLIENT."""

from __future__ import annotations

from capturectl import protocol
from capturectl.wire_errors import words_of
from captured.capture.pool import SlotState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from captured.capture.engine import Engine
    from captured.server.session import Session
    from captured.server.stream import Stream
    from captured.server.subscription import Subscription


def of_engine(stream: Stream, now_ns: int, serial: int) -> bytes:
    """Return the ENGINE of an output."""
    status = _engine_status(stream.engine, now_ns)
    return protocol.ENGINE.pack(status, serial=serial, stream=stream.stream_id)


def _engine_state(engine: Engine) -> protocol.EngineState:
    if engine.problem is not None:
        return protocol.EngineState.SUSPENDED
    if engine.pool is None:
        return protocol.EngineState.IDLE
    if engine.is_doubted:
        return protocol.EngineState.DOUBTED
    if engine.subscriber_count:
        return protocol.EngineState.CAPTURING
    return protocol.EngineState.LINGERING


def _engine_status(engine: Engine, now_ns: int) -> protocol.EngineStatus:
    counts, pool, error = engine.statistics(), engine.pool, engine.last_error
    taken, sent = engine.timings.commit_to_fence(), engine.timings.fence_to_sent()
    engine.retired.reap()
    words = words_of(error)
    return protocol.EngineStatus(
        state=_engine_state(engine),
        subscribers=engine.subscriber_count,
        **counts._asdict(),
        time_ns=now_ns,
        time_error_ns=engine.last_error_ns,
        pool_bytes=pool.bytes if pool else 0,
        retired_bytes=engine.retired.size,
        generation=pool.generation if pool else 0,
        buffers=len(pool) if pool else 0,
        buffers_free=pool.count(SlotState.FREE) if pool else 0,
        buffers_lent=pool.count(SlotState.LENT) if pool else 0,
        buffers_quarantined=pool.count(SlotState.QUARANTINED) if pool else 0,
        fps_millihertz=engine.timings.fps_millihertz(now_ns),
        commit_to_fence_p50_us=taken.p50 // 1000,
        commit_to_fence_p99_us=taken.p99 // 1000,
        fence_to_sent_p50_us=max(0, sent.p50) // 1000,
        fence_to_sent_p99_us=max(0, sent.p99) // 1000,
        word=words["code"],
        reason=words["reason"],
        hint=words["hint"],
    )


def of_client(session: Session, serial: int) -> Iterator[bytes]:
    """Yield a CLIENT for each subscription, or one for a client without any."""
    if not session.is_greeted:
        return
    for subscription in session.subscriptions or (None,):
        body = _client_status(session, subscription)
        stream_id = subscription.stream.stream_id if subscription else 0
        yield protocol.CLIENT.pack(body, serial=serial, stream=stream_id)


def _client_status(session: Session, subscription: Subscription | None) -> protocol.ClientStatus:
    return protocol.ClientStatus(
        session.number,
        session.time_connected_ns,
        subscription.sent if subscription else 0,
        subscription.skipped if subscription else 0,
        session.revoked,
        session.peer.pid,
        session.peer.uid,
        session.peer.gid,
        subscription.credits if subscription else 0,
        _held_by(session, subscription),
        subscription.request.max_fps_millihertz if subscription else 0,
        subscription.flags if subscription else 0,
        session.name,
    )


def _held_by(session: Session, subscription: Subscription | None) -> int:
    loans = session.loans
    if loans is None:
        return 0
    return loans.held_by(subscription) if subscription else len(loans.lent)
