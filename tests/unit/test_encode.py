# SPDX-License-Identifier: MIT
"""A frame as a file, read back by readers that are not ours."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from capturectl.encode import KINDS, describe, encode, kind_of, take
from capturectl.errors import CaptureUnsupportedError, UsageError
from capturectl.region import Region
from capturectl.version import VERSION
from tests.support import png_reader
from tests.support.frames import RG16, XR24, XR30, lent_frame
from tests.support.pixel_table import EXAMPLES, Example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capturectl.frame import Frame

DESCRIPTION = {
    "Software": f"captured {VERSION}",
    "output": "HDMI-A-1",
    "source": "writeback",
    "driver": "vkms",
    "format": "XR24",
    "sequence": "41",
    "vblank": "1000",
    "missed": "3",
    "time_commit_ns": "5000000001",
    "time_vblank_ns": "5000000002",
    "time_done_ns": "5000000003",
}

# Two rows of red, green; blue, white. X is junk; four bytes before and behind each row.
RGB = bytes.fromhex("ff0000 00ff00 0000ff ffffff")
PIXELS = bytes.fromhex("eeeeeeee 0000ffa1 00ff00a2 eeeeeeee ff0000a3 ffffffa4 eeeeeeee")


@pytest.fixture
def frame() -> Iterator[Frame]:
    with lent_frame(PIXELS, width=2, height=2, pitch=12, offset=4) as lent:
        yield lent


@pytest.fixture
def deep_frame() -> Iterator[Frame]:
    with lent_frame(EXAMPLES["XR30"].pixel, fourcc=XR30, width=1, height=1, pitch=4) as lent:
        yield lent


# --- kinds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "png"),
        ("a.PNG", "png"),
        ("a.jpg", "jpeg"),
        ("a.jpeg", "jpeg"),
        ("a.ppm", "ppm"),
        ("a.raw", "raw"),
        ("a.npy", "npy"),
        ("dir.d/a.b.png", "png"),
    ],
)
def test_an_extension_names_a_kind(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize("name", ["", "-", "png", "a.", "a.gif", "a.png/b"])
def test_other_names_name_no_kind(name: str) -> None:
    assert kind_of(name) is None


def test_an_unknown_kind_is_a_usage_error(frame: Frame) -> None:
    with pytest.raises(UsageError, match="'gif'"):
        encode(frame, "gif")


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_pixel_format_is_unsupported(kind: str) -> None:
    with (
        lent_frame(bytes(16), fourcc=0x3231564E, width=2, height=2, pitch=4) as nv12,
        pytest.raises(CaptureUnsupportedError, match="NV12"),
    ):
        encode(nv12, kind)


# --- taken first, encoded later ----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_was_taken_needs_its_frame_no_more(kind: str) -> None:
    memory = PIXELS
    with lent_frame(memory, width=2, height=2, pitch=12, offset=4) as lent:
        expected = encode(lent, kind)
        picture = take(lent, kind)
        lent.release()
    assert picture.encode() == expected


@pytest.mark.parametrize(
    ("region", "rgb"),
    [
        (Region(0, 0, 1, 1), "ff0000"),
        (Region(1, 0, 1, 2), "00ff00 ffffff"),
        (Region(0, 1, 2, 1), "0000ff ffffff"),
    ],
)
def test_a_region_is_that_part_alone(frame: Frame, region: Region, rgb: str) -> None:
    picture = take(frame, "ppm", region=region)
    assert (picture.width, picture.height) == (region.width, region.height)
    assert picture.encode().endswith(b"\n255\n" + bytes.fromhex(rgb))


def test_a_region_of_raw_pixels_is_their_bytes(frame: Frame) -> None:
    assert take(frame, "raw", region=Region(1, 0, 1, 2)).encode() == bytes.fromhex(
        "00ff00a2 ffffffa4"
    )


def test_a_file_says_of_which_region_it_is(frame: Frame) -> None:
    file = take(frame, "png", region=Region(1, 0, 1, 2)).encode()
    with Image.open(io.BytesIO(file)) as image:
        assert image.info["region"] == "1,0 1x2"


def test_a_scaled_picture_is_encoded_in_its_new_size(frame: Frame) -> None:
    picture = take(frame, "png").scaled(2)
    with Image.open(io.BytesIO(picture.encode())) as image:
        assert (image.size, (picture.width, picture.height)) == ((4, 4), (4, 4))
        assert image.getpixel((3, 0)) == (0, 255, 0)


def test_raw_pixels_cannot_be_scaled(frame: Frame) -> None:
    with pytest.raises(UsageError, match="raw"):
        take(frame, "raw").scaled(2)


# --- what they hold --------------------------------------------------------------------------


def test_a_frame_is_described(frame: Frame) -> None:
    assert describe(frame, "vkms") == DESCRIPTION


def test_png_has_the_pixels(frame: Frame) -> None:
    with Image.open(io.BytesIO(encode(frame, "png"))) as image:
        assert (image.mode, image.size, image.tobytes()) == ("RGB", (2, 2), RGB)


def test_png_has_the_description(frame: Frame) -> None:
    with Image.open(io.BytesIO(encode(frame, "png", driver="vkms"))) as image:
        assert image.info == DESCRIPTION


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_png_has_the_depth_and_colour_of_every_format(example: Example) -> None:
    with lent_frame(
        example.pixel, fourcc=example.fourcc, width=1, height=1, pitch=len(example.pixel)
    ) as lent:
        file = encode(lent, "png")
    assert (png_reader.header(file)[2], png_reader.samples(file)) == (example.depth, [example.rgb])


def test_ppm_has_the_pixels_behind_its_header(frame: Frame) -> None:
    file = encode(frame, "ppm")
    assert (file[:3], file[-12 - len("2 2\n255\n") :]) == (b"P6\n", b"2 2\n255\n" + RGB)


def test_ppm_has_the_description_as_comments(frame: Frame) -> None:
    lines = encode(frame, "ppm", driver="vkms").split(b"\n")
    assert lines[1:12] == [f"# {name} {text}".encode() for name, text in DESCRIPTION.items()]


def test_pillow_reads_the_ppm(frame: Frame) -> None:
    with Image.open(io.BytesIO(encode(frame, "ppm"))) as image:
        assert (image.format, image.tobytes()) == ("PPM", RGB)


def test_ppm_of_more_than_8_bits_has_two_bytes_a_component(deep_frame: Frame) -> None:
    assert encode(deep_frame, "ppm").endswith(b"\n1 1\n65535\n\xa9\x6a\x3c\x0f\xc7\x31")


def test_raw_is_the_frames_own_pixels_without_padding(frame: Frame) -> None:
    assert encode(frame, "raw") == bytes.fromhex("0000ffa1 00ff00a2 ff0000a3 ffffffa4")


def test_raw_of_16_bit_pixels_is_as_they_are() -> None:
    data = bytes.fromhex("b591 0000 eeee b2a9 ffff eeee")
    with lent_frame(data, fourcc=RG16, width=2, height=2, pitch=6) as lent:
        assert encode(lent, "raw") == bytes.fromhex("b591 0000 b2a9 ffff")


def test_npy_is_an_array_of_rgb(frame: Frame) -> None:
    array = np.load(io.BytesIO(encode(frame, "npy")))
    assert (array.dtype, array.shape, array.tobytes()) == (np.uint8, (2, 2, 3), RGB)


def test_npy_of_more_than_8_bits_has_uint16(deep_frame: Frame) -> None:
    array = np.load(io.BytesIO(encode(deep_frame, "npy")))
    assert (array.dtype, array.tolist()) == (np.uint16, [[[0xA96A, 0x3C0F, 0xC731]]])


def jpeg_of(pixel: bytes, fourcc: int) -> Image.Image:
    size = len(pixel) * 16
    with lent_frame(pixel * 256, fourcc=fourcc, width=16, height=16, pitch=size) as lent:
        file = encode(lent, "jpeg", driver="vkms")
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        return image


@pytest.mark.parametrize(
    ("code", "rgb"), [("XR24", (0x12, 0x34, 0x56)), ("XR30", (0xA9, 0x3C, 0xC7))]
)
def test_jpeg_has_the_colour_in_8_bits(code: str, rgb: tuple[int, int, int]) -> None:
    image = jpeg_of(EXAMPLES[code].pixel, EXAMPLES[code].fourcc)
    shown = np.asarray(image)[8, 8].astype(int)
    assert np.abs(shown - rgb).max() <= 3


def test_jpeg_has_the_description_as_its_comment() -> None:
    comment = jpeg_of(EXAMPLES["XR24"].pixel, XR24).info["comment"]
    assert comment.decode() == "; ".join(f"{name}={text}" for name, text in DESCRIPTION.items())
