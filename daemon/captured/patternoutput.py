# SPDX-License-Identifier: MIT
"""The test picture as an output; of the room that knows cards it needs nothing."""

from __future__ import annotations

from capturectl.errors import CaptureLostError
from captured import log
from captured.capture.engine import Engine, Settings
from captured.capture.pacing import Policy
from captured.capture.pattern import PatternSource, parse_geometry
from captured.server.stream import OutputLook, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from captured.capture.pool import Pool
    from captured.config import Config
    from captured.handover.keeper import Keepsake
    from captured.handover.records import OutputRecord
    from captured.reactor import Reactor


_NAME = "Pattern-1"


class PatternOutput:
    """The test picture, as an output. Open until `close()`; owns its engine."""

    def __init__(self, stream_id: int, settings: Config, reactor: Reactor) -> None:
        """Build it.

        Raises:
            UsageError: The setting is no geometry.
        """
        self.driver = "pattern"
        self._geometry = parse_geometry(settings.pattern)
        source = PatternSource(self._geometry)
        self._engine = Engine(
            _NAME, source, reactor, Settings(settings.buffers, settings.linger), Policy()
        )
        self.stream = Stream(
            stream_id, self._engine, source.kind, "", self.look, lambda: self._geometry.fourcc
        )

    def start(self) -> None:
        """Nothing is in its way."""
        log.info("pattern: %dx%d, no display involved", *self._geometry[:2])

    def look(self) -> OutputLook:
        """Say how it is, which is always the same."""
        geometry = self._geometry
        return OutputLook(_NAME, 0, 0, "", geometry, (geometry.fourcc,), None)

    def summary(self) -> str:
        """Say in a few words what is captured."""
        return f"pattern {self._geometry}"

    def keep(self) -> Keepsake | None:
        """Nothing: its memory can be mapped for drawing only once."""
        return None

    def adopt(self, record: OutputRecord) -> Pool:
        """Refuse; nothing was kept."""
        raise CaptureLostError(f"{record.name} is another output")

    def hand_over(self) -> None:
        """End it: the next daemon makes its own."""
        self._engine.close()

    def close(self) -> None:
        """End it. Twice is fine."""
        self._engine.close()
