# SPDX-License-Identifier: MIT
"""Which card there is to capture with."""

from __future__ import annotations

from capturectl.errors import CaptureError, CaptureUnsupportedError, NotAllowedError
from captured.drm.card import Card, card_paths
from captured.drm.resources import read_resources
from captured.drm.route import no_writeback


def no_card() -> CaptureUnsupportedError:
    """Return the error for a machine without a card."""
    return CaptureUnsupportedError(
        "there is no card under /dev/dri", "load the display driver of this machine",
        code="no-card",
    )  # fmt: skip


def open_card(path: str) -> Card:
    """Open a card that can capture.

    Args:
        path: Its primary node; empty takes the first that has a writeback connector.

    Raises:
        CaptureUnsupportedError: no-card, no-writeback, or no atomic modesetting.
        NotAllowedError: The card may not be opened.
    """
    if path:
        return _with_capabilities(Card.open(path))
    paths = card_paths()
    if not paths:
        raise no_card()
    errors: list[CaptureError] = []
    for candidate in paths:
        try:
            return _with_capabilities(Card.open(candidate))
        except CaptureError as error:
            errors.append(error)
        except OSError as error:
            # Kernel: a firmware's card goes while the display's driver comes (drm_drv.c,
            # drm_dev_unplug, ENODEV); it must not stand in the other's way.
            errors.append(_unusable(candidate, error))
    raise _no_usable_card(errors)


def _unusable(path: str, error: OSError) -> CaptureError:
    unusable = CaptureUnsupportedError(
        f"{path} cannot be used ({error.strerror})", "choose another --card", code="no-card"
    )
    unusable.__cause__ = error
    return unusable


def _no_usable_card(errors: list[CaptureError]) -> CaptureError:
    if len(errors) == 1:
        return errors[0]
    for error in errors:
        if isinstance(error, NotAllowedError):
            return error
    return CaptureUnsupportedError(
        f"none of the {len(errors)} cards has a writeback connector",
        "; ".join(error.reason for error in errors),
        code="no-writeback",
    )


def _with_capabilities(card: Card) -> Card:
    try:
        card.enable_client_capabilities()
        if not read_resources(card).writeback_connectors():
            raise no_writeback(card.path)
    except BaseException:
        card.close()
        raise
    return card
