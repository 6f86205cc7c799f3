"""The image formats that are read: every raster format that Pillow decodes, known by content.

Left out are formats that Pillow only identifies (BUFR, GRIB, HDF5, MPEG) and programs that draw
(EPS, WMF). HEIC is read where the package pillow-heif is installed.
"""

import contextlib
import functools
import io
from collections.abc import Iterator

# Files of these names are taken for images without a look; decoding knows them by content.
IMAGE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "bmp", "dib", "gif", "webp"),
        *("tif", "tiff", "avif", "avifs", "heic", "heif", "hif", "tga", "qoi"),
        *("jp2", "j2k", "jpx", "jpf", "jpc", "j2c", "ppm", "pgm", "pbm", "pnm"),
        # Of SPIDER, a format without a mark of its own, for which Pillow knows no suffix.
        "spi",
    )
)
# Of cameras' raw files Pillow would read the small preview in them.
RAW_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("3fr", "arw", "cr2", "cr3", "dng", "erf", "kdc", "mrw", "nef", "nrw", "orf", "pef"),
        *("raf", "raw", "rw2", "srw", "x3f"),
    )
)
HEIC_HINT = "HEIC images need a further package: python -m pip install pillow-heif"
_NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
# Bytes from which a format is told, and how many of a file are enough to say that it may be one.
HEAD_BYTES = 32
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


@functools.cache
def list_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read."""
    from PIL import Image

    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in Image.ID if name not in _NOT_DECODED)


def is_heic(head: bytes) -> bool:
    """Say whether a file's first bytes are those of HEIC."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


def may_be_image(head: bytes, suffix: str) -> bool:
    """Say whether a file that begins so, and has this suffix (lower case), may be an image."""
    from PIL import Image

    if suffix in RAW_SUFFIXES:
        return False
    if is_heic(head) or Image.registered_extensions().get(suffix) in list_formats():
        return True
    start = head[:16].ljust(16, b"\0")
    for name in list_formats():
        accepts = Image.OPEN[name][1]
        # Formats without a mark of their own are known by their suffix only.
        if accepts is not None and accepts(start) is True:
            return True
    return False


def is_image_content(data: bytes) -> bool:
    """Say whether a file's bytes are those of an image that is read."""
    from PIL import Image

    if is_heic(data):
        return True
    try:
        with no_pixel_limit(), Image.open(io.BytesIO(data), formats=list_formats()):
            return True
    except Exception:  # whatever a parser stumbles over
        return False


@contextlib.contextmanager
def no_pixel_limit() -> Iterator[None]:
    """Have Pillow not warn of large images, for which there is a limit of our own."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
