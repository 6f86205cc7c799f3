"""The decoding of image files, damaged ones refused, and the fitting of images to a size.

JPEGs go through simplejpeg, other formats through Pillow. Both JPEG decoders fill what is
missing of a cut file with grey unless told otherwise, and Pillow does so too where the missing
part was replaced by zeros, as broken downloads have it; simplejpeg reports every such file.

Of files with several frames or pages the first is taken. Samples of more than 8 bits become 8:

- where `white` is given, it becomes 255, and 0 stays 0;
- else of 16-bit integers the upper 8 bits are taken;
- other numbers (floats, 32-bit integers) are taken to reach up to the first of 1 (floats only),
  255 and 65535 that no sample of the image exceeds, or else the image's own maximum.

What is below 0 becomes 0. The EXIF orientation is ignored unless asked for; the rotation that a
HEIC or AVIF file itself holds is a part of its image.
"""

import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.sources.formats import HEIC_HINT, is_heic, list_formats, no_pixel_limit
from pycls.datasets.store.store import ImageArray
from pycls.errors import ConfigError, DataError

ASPECTS = ("crop", "squash", "pad")
# 89 million pixels decode to 268 MB; what claims more is a mistake or an attack.
MOST_PIXELS = 89_000_000
# What there may be to say of an image.
FRAMES, TURNED, DEEP, DARK = "frames", "turned", "deep", "dark"
# An image of which every sample is below this, of 255, shows next to nothing.
DARK_BELOW = 20
# All of the image was there when the decoder came upon these; common in collected photographs.
_HARMLESS = re.compile(r"extraneous bytes before marker 0xd9")
_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112
_TIFF = (b"II*\0", b"MM\0*")
# EXIF's orientation: whether to mirror left and right first, and quarter turns to the left.
_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3),
          8: (False, 1)}  # fmt: skip


@dataclass(frozen=True)
class Decoding:
    """How files are decoded.

    Attributes:
        most_pixels: images of more are refused.
        turn: apply the EXIF orientation.
        white: the sample that becomes 255, in images of more than 8 bits; 0: by the rule above.
    """

    most_pixels: int = MOST_PIXELS
    turn: bool = False
    white: float = 0.0


def decode_image(data: bytes, where: str) -> ImageArray:
    """Decode an image file as it comes; see :func:`decode_file`."""
    return decode_file(data, where)[0]


def decode_file(
    data: bytes, where: str, how: Decoding | None = None
) -> tuple[ImageArray, tuple[str, ...]]:
    """Decode an image file of any format that is read, known by its content.

    Grey, palette and CMYK (also with Adobe's inversion) become RGB; transparency is ignored.

    Args:
        data: the file's bytes.
        where: what to call it in messages.
        how: limits and choices.

    Returns:
        uint8, H x W x 3, RGB; and what there is to say of it: `FRAMES` (there are more frames or
        pages), `TURNED` (EXIF notes an orientation), `DEEP` (it had more than 8 bits), `DARK`
        (as such, it came out nearly black).

    Raises:
        DataError: it is no such image, cut short, damaged, or of too many pixels.
    """
    how = how or Decoding()
    image, remarks, orientation = None, [], 1
    if data[:3] == b"\xff\xd8\xff":
        image = _decode_jpeg(data, where, how)
        frames, orientation = _scan_jpeg(data)
        remarks = [FRAMES] * frames
    if image is None:
        image, remarks, orientation = _decode_with_pillow(data, where, how)
    if orientation in _TURNS:
        remarks.append(TURNED)
        if how.turn:
            mirrored, quarters = _TURNS[orientation]
            image = np.rot90(image[:, ::-1] if mirrored else image, quarters)
    return image, tuple(remarks)


def fit_image(image: ImageArray, size: int | None, aspect: str) -> ImageArray:
    """Bring an image to a square of the set's size.

    The resampling is Pillow's antialiased bilinear one, in whole numbers: the same bytes on
    every machine.

    Args:
        image: uint8, H x W x 3.
        size: side of the result in pixels; None leaves the image as it is.
        aspect: "crop" takes the central square of the shorter side, "squash" changes the
            aspect, "pad" puts the whole image on black, centred.

    Returns:
        uint8, size x size x 3; the image itself where it is of that size.

    Raises:
        ConfigError: an unknown aspect, or a size below 1.
    """
    if aspect not in ASPECTS:
        raise ConfigError(f"aspect '{aspect}': expected one of {', '.join(ASPECTS)}")
    if size is None:
        return image
    if size < 1:
        raise ConfigError(f"size {size}: expected at least 1")
    height, width = image.shape[:2]
    if aspect == "squash" or height == width:
        return _resize(image, size, size)
    if aspect == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resize(image[top : top + side, left : left + side], size, size)
    longer = max(height, width)
    inner = _resize(
        image, max(round(height * size / longer), 1), max(round(width * size / longer), 1)
    )
    padded = np.zeros((size, size, 3), dtype=np.uint8)
    top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
    padded[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return padded


def _resize(image: ImageArray, height: int, width: int) -> ImageArray:
    if image.shape[:2] == (height, width):
        return image
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def _decode_jpeg(data: bytes, where: str, how: Decoding) -> ImageArray | None:
    """Decode a JPEG; None for the rare kinds that only Pillow reads."""
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        # Pillow misses it where zeros took the place of the end.
        if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
            raise _damaged(where, "it has no end") from None
        return None
    _check_pixels(height, width, where, how)
    space = "CMYK" if colours in ("CMYK", "YCCK") else "RGB"
    try:
        image = simplejpeg.decode_jpeg(data, space)
    except ValueError as error:
        if not _HARMLESS.search(str(error)):
            raise _damaged(where, str(error)) from None
        image = simplejpeg.decode_jpeg(data, space, strict=False)
    return _cmyk_to_rgb(image) if space == "CMYK" else image


def _cmyk_to_rgb(image: ImageArray) -> ImageArray:
    """Convert what JPEGs call CMYK: the light that each ink lets through (Adobe's inversion)."""
    product = image[..., :3].astype(np.uint16) * image[..., 3:] + 127
    return (product // 255).astype(np.uint8)


def _scan_jpeg(data: bytes) -> tuple[bool, int]:
    """Look through a JPEG's segments; return whether it holds more pictures, and its orientation.

    Opening it with Pillow for this would take as long as a tenth of the decoding.
    """
    frames, orientation = False, 1
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xDA or length < 2:
            break
        if marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0":
            orientation = _read_orientation(data[place + 10 : place + 2 + length])
        elif marker == 0xE2 and data[place + 4 : place + 8] == b"MPF\0":
            frames = True
        place += 2 + length
    return frames, orientation


def _read_orientation(exif: bytes) -> int:
    """Return the orientation that EXIF data (a TIFF header and its first directory) note."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(entries):
            place = start + 2 + 12 * entry
            if struct.unpack_from(order + "H", exif, place)[0] == _ORIENTATION:
                return int(struct.unpack_from(order + "H", exif, place + 8)[0])
    except struct.error:
        pass
    return 1


def _decode_with_pillow(
    data: bytes, where: str, how: Decoding
) -> tuple[ImageArray, list[str], int]:
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise DataError(f"{where}: the file is empty")
    formats = list_formats()
    try:
        with no_pixel_limit(), Image.open(io.BytesIO(data), formats=formats) as picture:
            _check_pixels(picture.height, picture.width, where, how)
            # Loading, which reading EXIF may do too, forgets how many bits colours had.
            is_deep = ";16" in str(picture.tile)
            orientation = picture.getexif().get(_ORIENTATION, 1)
            picture.load()
            # Of TIFFs loading applies the orientation.
            is_turned = picture.format == "TIFF" and orientation in _TURNS
            remarks = [FRAMES] * bool(getattr(picture, "is_animated", False))
            if picture.mode[0] not in "IF":
                image = _turn_back(np.array(picture.convert("RGB")), orientation * is_turned)
                if is_deep:
                    image = _decode_deep_colour(data, picture.format, how.white, image)
                    remarks += _remark_deep(image)
                return image, remarks, orientation
            samples = _turn_back(np.asarray(picture), orientation * is_turned)
    except UnidentifiedImageError:
        if is_heic(data):
            raise DataError(f"{where}: {HEIC_HINT}") from None
        if data[:4] in _TIFF and (found := _decode_tiff(data, where, how)):
            return found
        raise DataError(
            f"{where}: no image of a known format, or damaged at its begin ({data[:8]!r}...)"
        ) from None
    except DataError:
        raise
    except Exception as error:  # whatever a parser stumbles over in damaged data
        raise _damaged(where, str(error) or type(error).__name__) from None
    grey = _scale(samples, how.white)
    remarks += _remark_deep(grey)
    return np.repeat(grey[..., None], 3, axis=2), remarks, orientation


def _decode_tiff(
    data: bytes, where: str, how: Decoding
) -> tuple[ImageArray, list[str], int] | None:
    """Decode a TIFF of a kind that Pillow does not know, such as one of colours in floats."""
    import cv2
    from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

    try:
        directory = Directory(data[:8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        width, height = int(directory[_WIDTH]), int(directory[_HEIGHT])
    except Exception:  # whatever a parser stumbles over in damaged data
        return None
    _check_pixels(height, width, where, how)
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        return None
    if samples.ndim == 3:
        samples = samples[..., 2::-1] if samples.shape[2] > 2 else samples[..., 0]
    image = _scale(samples, how.white)
    if image.ndim < 3:
        image = np.repeat(image[..., None], 3, axis=2)
    return image, _remark_deep(image), directory.get(_ORIENTATION, 1)


def _remark_deep(image: ImageArray) -> list[str]:
    """Return what there is to say of an image that had more than 8 bits."""
    return [DEEP] + [DARK] * bool(image.max(initial=0) < DARK_BELOW)


def _decode_deep_colour(
    data: bytes, kind: str | None, white: float, upper: ImageArray
) -> ImageArray:
    """Return a colour image of 16 bits scaled so that `white` is 255; `upper` has its upper 8."""
    if not white or kind not in ("PNG", "TIFF"):
        return upper
    import cv2

    # Pillow gives the upper 8 bits only.
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16 or samples.ndim < 3:
        return upper
    # Grey with alpha comes as four channels too.
    return _scale(samples[..., 2::-1], white)


def _turn_back(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    mirrored, quarters = _TURNS.get(orientation, (False, 0))
    image = np.rot90(image, -quarters)
    return image[:, ::-1] if mirrored else image


def _scale(samples: npt.NDArray[Any], white: float) -> npt.NDArray[np.uint8]:
    """Bring samples of more than 8 bits to 8, by the rule that stands above."""
    if not white and samples.dtype.kind == "u" and samples.dtype.itemsize == 2:
        return (samples >> 8).astype(np.uint8)
    values = np.nan_to_num(samples.astype(np.float64), posinf=0, neginf=0)
    if not white:
        highest = float(values.max(initial=0))
        steps: Sequence[float] = (1.0, 255.0, 65535.0)
        # An image of integers is not all black and white.
        steps = steps if samples.dtype.kind == "f" else steps[1:]
        white = next((step for step in steps if highest <= step), highest)
    return np.round(np.clip(values / white, 0, 1) * 255).astype(np.uint8)


def _check_pixels(height: int, width: int, where: str, how: Decoding) -> None:
    if height * width > how.most_pixels:
        raise DataError(
            f"{where}: an image of {width:,} x {height:,} pixels; at most {how.most_pixels:,} are "
            "decoded: make it smaller, or raise the limit (--max-pixels)"
        )


def _damaged(where: str, detail: str) -> DataError:
    return DataError(f"{where}: the image is damaged or cut short ({detail})")
