"""From a photograph's bytes to upright RGB pixels; the header is judged before any pixel is allocated."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from threading import Lock

import numpy as np
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from facegrid.domain.errors import FacegridError, InvalidPhotograph, PhotographTooLarge
from facegrid.domain.faces import Pixels

# Twice Image.MAX_IMAGE_PIXELS: above it Pillow itself refuses to open a picture.
_PILLOW_MAX_PIXELS = 178_956_970
_FORMATS = ("JPEG", "JPEG2000", "PNG", "WEBP", "BMP", "TIFF")
_ACCEPTED = "JPEG, JPEG 2000, PNG, WebP, BMP or TIFF"
_SIGNATURES = (
    (0, b"GIF8", "a GIF"),
    (0, b"%PDF", "a PDF"),
    (4, b"ftyp", "a HEIC or AVIF picture, or a film"),
)
# EXIF 2.32, tag 0x0112.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = {5, 6, 7, 8}
_REDUCTIONS = (8, 4, 2, 1)
_MIN_IS_WHITE = 0
# Warning filters belong to the whole process, and decoding runs in several threads.
_WARNING_FILTERS = Lock()


@dataclass(frozen=True, slots=True)
class PhotographLimits:
    """What a photograph may have at most: bytes as it comes, and pixels (width × height)."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 64_000_000

    def __post_init__(self) -> None:
        """Refuse a limit that could not be kept."""
        if not 1 <= self.max_pixels <= _PILLOW_MAX_PIXELS:
            raise ValueError(f"max_pixels is {self.max_pixels}; choose 1 to {_PILLOW_MAX_PIXELS}")


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth
class Decoded:
    """A photograph's pixels, of which each stands for `reduction` × `reduction` of its own."""

    pixels: Pixels
    width: int
    height: int
    reduction: int


def decode(photograph: bytes, limits: PhotographLimits) -> Pixels:
    """Return upright RGB pixels, uint8 (height, width, 3).

    EXIF orientation is applied, transparency is laid on white, 16 bits become 8.
    Raises InvalidPhotograph and PhotographTooLarge, whatever the bytes are.
    """
    return decode_reduced(photograph, limits, lambda _: 1).pixels


def decode_reduced(photograph: bytes, limits: PhotographLimits, reduction: Callable[[int], float]) -> Decoded:
    """Return what `decode` does, where it costs less at 1/2, 1/4 or 1/8 of the size.

    That is for JPEG alone, whose transform gives it; other formats come in full size. `reduction` says for
    the longer side of the photograph, in pixels, how far it may be reduced.
    """
    if not photograph:
        raise InvalidPhotograph(f"the photograph is empty; send a {_ACCEPTED} file")
    if len(photograph) > limits.max_bytes:
        raise PhotographTooLarge(
            f"the photograph has {len(photograph)} bytes and the limit is {limits.max_bytes}; "
            "send it smaller or more compressed",
        )
    try:
        return _decoded(photograph, limits, reduction)
    except FacegridError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(limits) from error
    except Exception as error:  # decoders raise whatever malformed bytes lead them to
        raise InvalidPhotograph(_undecodable(photograph, error)) from error


def _decoded(photograph: bytes, limits: PhotographLimits, reduction: Callable[[int], float]) -> Decoded:
    with _pillow_warnings_off():
        image = Image.open(BytesIO(photograph), formats=_FORMATS)
        _check_header(image, limits)
        if image.format == "TIFF":  # its tags are read, and warned about, while it loads
            image.load()
    width, height = image.size
    factor = _reduced(image, reduction(max(width, height)))
    image.load()
    rgb, orientation = _rgb(image), _orientation(image)
    if orientation in _LYING:
        width, height = height, width
    upright = rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb
    return Decoded(np.asarray(upright), width, height, factor)


def _reduced(image: Image.Image, reduction: float) -> int:
    """Let a JPEG be decoded at a part of its size, at most 1/`reduction`, and return that part's inverse."""
    factor = next(one for one in _REDUCTIONS if one <= max(reduction, 1))
    if factor == 1 or not isinstance(image, JpegImageFile):
        return 1
    width = image.width
    drafted = image.draft(None, (max(1, width // factor), max(1, image.height // factor)))
    return round(width / drafted[1][2]) if drafted else 1


@contextmanager
def _pillow_warnings_off() -> Iterator[None]:
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_header(image: Image.Image, limits: PhotographLimits) -> None:
    if image.width * image.height > limits.max_pixels:
        raise _too_many_pixels(limits)
    if image.format != "MPO" and _has_second_frame(image):  # in MPO the others are a phone camera's extras
        raise InvalidPhotograph(
            "the photograph holds several pictures (an animation or pages); send one still picture",
        )


def _has_second_frame(image: Image.Image) -> bool:
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _from_16_bit_grey(image).convert("RGB")
    if image.mode in {"I", "F"}:
        raise InvalidPhotograph(
            "the photograph's samples have no known range (32 bits, signed or floating point); "
            "send it with 8 or 16 bits a channel",
        )
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, "white")
        rgb.paste(rgba, mask=rgba)
        return rgb
    if image.mode == "CMYK" and image.format in {"JPEG", "MPO"} and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes each CMYK JPEG for one of Adobe's, which are inverted
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bit_grey(image: Image.Image) -> Image.Image:
    grey = (np.asarray(image) >> 8).astype(np.uint8)
    if image.getexif().get(ExifTags.Base.PhotometricInterpretation) == _MIN_IS_WHITE:
        grey = 255 - grey
    return Image.fromarray(grey)


def _orientation(image: Image.Image) -> int:
    with _pillow_warnings_off():
        try:
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
        except Exception:  # noqa: BLE001 broken metadata raises anything and does not spoil the pixels
            return 1


def _too_many_pixels(limits: PhotographLimits) -> PhotographTooLarge:
    return PhotographTooLarge(f"the photograph has more than {limits.max_pixels} pixels; send it scaled down")


def _undecodable(photograph: bytes, error: Exception) -> str:
    for offset, signature, kind in _SIGNATURES:
        if photograph.startswith(signature, offset):
            return f"the photograph is {kind}; send a {_ACCEPTED} file"
    if isinstance(error, UnidentifiedImageError):
        return f"the bytes are not a photograph; send a {_ACCEPTED} file"
    return "the photograph is damaged or cut off and could not be decoded; send the whole file again"
