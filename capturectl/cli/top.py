# SPDX-License-Identifier: MIT
"""capturectl top: rates and buffers, again and again."""

from __future__ import annotations

import itertools
import sys
import time

from capturectl.cli.options import add_json, count, refusal, socket_of
from capturectl.cli.output import forget_stdout, print_json, require_stdout
from capturectl.cli.sample import Sample, as_json, as_lines, read_sample
from capturectl.cli.table import clip, columns, counted, printable
from capturectl.client import connect
from capturectl.errors import CaptureError
from capturectl.reach import may_come_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Self

    from capturectl.cli.screen import Screen
    from capturectl.client import Client

ABOUT = """\
In a terminal the tables are drawn anew each time; q or Ctrl-C leaves. Elsewhere, and with -b,
they are printed one below the other.

  FPS           pictures in the last second; of a client, frames that it was sent
  MISSED, LOST  captures that the source did not deliver; those whose fence never ended
  POOL          buffers in use, of all
  COMMIT-FENCE  from asking for a picture to its last write, milliseconds: median/slowest in 100
  FENCE-SENT    from then until every client was told
  SKIPPED/S     frames a second that a client went without: its limit, no credit, did not read
"""
EXAMPLES = ("capturectl top", "capturectl top -b -n 10 -d 5 >> log", "capturectl top --json -n 2")

_PATIENCE_S = 2.0
"""For an answer: nobody wants to look at a table that stands still for longer."""
_SHORTEST_DELAY_S = 0.1
_MANY = 10_000
"""Rows of a terminal that scrolls."""

TERMINAL = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `top` takes."""
    parser.add_argument(
        "-b", "--batch", action="store_true", help="print plain lines, also in a terminal"
    )
    parser.add_argument(
        "-n", "--iterations", type=count, metavar="N", help="end after N times (default: never)"
    )
    parser.add_argument(
        "-d", "--delay", type=_delay, default=1.0, metavar="SEC",
        help="seconds from one time to the next (default: %(default)g)",
    )  # fmt: skip
    add_json(parser)


def _delay(text: str) -> float:
    value = float(text)
    if not value >= _SHORTEST_DELAY_S:  # nor NaN
        raise refusal(f"{text} is less than {_SHORTEST_DELAY_S:g}")
    return min(value, 10.0**6)


def run(options: argparse.Namespace) -> int:
    """Show the tables until somebody leaves; return 0."""
    from capturectl.cli.screen import is_possible

    try:
        if options.batch or options.json or not is_possible():
            _print_all(options)
        else:
            _draw_all(options)
    except KeyboardInterrupt:
        pass  # how one leaves it
    except BrokenPipeError:
        forget_stdout()  # whoever reads has seen enough
    return 0


# -- one below the other ----------------------------------------------------------------------


def _print_all(options: argparse.Namespace) -> None:
    require_stdout()
    before: Sample | None = None
    with connect(socket_of(options)) as client:
        due = time.monotonic()
        for number in _turns(options.iterations):
            if number:
                due = max(due + options.delay, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
            now = read_sample(client)
            if options.json:
                print_json(as_json(now, before), "top")
            else:
                print("\n".join(as_lines(now, before, None)), end="\n\n")
            sys.stdout.flush()
            before = now


def _turns(iterations: int | None) -> Iterable[int]:
    return itertools.count() if iterations is None else range(iterations)


# -- drawn anew -------------------------------------------------------------------------------


class _Link:
    """A connection that is made anew when the daemon has gone and come back."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._client: Client | None = connect(path, timeout=_PATIENCE_S)

    def read(self) -> Sample | CaptureError:
        """Return how things are, or why the daemon does not say."""
        try:
            if self._client is None:
                self._client = connect(self._path, timeout=_PATIENCE_S)
            return read_sample(self._client)
        except CaptureError as error:
            self.close()
            if not may_come_back(error):
                raise
            return error

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _View:
    """What is on the screen."""

    def __init__(self) -> None:
        self._now: Sample | CaptureError | None = None
        self._before: Sample | None = None

    def take(self, now: Sample | CaptureError) -> None:
        self._before = self._now if isinstance(self._now, Sample) else None
        self._now = now

    def lines(self, width: int | None, rows: int) -> list[str]:
        """Return what fits of it."""
        if isinstance(self._now, Sample):
            lines = as_lines(self._now, self._before, width)
        else:
            stamp = time.strftime("%H:%M:%S")
            words = f"{stamp}  captured does not answer ({self._now}); waiting for it"
            lines = _folded(printable(words), width)
        if len(lines) > rows:
            hidden = len(lines) - rows + 1
            lines = [*lines[: rows - 1], clip(f"... {counted(hidden, 'more line')}", width or 80)]
        return lines


def _folded(text: str, width: int | None) -> list[str]:
    step = width or len(text)
    return [text[place : place + step] for place in range(0, len(text), step)]


def _draw_all(options: argparse.Namespace) -> None:
    from capturectl.cli.screen import Ended, Screen

    view = _View()
    try:
        with _Link(socket_of(options)) as link, Screen() as screen:
            is_over = _draw_turns(options, link, view, screen)
    except Ended as ended:
        ended.end()
    else:
        if is_over:
            print("\n".join(view.lines(columns(), _MANY)))


def _draw_turns(options: argparse.Namespace, link: _Link, view: _View, screen: Screen) -> bool:
    """Draw until all turns are over; False when somebody left before."""
    due = time.monotonic()
    for number in _turns(options.iterations):
        if number:
            due = max(due + options.delay, time.monotonic())
            if not _show_until(due, view, screen):
                return False
        view.take(link.read())
    return True


def _show_until(due: float, view: _View, screen: Screen) -> bool:
    from capturectl.cli.screen import Wake

    while True:
        screen.draw(view.lines(*screen.size()))
        woken = screen.wait(due - time.monotonic())
        if woken is not Wake.REDRAW:
            return woken is Wake.TIME
