# SPDX-License-Identifier: MIT
"""capturectl compare: does the output show this picture?"""

from __future__ import annotations

import sys
import time

from capturectl.cli.options import (
    add_json,
    add_output,
    add_region,
    add_source,
    add_wait_active,
    refusal,
    seconds,
    socket_of,
    sources_of,
)
from capturectl.cli.output import print_json, write_file
from capturectl.cli.waiting import when_active
from capturectl.client import DEFAULT_TIMEOUT, connect
from capturectl.encode import take
from capturectl.errors import CaptureError, CaptureTimeoutError, UsageError
from capturectl.pixels import RgbImage
from capturectl.reference import as_array, compare, draw, read_mask, read_picture
from capturectl.region import Region, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from capturectl.client import Client
    from capturectl.frame import Frame
    from capturectl.framestream import FrameStream
    from capturectl.reference import Difference, Mask, Rgb

ABOUT = """\
Status 0 as soon as the output shows the picture, 1 when it does not before
the timeout: then a line says how many pixels differ, by how much at most, and
where. Alpha and X do not count. PNG, JPEG, PPM and whatever else Pillow reads
is compared in 8 bits; .npy in 16 where the output has as many."""
EXAMPLES = (
    "capturectl compare boot.png --timeout 20",
    'capturectl compare -g "0,0 320x80" --tolerance 2 --diff wrong.png logo.png',
    "capturectl compare --mask without-clock.png --max-different 0.1% home.png",
)

_TICK = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `compare` takes."""
    add_output(parser)
    add_region(parser)
    parser.add_argument(
        "--tolerance", type=_steps, default=0.0, metavar="N",
        help="let components differ by N of 255, in any depth (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--max-different", type=_share, default=(0.0, False), metavar="PIXELS|PERCENT%",
        help="let so many pixels differ more, such as 100 or 0.5%% (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--mask", metavar="FILE", help="a picture of FILE's size: what is white counts"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=DEFAULT_TIMEOUT, metavar="SEC",
        help="wait so long for the picture (default: %(default)g; 0: as it is now)",
    )  # fmt: skip
    parser.add_argument(
        "--diff", metavar="FILE",
        help="write a PNG of expected, shown and different when they differ (default: none)",
    )  # fmt: skip
    add_wait_active(parser)
    add_source(parser)
    add_json(parser)
    parser.add_argument(
        "file", metavar="FILE", help="the picture, of the size of the output or of the region"
    )


def run(options: argparse.Namespace) -> int:
    """Compare frames until one matches; return 0, or 1 when none does."""
    expected = read_picture(options.file)
    mask = read_mask(options.mask) if options.mask else None
    if mask is not None and mask.shape != expected.shape[:2]:
        raise UsageError(f"{options.mask} has not the size of {options.file}")
    with connect(socket_of(options), wait=options.wait_active) as client:
        looks = _Looks(client, options, expected, mask)
        has_matched = when_active(looks.until_match, options.wait_active)
    return looks.report(has_matched=has_matched)


class _Looks:
    """Frame after frame, compared with what is expected."""

    def __init__(
        self, client: Client, options: argparse.Namespace, expected: Rgb, mask: Mask | None
    ) -> None:
        self._client, self._options = client, options
        self._expected, self._mask = expected, mask
        self._difference: Difference | None = None
        self._shown: Rgb | None = None
        self._count = 0
        self._corner = 0, 0
        self._about: dict[str, object] = {}

    def until_match(self) -> bool:
        """Compare the newest frame, again and again; whether one matched before the timeout."""
        options, start = self._options, time.monotonic()
        stream = self._client.stream(
            options.output, credits=1, sources=sources_of(options), timeout=_TICK
        )
        with stream:
            while True:
                waited = time.monotonic() - start
                if self._count and waited >= options.timeout:
                    return False
                if waited >= max(options.timeout, DEFAULT_TIMEOUT):
                    raise stream.problem or CaptureTimeoutError("no frame came in time")
                if self._look(stream):
                    return True

    def _look(self, stream: FrameStream) -> bool:
        try:
            frame = next(stream)
        except CaptureTimeoutError:
            return False
        self._take(frame)
        assert self._shown is not None
        options, wanted = self._options, self._expected
        self._difference = compare(wanted, self._shown, options.tolerance, self._mask)
        self._count += 1
        return self._difference.pixels <= self._allowed()

    def _allowed(self) -> float:
        number, is_percent = self._options.max_different
        if not is_percent:
            return float(number)
        size = self._expected.shape[0] * self._expected.shape[1]
        counting = size if self._mask is None else int(self._mask.sum())
        return float(number) * counting / 100

    def _take(self, frame: Frame) -> None:
        """Copy the pixels that count, and give the frame back."""
        part = within(self._options.region, frame)
        if self._size() == (frame.width, frame.height) != (part.width, part.height):
            self._crop(part)  # a picture of all, and a part of it that counts
        if self._size() != (part.width, part.height):
            width, height = self._size()
            what = "the region" if self._options.region else frame.output
            raise CaptureError(
                f"{self._options.file} is {width}x{height}, {what} is {part.width}x{part.height}",
                "compare pictures of one size", code="size",
            )  # fmt: skip
        taken = take(frame, "npy", region=part)
        self._corner = part.x, part.y
        self._about = {"output": frame.output, "sequence": frame.sequence}
        frame.release()
        assert isinstance(taken.pixels, RgbImage)
        self._shown = as_array(taken.pixels)

    def _size(self) -> tuple[int, int]:
        height, width = self._expected.shape[:2]
        return width, height

    def _crop(self, part: Region) -> None:
        where = slice(part.y, part.y + part.height), slice(part.x, part.x + part.width)
        self._expected = self._expected[where]
        if self._mask is not None:
            self._mask = self._mask[where]

    # -- what came of it ----------------------------------------------------------------------

    def report(self, *, has_matched: bool) -> int:
        """Say what came of it; return the exit status."""
        if has_matched:
            self._say(None, has_matched=True)
            return 0
        drawn = None
        try:
            drawn = self._draw()
        finally:  # what was found is said, whether it could be drawn or not
            self._say(drawn, has_matched=False)
        return 1

    def _draw(self) -> str | None:
        """Write the drawing, if it is wanted; return where it is."""
        file: str | None = self._options.diff
        if file:
            assert self._difference is not None
            assert self._shown is not None
            write_file(file, draw(self._expected, self._shown, self._difference))
        return file

    def _say(self, drawn: str | None, *, has_matched: bool) -> None:
        difference = self._difference
        assert difference is not None
        if self._options.json:
            print_json(self._as_json(difference, drawn, has_matched=has_matched), "compare")
        output, file = self._about["output"], self._options.file
        if has_matched:
            if not self._options.json:
                print(f"{output} shows {file}")
            return
        text = f"{output} does not show {file}: {self._in_words(difference)}"
        if drawn:
            text += f": see {drawn}"
        elif not self._options.diff:
            text += ": --diff FILE draws it"
        sys.stderr.write(f"capturectl: {text}\n")

    def _as_json(
        self, difference: Difference, diff: str | None, *, has_matched: bool
    ) -> dict[str, object]:
        return {
            "file": self._options.file,
            **self._about,
            "matches": has_matched,
            "different_pixels": difference.pixels,
            "max_difference": difference.most,
            "box": box._asdict() if (box := self._box(difference)) else None,
            "tolerance": self._options.tolerance,
            "frames": self._count,
            "diff": diff,
        }

    def _in_words(self, difference: Difference) -> str:
        one = difference.pixels == 1
        what = "1 pixel differs" if one else f"{difference.pixels} pixels differ"
        return f"{what}, by up to {difference.most:g} of 255, within {self._box(difference)}"

    def _box(self, difference: Difference) -> Region | None:
        """Where the differing pixels are, in the output's own pixels."""
        box, (x, y) = difference.box, self._corner
        return box and box._replace(x=box.x + x, y=box.y + y)


def _steps(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 255:
        raise refusal(f"{text} is not from 0 to 255")
    return value


def _share(text: str) -> tuple[float, bool]:
    """Read "100" or "0.5%"."""
    value = float(text.removesuffix("%"))
    if not 0 <= value < float("inf"):
        raise refusal(f"{text} is neither pixels nor percent")
    return value, text.endswith("%")
