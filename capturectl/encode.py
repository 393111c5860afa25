# SPDX-License-Identifier: MIT
"""A frame as a file: PNG, JPEG, PPM, raw pixels or a numpy array."""

from __future__ import annotations

import io

from capturectl.errors import UsageError
from capturectl.fourcc import fourcc_name
from capturectl.pixels import RgbImage, to_rgb
from capturectl.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from capturectl.frame import Frame

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
        "time_commit_ns": str(frame.time_commit_ns),
        "time_vblank_ns": str(frame.time_vblank_ns),
        "time_done_ns": str(frame.time_done_ns),
    }


def encode(frame: Frame, kind: str, *, driver: str = "") -> bytes:
    """Return a frame as the content of a file.

    Args:
        frame: Held; it may be released afterwards.
        kind: One of `KINDS`. png has 16 bits where the frame has more than 8, and carries
            `describe`; jpeg has 8; ppm is binary (P6); raw is the frame's own pixels, rows
            without padding; npy is a `(height, width, 3)` array R G B, uint8 or uint16.
        driver: The card's driver, for the description.

    Raises:
        UsageError: No such kind.
        CaptureUnsupportedError: The frame's pixel format is not known here.
    """
    if kind == "raw":
        return _raw(frame)
    writer = _WRITERS.get(kind)
    if writer is None:
        raise UsageError(f"no file type {kind!r}", f"known are {', '.join(KINDS)}")
    image = to_rgb(
        frame.memory, frame.pixel_format, frame.width, frame.height, frame.pitch, frame.offset
    )
    return writer(image, describe(frame, driver))


def _raw(frame: Frame) -> bytes:
    row = frame.width * frame.pixel_format.bytes_per_pixel
    memory, first = frame.memory, frame.offset
    starts = range(first, first + frame.height * frame.pitch, frame.pitch)
    return b"".join(bytes(memory[start : start + row]) for start in starts)


def _png(image: RgbImage, texts: Mapping[str, str]) -> bytes:
    from capturectl import png

    return png.encode(image, texts)


def _jpeg(image: RgbImage, texts: Mapping[str, str]) -> bytes:
    from PIL import Image

    data = image.data if image.depth == 8 else image.data[::2]  # the most significant bytes
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
