# SPDX-License-Identifier: MIT
"""Whether a picture is another one: how many pixels differ, by how much, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from capturectl.errors import CaptureError
from capturectl.region import Region

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from capturectl.pixels import RgbImage

    Rgb = NDArray[np.unsignedinteger[Any]]
    Mask = NDArray[np.bool_]


class Difference(NamedTuple):
    """What two pictures of one size do not have in common."""

    different: Mask
    """`(height, width)`: the pixels that differ by more than the tolerance."""
    pixels: int
    """How many those are."""
    most: float
    """The largest difference of a component, in steps of 255; of any pixel that counts."""
    box: Region | None
    """The smallest rectangle that has them all; None when there are none."""


def read_picture(path: str) -> Rgb:
    """Read a picture file as `(height, width, 3)` R G B, uint8 or uint16.

    A .npy file is read as it is; everything else by Pillow, with 8 bits a component.

    Raises:
        CaptureError: There is none, or it is no picture.
    """
    read = _read_array if path.lower().endswith(".npy") else _read_image
    try:
        return read(path)
    except (CaptureError, ImportError):
        raise
    except FileNotFoundError:
        raise CaptureError(f"there is no file {path}", code="no-file") from None
    except Exception as error:  # of a broken file, Pillow's many readers raise what they like
        raise _unreadable(path, str(error) or type(error).__name__) from error


def read_mask(path: str) -> Mask:
    """Read a picture file as `(height, width)`: whether a pixel is rather white than black."""
    picture = read_picture(path)
    full = 255 if picture.dtype.itemsize == 1 else 65535
    mask: Mask = picture.astype("u4").sum(axis=2) * 2 > 3 * full
    return mask


def _read_array(path: str) -> Rgb:
    import numpy as np

    with open(path, "rb") as file:  # noqa: PTH123 - start-up time
        # np.load would also take an archive of arrays for one.
        return _check_array(path, np.lib.format.read_array(file, allow_pickle=False))


def _read_image(path: str) -> Rgb:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _check_array(path: str, array: Any) -> Rgb:  # noqa: ANN401 - what a file holds
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype.name in {"uint8", "uint16"}:
        picture: Rgb = array.astype(array.dtype.newbyteorder("="), copy=False)
        return picture
    raise _unreadable(path, f"{array.dtype} {array.shape} is not (height, width, 3) uint8 or 16")


def _unreadable(path: str, why: str) -> CaptureError:
    return CaptureError(f"{path} is no picture that can be read: {why}", code="not-a-picture")


def as_array(image: RgbImage) -> Rgb:
    """Return a picture as `(height, width, 3)` R G B, uint8 or uint16."""
    import numpy as np

    array = np.frombuffer(image.data, f">u{image.depth // 8}")
    return array.reshape(image.height, image.width, 3).astype(f"=u{image.depth // 8}", copy=False)


def compare(expected: Rgb, shown: Rgb, tolerance: float, mask: Mask | None = None) -> Difference:
    """Compare two pictures of one size.

    Where they have not the same depth, the deeper one is brought to 8 bits.

    Args:
        expected: One.
        shown: The other.
        tolerance: By how much components may differ, in steps of 255, whatever the depth.
        mask: The pixels that count; None means all.
    """
    import numpy as np

    if expected.dtype != shown.dtype:
        expected, shown = _in_8_bits(expected), _in_8_bits(shown)
    step = 1 if expected.dtype.itemsize == 1 else 257
    # The larger less the smaller needs no type that has a sign.
    distance = np.maximum(expected, shown) - np.minimum(expected, shown)
    worst = distance.max(axis=2)
    if mask is not None:
        worst = np.where(mask, worst, 0)
    different = worst > tolerance * step
    count = int(np.count_nonzero(different))
    return Difference(different, count, float(worst.max()) / step, _box(different, count))


def _in_8_bits(picture: Rgb) -> Rgb:
    import numpy as np

    if picture.dtype.itemsize == 1:
        return picture
    return ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _box(different: Mask, count: int) -> Region | None:
    import numpy as np

    if not count:
        return None
    rows = np.flatnonzero(different.any(axis=1))
    columns = np.flatnonzero(different.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return Region(x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1)


def draw(expected: Rgb, shown: Rgb, difference: Difference) -> bytes:
    """Return a PNG that a person understands: expected, shown, and what differs.

    The third is the shown picture in grey, pale, with each differing pixel red and a yellow
    frame around them all, so that a single pixel is seen as well.
    """
    import io

    import numpy as np
    from PIL import Image, ImageDraw

    height, width = difference.different.shape
    grey = _in_8_bits(shown).mean(axis=2, dtype=np.float32) * 0.4 + 140
    marked = np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    marked[difference.different] = (255, 0, 0)
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height + _CAPTION), "white")
    pen = ImageDraw.Draw(sheet)
    pictures = (_in_8_bits(expected), _in_8_bits(shown), marked)
    for place, (name, picture) in enumerate(zip(_NAMES, pictures, strict=True)):
        left = place * (width + _GAP)
        pen.text((left + 4, 6), name, "black")
        sheet.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, _CAPTION))
    if difference.box is not None:
        for rectangle in _frames(difference.box, 2 * (width + _GAP), _CAPTION):
            pen.rectangle(rectangle, outline="yellow")
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


_NAMES = ("expected", "shown", "different: red")
_GAP, _CAPTION = 16, 24


def _frames(box: Region, left: int, top: int) -> Iterable[tuple[int, int, int, int]]:
    """Rectangles around a box, none of which touches what is in it."""
    for away in (3, 4, 5):
        yield (
            left + box.x - away, top + box.y - away,
            left + box.x + box.width - 1 + away, top + box.y + box.height - 1 + away,
        )  # fmt: skip
