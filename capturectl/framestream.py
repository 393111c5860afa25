# SPDX-License-Identifier: MIT
"""The frames of a subscription, one a step; over the end of a daemon, if that is asked for."""

from __future__ import annotations

import contextlib
import math
import time

from capturectl.errors import (
    CaptureClosedError,
    CaptureError,
    CaptureLostError,
    CaptureTimeoutError,
)
from capturectl.reach import Comeback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from capturectl import protocol
    from capturectl.client import Client
    from capturectl.conversation import Conversation
    from capturectl.frame import Frame
    from capturectl.output import Output

_SHORTEST_ATTEMPT_S = 0.1
"""What a daemon that is back has for its answer, however short the steps of a stream are."""


class FrameStream:
    """Frames of one output, one a step. Open until `close()`; a context manager.

    Ownership: borrows the client. The frame of a step is given back by the next one; a frame
    to keep longer is one of the credits. Made by `Client.stream`; it uses what is private there.
    """

    def __init__(
        self,
        client: Client,
        output: Output,
        request: protocol.Subscribe,
        timeout: float | None,
        *,
        reconnect: bool,
    ) -> None:
        self._client: Client | None = client
        self._output = output
        self._request = request
        self._timeout = math.inf if timeout is None else timeout
        self._reconnects = reconnect
        self._comeback = Comeback()
        self._is_paused = False
        self._frame: Frame | None = None

    @property
    def output(self) -> Output:
        """The output, as the daemon described it last."""
        if self._client is not None:
            for output in self._client.outputs():
                if output.stream == self._output.stream:
                    return output
        return self._output

    @property
    def problem(self) -> CaptureError | None:
        """Why no frames come at the moment, as of the last message; None when nothing is wrong.

        The output may be off, or has lost a capture; with `reconnect` the daemon may be away.
        Frames come again by themselves.
        """
        if self._client is None:
            return None
        return self._comeback.error or self._client._talk.problem(self._output)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        """Give the last frame back and return the next.

        Raises:
            StopIteration: The stream was closed.
            CaptureTimeoutError: None came in time; the stream goes on. `problem` may say why.
            CaptureLostError: The daemon or the output went away; with `reconnect`, for good.
        """
        client = self._client
        if client is None:
            raise StopIteration
        if self._frame is not None:
            self._frame.release()
            self._frame = None
        deadline = time.monotonic() + self._timeout
        while True:
            self._wait_to_begin_again(deadline)
            try:
                self._begin_again(client, deadline)
                self._frame = client._await_frame(self._output, deadline)
            except CaptureError as error:
                self._require_comeback(error, deadline)
                self._comeback.after(error)
            else:
                self._comeback.frame_came()
                return self._frame

    def _wait_to_begin_again(self, deadline: float) -> None:
        if self._comeback.error is None:
            return
        pause, left = self._comeback.seconds(), deadline - time.monotonic()
        time.sleep(max(0.0, min(pause, left)))
        if pause > left:
            raise CaptureTimeoutError(
                f"no sign of a frame of {self._output.name} in time", "see the daemon's log"
            ) from self._comeback.error

    def _begin_again(self, client: Client, deadline: float) -> None:
        if self._comeback.error is None:
            return
        if client._is_lost:
            left = deadline - time.monotonic()
            client._reconnect(min(client._timeout, max(left, _SHORTEST_ATTEMPT_S)))
        elif self._comeback.wants_news:
            client.refresh()
        self._output = client.output(self._output.name)
        client._subscribe(self._output, self._request)
        self._comeback.has_begun()
        if self._is_paused:
            self.pause()

    def _require_comeback(self, error: CaptureError, deadline: float) -> None:
        """Raise an error after which the stream does not begin again, or not in this step."""
        is_late = isinstance(error, CaptureTimeoutError) and time.monotonic() >= deadline
        if is_late or not self._reconnects or not self._comeback.may_follow(error):
            raise error

    def pause(self) -> None:
        """Ask for no frames for a while; the subscription stays."""
        self._is_paused = True
        self._tell(lambda talk: talk.pause(self._output))

    def resume(self) -> None:
        """Ask for frames again."""
        self._is_paused = False
        self._tell(lambda talk: talk.resume(self._output))

    def _tell(self, say: Callable[[Conversation], None]) -> None:
        client = self._client
        if client is None:
            raise CaptureClosedError(f"the stream of {self._output.name} is closed")
        if self._comeback.error is None:
            client._told(lambda: say(client._talk))

    def close(self) -> None:
        """Give the last frame back and unsubscribe. Twice is fine."""
        client, self._client = self._client, None
        if client is None:
            return
        if self._frame is not None:
            self._frame.release()
        with contextlib.suppress(CaptureLostError, CaptureClosedError):
            client._talk.unsubscribe(self._output, self._request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
