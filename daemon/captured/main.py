# SPDX-License-Identifier: MIT
"""Builds the daemon from its parts and runs it."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys

from capturectl import protocol
from capturectl.errors import CaptureBusyError, CaptureError
from capturectl.version import VERSION
from capturectl.wire_errors import to_message
from captured import config, log, notify
from captured.reactor import Reactor
from captured.reload import Reloader
from captured.server.access import Access, parse_rules
from captured.server.hub import Hub
from captured.server.limits import ClientLimits
from captured.server.listener import Listener
from captured.server.session import Session
from captured.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from capturectl.transport import Transport
    from captured.drm.card import Card
    from captured.handover.estate import Estate
    from captured.output import WritebackOutput
    from captured.patternoutput import PatternOutput
    from captured.server.peer import Peer


_STREAM = 1
_PROVEN_NS = 10_000_000_000
"""A daemon that has run for so long can go on with what there is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; return its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    task, path, options = _read(given) if given else ("", None, {})
    try:
        if task:
            return _do(task, path, options)
        settings = _load(path, options)
        log.begin(settings.log)
        return _run(settings, path, options)
    except CaptureError as error:
        sys.stderr.write(f"captured: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"captured: {error.filename or 'system'}: {error.strerror}\n")
        return 1


def _read(arguments: Sequence[str]) -> tuple[str, str | None, dict[str, Any]]:
    from captured.commandline import read  # argparse is not for a service, which has a file

    return read(arguments)


def _do(task: str, path: str | None, options: Mapping[str, Any]) -> int:
    from captured.tasks import do  # what no daemon needs

    _hear_sigterm()
    return do(task, path, options)


def _load(path: str | None, options: Mapping[str, Any]) -> config.Config:
    """Read the settings; where they are wrong, what a former daemon left is given back."""
    try:
        return config.load(path, options).config
    except CaptureError:
        from captured.giveback import give_back_kept

        give_back_kept()
        raise


def _hear_sigterm() -> None:
    """Let SIGTERM through: the launcher blocks it until somebody knows what to do then."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _run(settings: config.Config, path: str | None, options: Mapping[str, Any]) -> int:
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(contextlib.closing(Service(notify.receive())))
        reactor = stack.enter_context(Reactor())
        daemon = build_daemon(settings, reactor, service)
        try:
            reactor.handle_signals((signal.SIGTERM, signal.SIGINT), daemon.asked_to_end)
            _hear_sigterm()
            reloader = Reloader(path, options, settings, daemon.apply)
            reactor.handle_signals((signal.SIGHUP,), lambda _: reloader.reload())
            # What exists by now stays. A collection in the middle of a stream costs frames;
            # the hub collects when an output is let go of.
            if not daemon.start():
                gc.collect()
            gc.freeze()
            gc.disable()
            status = _turn(reactor, service, daemon)
        finally:
            daemon.close()
        if daemon.is_restarting:
            sys.stderr.flush()
            os._exit(0)  # the interpreter's own end would cost some frames
    return status


def _turn(reactor: Reactor, service: Service, daemon: Daemon) -> int:
    """Run the loop to its end; return the exit status.

    A mistake of ours is left to the next daemon with everything else, as SIGKILL leaves it. Where
    this one has made it at once, that may be for what it was left: clients are told then, and the
    next one begins afresh. They are told as well where it was to end: after a stop there is none.
    """
    begun_ns = reactor.now_ns()
    try:
        reactor.run()
    except Exception:
        is_proven = reactor.now_ns() - begun_ns >= _PROVEN_NS
        is_left = service.is_kept and is_proven and not daemon.is_ending
        log.exception("ended by a mistake; %s", "the next goes on" if is_left else "all is let go")
        if is_left:
            sys.stderr.flush()
            os._exit(1)
        daemon.is_restarting = False
        return 1
    return 0


def build_daemon(settings: config.Config, reactor: Reactor, service: Service) -> Daemon:
    """Build all that the settings name; nothing is touched and nobody is served yet."""
    with contextlib.ExitStack() as undo:
        output = undo.enter_context(contextlib.closing(_build_output(settings, reactor, service)))
        daemon = Daemon(output, settings, reactor, service)
        undo.pop_all()
    return daemon


def _build_output(
    settings: config.Config, reactor: Reactor, service: Service
) -> WritebackOutput | PatternOutput:
    """Build what the settings name; only what that needs is loaded."""
    if settings.pattern:
        from captured.patternoutput import PatternOutput

        return PatternOutput(_STREAM, settings, reactor)
    if service.notifier and not settings.missing:
        settings = settings._replace(missing="wait")
    from captured.output import WritebackOutput

    output = WritebackOutput(_STREAM, settings, reactor)
    try:
        output.open(_kept_card(settings, service.estate))
    except BaseException:
        output.close()
        raise
    return output


def _kept_card(settings: config.Config, estate: Estate | None) -> Card | None:
    """Return the card that a former daemon left attached, if it is the one that is wanted."""
    if estate is None or estate.output is None:
        return None
    path = estate.output.card
    if settings.share or settings.card not in {"", path}:
        estate.drop_output()
        return None
    from captured.drm.card import Card

    return Card(estate.take_card(), path, is_kept=True)


class Daemon:
    """The parts of a running daemon. Open until `close()`; owns the output, borrows the loop."""

    def __init__(
        self,
        output: WritebackOutput | PatternOutput,
        settings: config.Config,
        reactor: Reactor,
        service: Service,
    ) -> None:
        """Build it; nothing is touched and nobody is served yet."""
        self._settings = settings
        self._reactor = reactor
        self._service = service
        self._instance = service.instance
        self.is_ending = False
        """Whether it has been told to end, by a stop or a restart."""
        self.is_restarting = False
        """Whether another daemon goes on; set when this one has been told to end."""
        self._listener: Listener | None = None
        self._limits = ClientLimits.from_rlimit(settings.buffers, settings.quota)
        self._output = output
        self._hub = Hub(reactor, {_STREAM: output.stream}, self._welcome)
        self._hub.set_access(Access(parse_rules(settings.allow)))

    def start(self) -> bool:
        """Go on where a former daemon stopped, or clean up after it, and listen.

        Returns:
            Whether clients of the former daemon wait for frames.

        Raises:
            CaptureError: The socket cannot be made.
        """
        is_awaited = self.go_on()
        inherited = self._service.take_socket()
        self._listener = Listener(
            self._settings.socket, self._reactor, self._accept, self._settings.group, inherited
        )
        log.info("ready on %s", self._settings.socket, code="ready")
        self._service.ready(self._reactor, self._hub, self._describe)
        return is_awaited

    def go_on(self) -> bool:
        """Go on where a former daemon stopped, or clean up after it; nobody is served yet.

        Returns:
            Whether clients of the former daemon wait for frames.
        """
        return self._service.begin(self._output, self._hub)

    def apply(self, settings: config.Config) -> None:
        """Change what can change while the daemon runs: see `Setting.is_live`.

        Raises:
            UsageError: Somebody who is allowed something is not there any more.
        """
        access = Access(parse_rules(settings.allow))  # it may fail; nothing has changed then
        log.begin(settings.log)
        self._limits = ClientLimits.from_rlimit(settings.buffers, settings.quota)
        self._hub.set_access(access)
        for stream in self._hub.streams.values():
            stream.engine.set_linger(settings.linger)

    def asked_to_end(self, number: int) -> None:
        """End at a signal; asked twice, do not ask the service manager what it is for."""
        if self.is_ending:
            self._reactor.stop()
            return
        self.is_ending = True
        self._service.ask_whether_restart(self._reactor, self._end)

    def _end(self, is_restart: bool) -> None:
        self.is_restarting = is_restart
        self._reactor.stop()

    def close(self) -> None:
        """Say goodbye to every client, give the displays back, stop listening.

        Before a restart, nothing but the last: clients and displays are the next daemon's.
        """
        if self.is_restarting:
            log.info("leaving %d clients to the next daemon", len(self._hub.sessions))
            self._output.hand_over()
            if self._listener is not None:
                self._listener.close()
            return
        with contextlib.ExitStack() as last:  # whatever fails, the displays are given back
            last.callback(self._service.forget)
            last.callback(self._output.close)
            last.callback(self._hub.say_bye, protocol.ByeReason.SHUTDOWN)
            if self._listener is not None:
                self._listener.close()

    def _accept(self, transport: Transport, peer: Peer) -> None:
        if (reason := self._limits.refuse(peer.uid, self._hub.uids())) != "":
            log.warning("%s refused: %s", peer, reason, code="refused")
            error = CaptureBusyError(reason, "close some, or try again later", code="capacity")
            with contextlib.suppress(OSError, CaptureError):
                transport.send(protocol.ERROR.pack(to_message(error, fatal=True)))
            transport.hang_up()
            return
        Session(transport, peer, self._hub)

    def _describe(self) -> str:
        missed = sum(s.engine.statistics().missed for s in self._hub.streams.values())
        return f"{self._output.summary()}, {len(self._hub.sessions)} clients, {missed} missed"

    def _capabilities(self) -> protocol.Capability:
        has_fences = any(stream.has_fences for stream in self._hub.streams.values())
        early = protocol.Capability.EARLY if has_fences else protocol.Capability(0)
        return protocol.Capability.WATCH | early

    def _welcome(self) -> protocol.Welcome:
        return protocol.Welcome(
            protocol.VERSION_MAX,
            len(self._hub.streams),
            self._capabilities(),
            self._instance,
            protocol.MAX_CREDITS,
            protocol.LEASE_MS,
            self._output.driver,
            VERSION,
        )
