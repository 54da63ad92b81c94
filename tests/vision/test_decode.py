"""Bytes become upright RGB pixels, or an error that says what to send."""

import struct
import zlib
from io import BytesIO
from random import Random

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from facegrid.domain.errors import InvalidPhotograph, PhotographTooLarge
from facegrid.vision.decode import PhotographLimits, decode, decode_reduced

LIMITS = PhotographLimits()
ORANGE = (240, 120, 40)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of a picture in one of Pillow's formats."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants() -> Image.Image:
    """Return 64×32 pixels: red, green / blue, white."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32], pixels[:16, 32:], pixels[16:, :32], pixels[16:, 32:] = (
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
    )
    return Image.fromarray(pixels)


def png(width: int, height: int) -> bytes:
    """Write a PNG by hand, whose header promises RGB pixels that are not there."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


JPEG = encoded(quadrants(), "JPEG", quality=95, subsampling=0)


def assert_colour(pixels: NDArray[np.uint8], colour: tuple[int, int, int], tolerance: int = 6) -> None:
    """Expect 16×24 pixels of one colour."""
    assert pixels.dtype == np.uint8
    assert pixels.shape == (24, 16, 3)
    assert np.abs(pixels.astype(int) - colour).max() <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000", "PNG", "WEBP", "BMP", "TIFF"])
def test_accepted_kinds(kind: str) -> None:
    """Each accepted kind gives the colours that it was made of."""
    assert_colour(decode(encoded(Image.new("RGB", (16, 24), ORANGE), kind), LIMITS), ORANGE)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation(orientation: int, kind: str) -> None:
    """A photograph stored in any of EXIF's eight orientations comes out upright."""
    upright = np.asarray(quadrants())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(Image.fromarray(stored), kind, exif=exif), LIMITS)
    assert pixels.shape == (32, 64, 3)
    for row, column in ((8, 16), (8, 48), (24, 16), (24, 48)):
        assert np.abs(pixels[row, column].astype(int) - upright[row, column]).max() < 12


def test_broken_exif_is_ignored() -> None:
    """Metadata that cannot be read does not cost the photograph."""
    broken = encoded(quadrants(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\xff\xff\x01\x12")
    assert decode(broken, LIMITS).shape == (32, 64, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_white(mode: str) -> None:
    """What is transparent is laid on white, whatever colour lies under it."""
    see_through = Image.new("RGBA", (16, 24), (10, 20, 30, 0)).convert(mode)
    kind = "TIFF" if mode == "PA" else "PNG"
    assert_colour(decode(encoded(see_through, kind), LIMITS), (255, 255, 255))


def test_transparent_palette_entry() -> None:
    """A palette entry that PNG declares transparent is white too."""
    palette = Image.new("RGB", (16, 24), (5, 6, 7)).quantize(4)
    entry = palette.getpixel((0, 0))
    assert_colour(decode(encoded(palette, "PNG", transparency=entry), LIMITS), (255, 255, 255))


@pytest.mark.parametrize(("mode", "colour", "rgb"), [("L", 77, (77, 77, 77)), ("1", 1, (255, 255, 255))])
def test_grey(mode: str, colour: int, rgb: tuple[int, int, int]) -> None:
    """Grey and black-and-white pictures get three equal channels."""
    assert_colour(decode(encoded(Image.new(mode, (16, 24), colour), "PNG"), LIMITS), rgb)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    """CMYK becomes RGB; Pillow writes its JPEG inverted, as Adobe does."""
    red = Image.new("CMYK", (16, 24), (0, 255, 255, 0))
    assert_colour(decode(encoded(red, kind), LIMITS), (255, 0, 0))


def test_cmyk_without_adobe_marker_is_not_inverted() -> None:
    """A CMYK JPEG that lacks Adobe's marker holds its inks as they are."""
    stored_inverted = encoded(Image.new("CMYK", (16, 24), (255, 0, 0, 255)), "JPEG")
    marker = stored_inverted.index(b"\xff\xee")
    plain = stored_inverted[:marker] + stored_inverted[marker + 16 :]
    assert_colour(decode(plain, LIMITS), (255, 0, 0))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bits(suffix: str) -> None:
    """16 bits a channel become 8, in grey and in RGB."""
    colour = np.array(ORANGE[::-1], np.uint16) * 257
    for stored, expected in (
        (np.full((24, 16, 3), colour, np.uint16), ORANGE),
        (np.full((24, 16), 99 * 257, np.uint16), (99, 99, 99)),
    ):
        assert_colour(decode(cv2.imencode(suffix, stored)[1].tobytes(), LIMITS), expected, tolerance=1)


def test_16_bit_tiff_where_zero_is_white() -> None:
    """A TIFF may count from white to black."""
    tiff = encoded(Image.fromarray(np.zeros((24, 16), np.uint16)), "TIFF", tiffinfo={262: 0})
    assert_colour(decode(tiff, LIMITS), (255, 255, 255))


def test_multi_picture_object() -> None:
    """A phone's JPEG with further pictures inside gives its first one."""
    phone = encoded(
        Image.new("RGB", (16, 24), ORANGE), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 24))]
    )
    assert_colour(decode(phone, LIMITS), ORANGE)


def animation(kind: str) -> bytes:
    """Return two pictures in one file."""
    frames = [Image.new("RGB", (16, 24), colour) for colour in ("red", "blue")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("photograph", "complaint"),
    [
        (b"", "empty"),
        (b"hello, world", "not a photograph"),
        (b"%PDF-1.7 and so on", "a PDF"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (encoded(quadrants(), "GIF"), "a GIF"),
        (animation("GIF"), "a GIF"),
        (animation("WEBP"), "several pictures"),
        (animation("PNG"), "several pictures"),
        (animation("TIFF"), "several pictures"),
        (JPEG[:20], "not a photograph|damaged"),
        (JPEG[: len(JPEG) // 2], "damaged"),
        (encoded(quadrants(), "PNG")[:-60], "damaged"),
        (encoded(quadrants(), "WEBP")[:-20], "damaged|not a photograph"),
        (encoded(quadrants(), "TIFF")[:200], "damaged|not a photograph"),
        (encoded(quadrants(), "JPEG2000")[:120], "damaged|not a photograph"),
        (encoded(Image.new("F", (16, 24)), "TIFF"), "no known range"),
        (encoded(Image.new("I", (16, 24)), "TIFF"), "no known range"),
        (png(0, 10), "damaged|not a photograph"),
    ],
)
def test_refused(photograph: bytes, complaint: str) -> None:
    """What is no still photograph is refused with a sentence that says what it is."""
    with pytest.raises(InvalidPhotograph, match=complaint) as caught:
        decode(photograph, LIMITS)
    assert "send" in caught.value.message


@pytest.mark.parametrize(
    "photograph",
    [
        png(60_000, 60_000),
        png(13_000, 13_000),
        png(10_001, 10_000),
        b"RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xfe\x3f\x00\xfe\x3f\x00",
    ],
)
def test_pixel_limit_is_held_before_decoding(photograph: bytes) -> None:
    """A header that states too many pixels is enough; there are none in these files."""
    with pytest.raises(PhotographTooLarge, match="pixels"):
        decode(photograph, LIMITS)


def test_byte_limit() -> None:
    """A photograph of one byte more than the limit is refused, one at the limit is not."""
    assert decode(JPEG, PhotographLimits(max_bytes=len(JPEG))).shape == (32, 64, 3)
    with pytest.raises(PhotographTooLarge, match="bytes"):
        decode(JPEG, PhotographLimits(max_bytes=len(JPEG) - 1))


def test_limit_that_cannot_be_kept() -> None:
    """A pixel limit beyond the decoder's own is refused when it is set."""
    with pytest.raises(ValueError, match="178956970"):
        PhotographLimits(max_pixels=200_000_000)


def test_smallest_photograph() -> None:
    """One pixel is a photograph."""
    assert decode(encoded(Image.new("RGB", (1, 1), ORANGE), "PNG"), LIMITS).tolist() == [[list(ORANGE)]]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(JPEG) - 1), st.integers(0, 255)), max_size=8), st.integers(0))
def test_damaged_jpeg_raises_nothing_else(changes: list[tuple[int, int]], cut: int) -> None:
    """Whatever is changed in a JPEG, it decodes or is refused as a photograph."""
    damaged = bytearray(JPEG)
    for place, value in changes:
        damaged[place] = value
    try:
        pixels = decode(bytes(damaged[: len(JPEG) - cut % 64]), LIMITS)
    except (InvalidPhotograph, PhotographTooLarge):
        return
    assert pixels.ndim == 3


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "TIFF", "WEBP", "BMP", "JPEG2000"]), st.randoms(use_true_random=False))
def test_damaged_files_of_other_kinds(kind: str, random: Random) -> None:
    """The same holds for the other kinds."""
    damaged = bytearray(encoded(quadrants(), kind))
    for _ in range(4):
        damaged[random.randrange(len(damaged))] = random.randrange(256)
    try:
        pixels = decode(bytes(damaged), PhotographLimits(max_pixels=1_000_000))
    except (InvalidPhotograph, PhotographTooLarge):
        return
    assert pixels.ndim == 3


@pytest.mark.parametrize(
    ("kind", "allowed", "reduction"),
    [("JPEG", 1.9, 1), ("JPEG", 2, 2), ("JPEG", 7, 4), ("JPEG", 99, 8), ("PNG", 99, 1)],
)
@pytest.mark.parametrize("size", [(641, 483), (1, 900)])
def test_reduced(kind: str, allowed: float, reduction: int, size: tuple[int, int]) -> None:
    """A JPEG comes at the smallest size that is allowed, set upright, and says what size it has."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = encoded(Image.new("RGB", size, ORANGE), kind, exif=exif)
    decoded = decode_reduced(photograph, LIMITS, lambda longer: allowed if longer == max(size) else 1)
    assert (decoded.width, decoded.height) == size[::-1]
    assert decoded.reduction == (reduction if size[0] > 1 else 1)
    assert decoded.pixels.shape == (-(-size[0] // decoded.reduction), -(-size[1] // decoded.reduction), 3)
    assert np.abs(decoded.pixels.astype(int) - ORANGE).max() <= 6
