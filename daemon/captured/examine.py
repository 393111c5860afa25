# SPDX-License-Identifier: MIT
"""`captured --examine`: what there is to capture with, as JSON; no daemon is started.

Facts only: `capturectl doctor` judges them. Exit status 0 also when nothing can be captured.
"""

from __future__ import annotations

import json
import sys

from capturectl.errors import CaptureError
from capturectl.version import VERSION
from captured import config
from captured.capture.pacing import policy_of
from captured.capture.quirks import quirks_of
from captured.drm.card import card_paths
from captured.drm.survey import survey
from captured.drm.writeback import Wishes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SCHEMA = "captured/1/examination"


def examine(path: str | None, overrides: Mapping[str, Any]) -> int:
    """Print what was seen; return 0.

    Args:
        path: The settings' file, as for the daemon.
        overrides: Settings from the command line.
    """
    settings, problem = _settings(path, overrides)
    wishes = Wishes(settings.output, settings.fourcc, settings.modeset)
    paths = card_paths()
    if settings.card and settings.card not in paths:
        paths.append(settings.card)
    facts = {
        "schema": SCHEMA,
        "version": VERSION,
        "settings": settings._asdict() | {"error": problem},
        "cards": [_with_knowledge(survey(card, wishes, settings.share)) for card in paths],
    }
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


def _settings(
    path: str | None, overrides: Mapping[str, Any]
) -> tuple[config.Config, dict[str, Any] | None]:
    """Return the daemon's settings, or those built in and what is wrong with the others."""
    try:
        # Whether there is the group, whoever judges finds out, and says more of it.
        return config.read(path, overrides).config, None
    except CaptureError as error:
        # A file for the daemon alone is no mistake.
        is_secret = isinstance(error.__cause__, PermissionError)
        return config.Config(), error.as_dict() | {"is_secret": is_secret}


def _with_knowledge(card: dict[str, Any]) -> dict[str, Any]:
    """Add what is known of the driver beside what the card says."""
    driver = card.get("driver", {}).get("name", "")
    policy = policy_of(driver)
    return card | {
        "quirks": [quirk._asdict() for quirk in quirks_of(driver)],
        "pacing": {"settle_s": policy.settle_s, "pace": policy.pace.value},
    }
