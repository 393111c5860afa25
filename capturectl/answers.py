# SPDX-License-Identifier: MIT
"""Questions to the daemon and what has come of their answers, by serial."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from capturectl.errors import CaptureError

    Rows = list[tuple[int, Any]]
    """(stream, structure) of each."""


class _Answer:
    """What has come of one answer."""

    def __init__(self) -> None:
        self.rows: Rows = []
        self.error: CaptureError | None = None
        self.is_complete = False
        self.is_awaited = True


class Answers:
    """The questions that were asked and whose answers are still to come, or to be taken."""

    def __init__(self) -> None:
        self._answers: dict[int, _Answer] = {}

    def expect(self, serial: int) -> int:
        """Note a question; return its serial."""
        self._answers[serial] = _Answer()
        return serial

    def take(self, serial: int) -> Rows | None:
        """Return an answer that is complete, once; None while it is coming.

        Raises:
            CaptureError: The daemon refused it.
        """
        answer = self._answers[serial]
        if not answer.is_complete:
            return None
        del self._answers[serial]
        if answer.error is not None:
            raise answer.error
        return answer.rows

    def forget(self, serial: int) -> None:
        """Wait for an answer no more, if one did; it goes when it has come."""
        if (answer := self._answers.get(serial)) is not None:
            answer.is_awaited = False
            self._drop_if_done(serial, answer)

    def add(self, serial: int, stream: int, row: Any) -> None:  # noqa: ANN401 - of any message
        """Add what came; nothing for a question that nobody asked, or waits for."""
        answer = self._answers.get(serial)
        if answer is not None and answer.is_awaited:
            answer.rows.append((stream, row))

    def complete(self, serial: int, error: CaptureError | None = None) -> bool:
        """Note the end of an answer, or its refusal; return whether there was such a question."""
        answer = self._answers.get(serial)
        if answer is None:
            return False
        answer.error, answer.is_complete = error, True
        self._drop_if_done(serial, answer)
        return True

    def _drop_if_done(self, serial: int, answer: _Answer) -> None:
        if answer.is_complete and not answer.is_awaited:
            del self._answers[serial]

    def __len__(self) -> int:
        return len(self._answers)
