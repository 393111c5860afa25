# SPDX-License-Identifier: MIT
"""Reading the settings again, in a daemon that runs."""

from __future__ import annotations

from capturectl.errors import CaptureError
from captured import config, log
from captured.settings import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from captured.config import Config


class Reloader:
    """Knows where the settings came from, and takes what can change from there again."""

    def __init__(
        self,
        path: str | None,
        overrides: Mapping[str, Any],
        current: Config,
        apply: Callable[[Config], None],
    ) -> None:
        """Remember how the settings were loaded.

        Args:
            path: As for `config.load`.
            overrides: The same; the command line stays on top.
            current: What the daemon runs with.
            apply: Takes settings of which only live ones differ from the current; a CaptureError
                leaves them as they are.
        """
        self._path = path
        self._overrides = overrides
        self._apply = apply
        self.current = current

    def reload(self) -> None:
        """Read the settings; those that are wrong leave everything as it is. Never raises."""
        try:
            self._reload()
        except CaptureError as error:
            log.error("the settings stay as they are: %s", error, code="reload-refused")
        except Exception:  # clients are served all the same
            log.exception("the settings stay as they are")

    def _reload(self) -> None:
        wanted = config.load(self._path, self._overrides).config
        changed = _changed(self.current, wanted)
        live = {name: value for name, value in changed.items() if SETTINGS[name].is_live}
        self._apply(self.current._replace(**live))
        self.current = self.current._replace(**live)
        log.info("settings read; changed: %s", ", ".join(live) or "none", code="reloaded")
        if waiting := [name for name in changed if name not in live]:
            log.warning("needs a restart to change: %s", ", ".join(waiting), code="restart-needed")


def _changed(current: Config, wanted: Config) -> dict[str, Any]:
    return {
        name: value for name, value in wanted._asdict().items() if value != getattr(current, name)
    }
