# SPDX-License-Identifier: MIT
"""capturectl stream: frame after frame into a pipe or a file."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import time

from capturectl.cli.film import FORMATS, Film, rate_of
from capturectl.cli.options import (
    add_output,
    add_region,
    add_source,
    add_wait_active,
    count,
    rate,
    socket_of,
    sources_of,
)
from capturectl.cli.output import SCHEMA, print_json, write_error
from capturectl.cli.progress import Progress
from capturectl.cli.sink import STDOUT, Sink, open_for_writing
from capturectl.cli.waiting import when_active
from capturectl.client import DEFAULT_TIMEOUT, connect
from capturectl.errors import CaptureError, CaptureTimeoutError, UsageError
from capturectl.y4m import CHROMAS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from capturectl.cli.sink import Piece
    from capturectl.client import Client
    from capturectl.frame import Frame
    from capturectl.framestream import FrameStream

ABOUT = """\
y4m is video that describes itself, for ffmpeg, mpv and players: BT.601 colours
of full range, at the display's rate. A gap in the frames is filled with the
last one, so that the film lasts as long as it took; only what a reader is too
slow for is left out. raw is the pixels as they are, and jsonl a line for each
frame without them. Ctrl-C ends it after a whole frame, with status 0, and so
does a reader that has enough. Another mode ends y4m and raw, with status 1."""
EXAMPLES = (
    "capturectl stream | mpv -",
    "capturectl stream | ffmpeg -i - -pix_fmt yuv420p glass.mp4",
    "capturectl stream -n 600 --max-fps 10 glass.y4m",
    "capturectl stream --format jsonl | jq .sequence",
)
FILES = {"file": "grows"}
_EXTENSIONS = {"y4m": "y4m", "raw": "raw", "rgb": "raw", "jsonl": "jsonl", "ndjson": "jsonl"}
_TICK = 0.25
"""Seconds without a frame after which the last one is repeated, and signals are looked at."""
_CREDITS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `stream` takes."""
    add_output(parser)
    parser.add_argument(
        "-n", "--frames", type=count, metavar="N", help="end after so many frames (default: never)"
    )
    parser.add_argument("--max-fps", type=rate, default=0.0, metavar="FPS",
                        help="at most so many frames a second (default: all)")  # fmt: skip
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="what to write (default: from FILE's extension, else y4m)",
    )
    parser.add_argument(
        "--chroma", choices=tuple(CHROMAS), default="420",
        help="colour in y4m: 444 for each pixel, 420 for each four (default: %(default)s)",
    )  # fmt: skip
    add_region(parser)
    parser.add_argument(
        "--print-caps", action="store_true",
        help="say on standard error, in JSON, what a reader of raw has to know",
    )  # fmt: skip
    add_wait_active(parser)
    add_source(parser)
    parser.add_argument(
        "--json", action="store_true",
        help="print a summary in JSON at the end; without FILE, the frames' lines too (jsonl)",
    )  # fmt: skip
    parser.add_argument(
        "file", nargs="?", default=STDOUT, metavar="FILE",
        help="where to write; - is standard output (default)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Stream until the end; return 0, also when a signal ended it."""
    form = _form(options)
    if form == "jsonl" and options.region:
        raise UsageError("--region is a part of the pixels, which jsonl has not", "leave it out")
    if form != "jsonl" and options.json and options.file == STDOUT:
        raise UsageError("--json and the pixels both want standard output", "give a file name")
    binary = form != "jsonl"
    # Opening a pipe waits for its reader: no frame should wait with it. A file waits for a frame.
    fd = open_for_writing(options.file, binary=binary) if _is_there(options.file) else None
    if form == "y4m":
        import PIL.Image  # noqa: F401 - now; after the first frame, others would wait for it
    with connect(socket_of(options), wait=options.wait_active) as client:
        stream, frame = when_active(lambda: _begin(client, options), options.wait_active)
        with stream:
            rate_mhz = rate_of(stream.output.refresh_mhz, options.max_fps)
            film = Film(
                frame, form, rate_mhz=rate_mhz, region=options.region, chroma=options.chroma
            )
            if options.print_caps:
                _print_caps(film)
            if fd is None:
                fd = open_for_writing(options.file, binary=binary)
            return _Run(client, stream, film, Sink(fd, options.file), options).run(frame)


def words_there(options: argparse.Namespace) -> list[str]:
    """Return what FILE says of the stream, for a command that gets - in its place."""
    return [] if options.format else ["--format", _form(options)]


def _form(options: argparse.Namespace) -> str:
    if options.format:
        return str(options.format)
    name = os.path.basename(options.file)  # noqa: PTH119 - pathlib costs start-up time
    _, dot, extension = name[1:].rpartition(".")
    if not dot:
        return "jsonl" if options.json and options.file == STDOUT else "y4m"
    form = _EXTENSIONS.get(extension.lower())
    if form is None:
        raise UsageError(
            f"{options.file}: no stream has that extension",
            "write y4m, raw or jsonl, or encode: capturectl stream | ffmpeg -i - FILE",
        )
    return form


def _is_there(path: str) -> bool:
    """Whether a path is standard output, a pipe or a device, and nothing that we would make."""
    if path == STDOUT:
        return True
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - as above
    except FileNotFoundError:
        return False
    except OSError as error:
        raise write_error(path, error) from error


def _begin(client: Client, options: argparse.Namespace) -> tuple[FrameStream, Frame]:
    """Subscribe and wait for the first frame."""
    stream = client.stream(
        options.output, max_fps=options.max_fps, credits=_CREDITS, sources=sources_of(options),
        timeout=_TICK,
    )  # fmt: skip
    deadline = time.monotonic() + DEFAULT_TIMEOUT
    try:
        while True:
            try:
                return stream, next(stream)
            except CaptureTimeoutError as error:
                if time.monotonic() > deadline:
                    raise stream.problem or error from error
    except BaseException:
        stream.close()
        raise


def _print_caps(film: Film) -> None:
    import json

    sys.stderr.write(json.dumps({"schema": f"{SCHEMA}/caps", **film.caps()}) + "\n")
    sys.stderr.flush()


class _Run:
    """A stream that is under way, and its counts."""

    def __init__(
        self, client: Client, stream: FrameStream, film: Film, sink: Sink,
        options: argparse.Namespace,
    ) -> None:  # fmt: skip
        self._client, self._stream, self._film, self._sink = client, stream, film, sink
        self._options = options
        self._last: Piece = ()
        self._frames = self._repeated = self._late = self._gaps = self._vblank = 0
        self._is_stopped = False
        is_alone = options.file != STDOUT or not sys.stdout.isatty()
        self._progress = Progress(wanted=is_alone)

    def run(self, frame: Frame) -> int:
        """Write the first frame and those after it; return the exit status."""
        with _signals(self._stop):
            try:
                if self._film.head:
                    self._sink.offer([self._film.head])
                problem = self._follow(frame)
            finally:
                broken = self._close()
        if self._options.json:
            print_json(self._summary(), "stream")
        if problem is not None:
            raise problem
        if broken is not None and self._options.frames is not None:
            raise broken
        return 0

    def _stop(self) -> None:
        self._is_stopped = True

    def _close(self) -> BrokenPipeError | None:
        """Let all be written; return the error of a reader that has gone."""
        try:
            self._sink.close()
        except BrokenPipeError as error:
            return error
        finally:
            self._progress.end(self._frames, self._dropped(), self._sink.written)
        return None

    def _follow(self, frame: Frame | None) -> CaptureError | None:
        """Write frames until the end; return why they end sooner than was wanted."""
        while True:
            if frame is not None and not self._film.fits(frame):
                return self._changed(frame)
            try:
                if frame is None:
                    self._fill()
                else:
                    self._add(frame)
                if self._is_done():
                    return None
                note = self._stream.problem.reason if self._stream.problem else ""
                self._progress.show(self._frames, self._dropped(), self._sink.written, note)
                frame = self._next()
            except CaptureError as error:
                return error  # what there is by now is whole

    def _next(self) -> Frame | None:
        try:
            return next(self._stream)
        except CaptureTimeoutError:
            return None

    def _is_done(self) -> bool:
        if self._is_stopped or self._sink.is_broken:
            return True
        return self._options.frames is not None and self._frames >= self._options.frames

    def _changed(self, frame: Frame) -> CaptureError:
        return CaptureError(
            f"{frame.output} changed from {self._film.size_text} to "
            f"{frame.width}x{frame.height} {frame.pixel_format.name}",
            "what was written is whole; start another stream", code="mode-changed",
        )  # fmt: skip

    def _add(self, frame: Frame) -> None:
        """Write a frame, and before it what the film lacks."""
        if self._vblank and frame.vblank:
            self._gaps += max(0, frame.vblank - self._vblank - 1)
        self._vblank = frame.vblank
        time_ns = frame.time_vblank_ns or frame.time_done_ns
        lacking = self._film.clock.lacking(time_ns) if self._film.clock else 0
        if lacking < 0:
            frame.release()
            return
        piece = self._film.piece(frame, self._client.driver)
        if lacking and self._last:
            self._repeat(lacking)
        if not self._is_done():
            self._last = piece
            self._offer(piece, 1)

    def _fill(self) -> None:
        """Repeat the last frame while none comes, so that a player does not stand still."""
        if self._film.clock and self._last:
            lacking = self._film.clock.lacking(time.monotonic_ns())
            if lacking > 0:
                self._repeat(lacking)

    def _repeat(self, times: int) -> None:
        if self._options.frames is not None:
            times = min(times, self._options.frames - self._frames)
        if self._offer(self._last, times):
            self._repeated += times

    def _offer(self, piece: Piece, times: int) -> bool:
        if not self._sink.offer(piece, times):
            self._late += times
            if self._film.clock:
                self._film.clock.skip()
            return False
        self._frames += times
        if self._film.clock:
            self._film.clock.add(times)
        return True

    def _dropped(self) -> int:
        """Count the frames that were wanted and are not there.

        Where nobody has a credit nothing is captured, so that gaps show in vblanks alone.
        """
        missed = self._client.statistics().missed
        return self._late + (missed if self._options.max_fps else max(self._gaps, missed))

    def _summary(self) -> dict[str, object]:
        return {
            "file": self._options.file,
            "format": self._film.form,
            "output": self._stream.output.name,
            "width": self._film.part.width,
            "height": self._film.part.height,
            "frames": self._frames,
            "repeated": self._repeated,
            "dropped": self._dropped(),
            "missed": self._client.statistics().missed,
            "late": self._late,
            "bytes": self._sink.written,
        }


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP end the stream after a whole frame; a second one at once."""
    is_stopping = False

    def handle(number: int, unused: object) -> None:
        nonlocal is_stopping
        if is_stopping:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        is_stopping = True
        stop()

    # Under nohup it does not matter that the terminal is gone.
    is_tied = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    numbers = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if is_tied else []))
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
