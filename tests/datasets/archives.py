"""Small downloads as publishers make them: trees of real files, packed in any way.

A tree maps "/"-separated paths to bytes. `pack` turns one into an archive's bytes, so that
archives nest: `{"train.tar": pack("tar", {"n01440764.tar": pack("tar", images)})}`.
"""

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

Tree = Mapping[str, bytes]

# What macOS and Windows leave in archives; readers must not see it.
JUNK = {
    "__MACOSX/._picture.jpg": b"\x00\x05\x16\x07",
    ".DS_Store": b"\x00\x00\x00\x01Bud1",
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
}


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Return a smooth random picture, uint8, H x W x 3; it survives JPEG within a few levels."""
    coarse = np.random.default_rng(seed).integers(30, 226, (3, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def encode(pixels: np.ndarray, kind: str = "jpeg") -> bytes:
    """Encode a picture as a file.

    Args:
        pixels: uint8, H x W x 3.
        kind: "jpeg", "jpeg_grey", "jpeg_cmyk", "jpeg_progressive", "png", "png_alpha",
            "png_palette", "png_grey16", "bmp", "bmp32".
    """
    image = Image.fromarray(pixels)
    if kind == "bmp32":
        return bmp32(pixels)
    if kind == "png_grey16":
        grey = np.asarray(image.convert("L")).astype(np.uint16) << 8
        return _save(Image.fromarray(grey), "PNG")
    if kind.startswith("jpeg"):
        mode = {"jpeg_grey": "L", "jpeg_cmyk": "CMYK"}.get(kind, "RGB")
        progressive = kind == "jpeg_progressive"
        # Colour at full resolution: what comes back is within a few levels of what went in.
        return _save(
            image.convert(mode), "JPEG", quality=95, subsampling=0, progressive=progressive
        )
    if kind == "png_alpha":
        alpha = Image.fromarray(np.full(pixels.shape[:2], 100, np.uint8))
        image.putalpha(alpha)
        return _save(image, "PNG")
    if kind == "png_palette":
        return _save(image.quantize(64), "PNG")
    return _save(image, kind.upper())


def make_image(seed: int, kind: str = "jpeg", height: int = 24, width: int = 32) -> bytes:
    """Return the bytes of an image file that no other seed gives; see `encode` for kinds."""
    return encode(picture(seed, height, width), kind)


def bmp32(pixels: np.ndarray, alpha: int = 0) -> bytes:
    """Return a 32-bit BMP with an alpha byte, uncompressed, bottom row first."""
    height, width = pixels.shape[:2]
    body = np.full((height, width, 4), alpha, np.uint8)
    body[..., :3] = pixels[::-1, :, ::-1]
    header = struct.pack("<2sIHHI", b"BM", 54 + body.size, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 32, 0, body.size, 0, 0, 0, 0)
    return header + info + body.tobytes()


def write_tree(folder: Path, tree: Tree) -> Path:
    """Write a tree's files below a folder; return the folder."""
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def pack(kind: str, tree: Tree) -> bytes:
    """Return an archive of a tree.

    Args:
        kind: "zip" (deflated), "zip_stored", "tar", "tar.gz", "tar.bz2" or "tar.xz".
        tree: paths and bytes, in the order in which they are packed.
    """
    file = io.BytesIO()
    if kind.startswith("zip"):
        method = zipfile.ZIP_STORED if kind == "zip_stored" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in tree.items():
                archive.writestr(name, data)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w:" + kind.partition(".")[2]) as archive:
        for name, data in tree.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def wrap(folder: str, tree: Tree) -> dict[str, bytes]:
    """Return a tree with a folder around it."""
    return {f"{folder}/{name}": data for name, data in tree.items()}


# Ways in which one tree may come: (name of the download, its tree) -> tree to write into a folder.
PACKINGS: dict[str, Callable[[str, Tree], dict[str, bytes]]] = {
    "folder": lambda name, tree: dict(tree),
    "wrapped": wrap,
    "doubled": lambda name, tree: wrap(f"{name}/{name}", tree),
    "zip": lambda name, tree: {f"{name}.zip": pack("zip", tree)},
    "wrapped_zip": lambda name, tree: {f"{name}.zip": pack("zip", wrap(name, tree))},
    "zip_in_zip": lambda name, tree: {"outer.zip": pack("zip", {f"{name}.zip": pack("zip", tree)})},
    "tar": lambda name, tree: {f"{name}.tar": pack("tar", tree)},
    "tar.gz": lambda name, tree: {f"{name}.tar.gz": pack("tar.gz", wrap(name, tree))},
}


def pack_as(way: str, tree: Tree, name: str = "download") -> dict[str, bytes]:
    """Return one of the ways in which a tree may come, with what systems leave behind."""
    return PACKINGS[way](name, {**tree, **JUNK})


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
