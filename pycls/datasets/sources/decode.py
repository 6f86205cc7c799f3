"""The decoding of image files, damaged ones refused, and the fitting of images to a size.

JPEGs go through simplejpeg, other formats through Pillow. Both JPEG decoders fill what is
missing of a cut file with grey unless told otherwise, and Pillow does so too where the missing
part was replaced by zeros, as broken downloads have it; simplejpeg reports every such file.
The EXIF orientation is ignored: pixels stay as stored.
"""

import io
import re

import numpy as np

from pycls.datasets.store.store import ImageArray
from pycls.errors import ConfigError, DataError

ASPECTS = ("crop", "squash", "pad")
# 89 million pixels decode to 268 MB; what claims more is a mistake or an attack.
MOST_PIXELS = 89_000_000
_PILLOW_FORMATS = ("JPEG", "PNG", "BMP")
# All of the image was there when the decoder came upon these; common in collected photographs.
_HARMLESS = re.compile(r"extraneous bytes before marker 0xd9")


def decode_image(data: bytes, where: str) -> ImageArray:
    """Decode an image file: JPEG, PNG or BMP, known by its content.

    Grey, palette and CMYK (also with Adobe's inversion) become RGB; of 16 bits the upper 8 are
    taken; transparency is ignored.

    Args:
        data: the file's bytes.
        where: what to call it in messages.

    Returns:
        uint8, H x W x 3, RGB.

    Raises:
        DataError: it is no such image, cut short, damaged, or of more than `MOST_PIXELS`.
    """
    if data[:3] == b"\xff\xd8\xff":
        image = _decode_jpeg(data, where)
        if image is not None:
            return image
    return _decode_with_pillow(data, where)


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


def _decode_jpeg(data: bytes, where: str) -> ImageArray | None:
    """Decode a JPEG; None for the rare kinds that only Pillow reads."""
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        # Pillow misses it where zeros took the place of the end.
        if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
            raise _damaged(where, "it has no end") from None
        return None
    _check_pixels(height, width, where)
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


def _decode_with_pillow(data: bytes, where: str) -> ImageArray:
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise DataError(f"{where}: the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as picture:
            _check_pixels(picture.height, picture.width, where)
            picture.load()
            if picture.mode.startswith("I"):
                grey = (np.asarray(picture) >> 8).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError:
        raise DataError(
            f"{where}: not a JPEG, PNG or BMP image, or damaged at its begin ({data[:8]!r}...)"
        ) from None
    except DataError:
        raise
    except Exception as error:  # whatever a parser stumbles over in damaged data
        raise _damaged(where, str(error) or type(error).__name__) from None


def _check_pixels(height: int, width: int, where: str) -> None:
    if height * width > MOST_PIXELS:
        raise DataError(
            f"{where}: an image of {width:,} x {height:,} pixels; at most {MOST_PIXELS:,} pixels "
            "are decoded"
        )


def _damaged(where: str, detail: str) -> DataError:
    return DataError(f"{where}: the image is damaged or cut short ({detail})")
