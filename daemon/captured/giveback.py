# SPDX-License-Identifier: MIT
"""Gives a display back where no daemon is going to: the last one could not, or the next cannot."""

from __future__ import annotations

import contextlib

from capturectl.fourcc import fourcc_name
from captured import log, notify
from captured.config import Config
from captured.main import build_daemon
from captured.output import WritebackOutput
from captured.reactor import Reactor
from captured.service import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.handover.records import OutputRecord


def clean_up(settings: Config) -> int:
    """Take off what was left attached, as every start does, and no more; return 0.

    Raises:
        CaptureError: There is nothing to capture with, so nothing that could be given back.
        OSError: The card does not answer.
    """
    if settings.pattern or settings.share:
        return 0
    with Reactor() as reactor:
        output = WritebackOutput(0, settings._replace(missing="end"), reactor)
        try:
            output.open()
            output.give_back()
        finally:
            output.close()
    return 0


def give_back_kept() -> None:
    """End what a former daemon left with the service manager: clients, pool, display.

    For a daemon that cannot start. It goes on as it would have, with what that one captured for
    settings, and ends at once. What goes wrong is logged: there is an error to end with already.
    """
    try:
        with contextlib.closing(Service(notify.receive())) as service:
            if service.estate is None:
                return
            if service.estate.output is not None:
                _go_on_and_end(service, _settings_of(service.estate.output))
            else:
                service.estate.say_bye()
    except Exception:
        log.exception("the display stays as the former daemon left it")


def _settings_of(kept: OutputRecord) -> Config:
    return Config(
        card=kept.card, output=kept.name, format=fourcc_name(kept.fourcc),
        buffers=len(kept.slots), missing="end",
    )  # fmt: skip


def _go_on_and_end(service: Service, settings: Config) -> None:
    with Reactor() as reactor:
        daemon = build_daemon(settings, reactor, service)
        try:
            daemon.go_on()
        finally:
            daemon.close()
