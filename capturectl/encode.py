# SPDX-License-Identifier: MIT
"""A frame as a file: PNG, JPEG, PPM, raw pixels or a numpy array."""

from __future__ import annotations

import io

from capturectl.errors import UsageError
from capturectl.fourcc import fourcc_name
from capturectl.pixels import RgbImage, copy_rows, to_rgb
from capturectl.region import within
from capturectl.typed import NamedTuple
from capturectl.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from capturectl.frame import Frame
    from capturectl.region import Region

KINDS = ("png", "jpeg", "ppm", "raw", "npy")
"""What `encode` can make."""

_JPEG_QUALITY = 90


def kind_of(file_name: str) -> str | None:
    """Return the kind that a file's extension names; None when it names none."""
    extension = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    return "jpeg" if extension == "jpg" else extension if extension in KINDS else None


def describe(frame: Frame, driver: str = "") -> dict[str, str]:
    """Return what is known of a frame, by name; what a PNG carries along."""
    return {
        "Software": f"captured {VERSION}",
        "output": frame.output,
        "source": (frame.source.name or "").lower(),
        "driver": driver,
        "format": fourcc_name(frame.fourcc),
        "sequence": str(frame.sequence),
        "vblank": str(frame.vblank),
        "missed": str(frame.missed),
        "time_commit_ns": str(frame.time_commit_ns),
        "time_vblank_ns": str(frame.time_vblank_ns),
        "time_done_ns": str(frame.time_done_ns),
    }


class Picture(NamedTuple):
    """A picture that was copied out of its frame, which may be released; see `take`."""

    kind: str
    width: int
    """Pixels, of the file."""
    height: int
    pixels: RgbImage | bytes
    """bytes for the kind raw."""
    texts: Mapping[str, str]
    """What is known of it, as of `describe`."""

    def scaled(self, factor: float) -> Picture:
        """Return it larger or smaller, as of `capturectl.scale`.

        Raises:
            UsageError: The kind is raw, or the result would be too large.
        """
        from capturectl.scale import scale

        if not isinstance(self.pixels, RgbImage):
            raise UsageError("raw is the frame's own pixels", "scale another file type")
        pixels = scale(self.pixels, factor)
        return self._replace(width=pixels.width, height=pixels.height, pixels=pixels)

    def encode(self) -> bytes:
        """Return the content of the file."""
        if not isinstance(self.pixels, RgbImage):
            return self.pixels
        return _WRITERS[self.kind](self.pixels, self.texts)


def take(frame: Frame, kind: str, *, driver: str = "", region: Region | None = None) -> Picture:
    """Copy a frame's picture, so that the frame can be released before the work begins.

    Args:
        frame: Held.
        kind: What is to become of it, one of `KINDS`. png has 16 bits where the frame has more
            than 8, and carries `describe`; jpeg has 8; ppm is binary (P6); raw is the frame's
            own pixels, rows without padding; npy is a `(height, width, 3)` array R G B, uint8
            or uint16.
        driver: The card's driver, for the description.
        region: The part that is wanted; None takes all.

    Raises:
        UsageError: No such kind, or the region does not lie in the frame.
        CaptureUnsupportedError: The frame's pixel format is not known here.
    """
    if kind not in KINDS:
        raise UsageError(f"no file type {kind!r}", f"known are {', '.join(KINDS)}")
    part, layout, texts = within(region, frame), frame.pixel_format, describe(frame, driver)
    if region is not None:
        texts["region"] = str(region)
    first = frame.offset + part.y * frame.pitch + part.x * layout.bytes_per_pixel
    pixels: RgbImage | bytes
    if kind == "raw":
        row = part.width * layout.bytes_per_pixel
        pixels = copy_rows(frame.memory, row, part.height, frame.pitch, first)
    else:
        pixels = to_rgb(frame.memory, layout, part.width, part.height, frame.pitch, first)
    return Picture(kind, part.width, part.height, pixels, texts)


def encode(frame: Frame, kind: str, *, driver: str = "") -> bytes:
    """Return a frame as the content of a file: `take` and `Picture.encode` in one.

    Ownership: the frame stays held while it is encoded. Where that may take longer than its
    lease, `take`, release, and then encode.
    """
    return take(frame, kind, driver=driver).encode()


def _png(image: RgbImage, texts: Mapping[str, str]) -> bytes:
    from capturectl import png

    return png.encode(image, texts)


def _jpeg(image: RgbImage, texts: Mapping[str, str]) -> bytes:
    from PIL import Image

    data = image.data if image.depth == 8 else bytes(image.data[::2])  # the upper bytes
    file = io.BytesIO()
    comment = "; ".join(f"{name}={text}" for name, text in texts.items())
    Image.frombytes("RGB", (image.width, image.height), data).save(
        file, "JPEG", quality=_JPEG_QUALITY, comment=comment
    )
    return file.getvalue()


def _ppm(image: RgbImage, texts: Mapping[str, str]) -> bytes:
    limit = (1 << image.depth) - 1
    comments = "".join(f"# {name} {text}\n" for name, text in texts.items())
    return f"P6\n{comments}{image.width} {image.height}\n{limit}\n".encode() + image.data


def _npy(image: RgbImage, texts: Mapping[str, str]) -> bytes:
    import numpy as np

    array = np.frombuffer(image.data, f">u{image.depth // 8}")
    file = io.BytesIO()
    native = array.astype(f"=u{image.depth // 8}")
    np.save(file, native.reshape(image.height, image.width, 3))
    return file.getvalue()


_WRITERS: dict[str, Callable[[RgbImage, Mapping[str, str]], bytes]] = {
    "png": _png,
    "jpeg": _jpeg,
    "ppm": _ppm,
    "npy": _npy,
}
