"""What a file is that is given for a checkpoint and is none, known by how it begins."""

from collections.abc import Sequence
from pathlib import Path

# Bytes at the beginning -> what the file is and what to do.
_BEGINNINGS = (
    (
        b"version https://git-lfs",
        "a pointer of Git LFS: the file itself was not fetched; 'git lfs pull' gets it",
    ),
    (b"\x1f\x8b", "a file packed by gzip; unpack it first"),
    (b"BZh", "a file packed by bzip2; unpack it first"),
    (b"\xfd7zXZ\x00", "a file packed by xz; unpack it first"),
    (b"\x89HDF", "a file of HDF5 (Keras?), which is not read"),
    (b"\x93NUMPY", "an array of NumPy, which is not read"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"%PDF", "a PDF"),
)
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")


def foreign_kind(path: Path, beginning: bytes) -> str:
    """Return what a file is, in words that say what to do; "" where it is not known.

    Args:
        path: the file.
        beginning: its first 512 bytes.
    """
    for start, kind in _BEGINNINGS:
        if beginning.startswith(start):
            return kind
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(_PAGES):
        return "a web page; the address may need a login, or lead to a page about the file"
    if beginning[257:262] == b"ustar":
        return "an archive of tar; unpack it first"
    if path.suffix == ".onnx":
        return "a network of ONNX, which is not read"
    if text[:1] in (b"{", b"[") and text.isascii():
        return "a text, of JSON it seems"
    return ""


def archive_kind(names: Sequence[str]) -> str:
    """Return what an archive of zip holds that is no checkpoint; "" where it may be one."""
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return (
            "a program of TorchScript, which is not run; save its weights: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
        )
    if "archive_format" in inner or any(name.startswith("models/") for name in inner):
        return "a program of torch.export, which is not run; save the network's state_dict"
    if names and "data.pkl" not in inner:
        return f"an archive of zip, which holds {', '.join(list(names)[:3])}; unpack it first"
    return ""
