"""Writers of a prepared set, which write all of it or nothing.

A set is written to a hidden folder beside its place, flushed to disk and renamed: a kill or
a full disk leaves nothing that opens. :func:`write_store` does it from images that come one
after the other; :func:`finish_store` completes a folder whose images are written already.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pycls import files
from pycls.datasets.store.channel_sums import ChannelSums, sum_histogram
from pycls.datasets.store.store import (
    ARRAY_FILES,
    DIGESTS_FILE,
    FORMAT_VERSION,
    GROUPS_FILE,
    META_FILE,
    NAMES_FILE,
    SIDES,
    VALIDATION,
    VALIDATION_SIDE,
    ImageArray,
    IntArray,
    compute_digest,
    compute_fingerprint,
)
from pycls.errors import DataError

_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class SetFacts:
    """What a prepared set says about itself, beside what is computed from its arrays."""

    name: str
    title: str
    description: str
    source: str
    licence: str
    split_rule: str
    error_metric: str = "top1"
    seed: int | None = None
    mirror: bool = True
    recipe: Mapping[str, Any] = field(default_factory=dict)


def write_store(
    path: str | os.PathLike[str],
    images: ImageArray | Iterable[ImageArray],
    labels: npt.ArrayLike,
    split: npt.ArrayLike,
    class_names: Sequence[str],
    facts: SetFacts,
) -> Path:
    """Write a prepared set; on success it takes the place of what is at `path`.

    For one writer of `path` at a time (:func:`pycls.datasets.preparation.prepare.prepare` holds a
    lock): what killed writers of the same set left behind is removed first.

    Args:
        path: the set's folder.
        images: uint8, N x H x W x 3, or any iterable of N images of one size, which are
            written as they come and never held together.
        labels: N integers, positions in `class_names`.
        split: N values, 0 for train, 1 for test and 2 for validation.
        class_names: distinct names in label order.
        facts: what the set says about itself.

    Returns:
        `path`.

    Raises:
        DataError: the parts do not fit together (sizes, types, label range, a class without images
            to train or to test).
        OSError: it could not be written; nothing is left behind then.
    """
    path = Path(path)
    labels, split = _check_labels(facts.name, labels, split, class_names)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_partials(path)
    temporary = files.temporary_path(path)
    try:
        with files.naming(path):
            temporary.mkdir()
            path_of_images = temporary / ARRAY_FILES[0]
            im_size, sums, digests = _write_images(path_of_images, images, split, facts.name)
            finish_store(temporary, path, im_size, sums, labels, split, class_names, facts, digests)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def start_images(path: Path, count: int, im_size: tuple[int, int]) -> int:
    """Make an `images.npy` of its full size, to be filled in any order.

    A file that is there is kept, but for its header and what lies behind the images.

    Args:
        path: the file.
        count: number of images.
        im_size: height and width, in pixels.

    Returns:
        Where the first image begins, in bytes; the others follow without gaps.
    """
    header = io.BytesIO()
    _write_header(header, (count, *im_size, 3), np.dtype(np.uint8))
    offset = header.tell()
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.write(header.getvalue())
        file.truncate(offset + count * im_size[0] * im_size[1] * 3)
        _flush(file)
    return offset


def finish_store(
    folder: Path,
    path: Path,
    im_size: tuple[int, ...],
    sums: ChannelSums,
    labels: npt.ArrayLike,
    split: npt.ArrayLike,
    class_names: Sequence[str],
    facts: SetFacts,
    digests: npt.NDArray[np.uint8],
    names: Sequence[str] | None = None,
    extra: Mapping[str, Any] | None = None,
    advance: Callable[[int], None] | None = None,
    groups: IntArray | None = None,
) -> None:
    """Complete a folder that holds `images.npy`; it then takes the place of what is at `path`.

    May be repeated after a kill at any point.

    Args:
        folder: holds the images, on the file system of `path`.
        path: the set's folder.
        im_size: height and width of the images, in pixels.
        sums: over the train side.
        labels: N integers, positions in `class_names`.
        split: N values, 0 for train, 1 for test and 2 for validation.
        class_names: distinct names in label order.
        facts: what the set says about itself.
        digests: uint8, N x 16, a hash of each image's pixels.
        names: what the N images are called, if they have names.
        extra: more of that, entered into `meta.json` beside the facts.
        advance: called with the number of bytes read, as the images are read for their checksum.
        groups: N integers, images of one number belonging together; None: each stands for itself.

    Raises:
        DataError: as :func:`write_store`.
        OSError: it could not be written.
    """
    labels, split = _check_labels(facts.name, labels, split, class_names)
    arrays = {
        ARRAY_FILES[0]: _hash_file(folder / ARRAY_FILES[0], advance),
        ARRAY_FILES[1]: _write_array(folder / ARRAY_FILES[1], labels),
        ARRAY_FILES[2]: _write_array(folder / ARRAY_FILES[2], split),
    }
    records = {DIGESTS_FILE: _write_array(folder / DIGESTS_FILE, np.ascontiguousarray(digests))}
    if names is not None:
        text = json.dumps(list(names), ensure_ascii=False, indent=0)
        files.write_text(folder / NAMES_FILE, text + "\n")
        records[NAMES_FILE] = _hash_file(folder / NAMES_FILE)
    if groups is not None:
        records[GROUPS_FILE] = _write_array(folder / GROUPS_FILE, np.ascontiguousarray(groups))
    mean, std = sums.compute_statistics()
    meta = {
        **asdict(facts),
        **(extra or {}),
        "format": FORMAT_VERSION,
        "arrays": arrays,
        "records": records,
        "sides": list(_sides_of(split)),
        "class_names": list(class_names),
        "num_classes": len(class_names),
        "counts": count_images(labels, split, class_names),
        "num_images": len(labels),
        "im_size": list(im_size),
        "mean": mean,
        "std": std,
        "fingerprint": compute_fingerprint(arrays, class_names),
    }
    files.write_json(folder / META_FILE, meta)
    _sync_folder(folder)
    _replace_folder(folder, path)


def remove_stale_partials(path: Path) -> None:
    """Remove what killed writers of the set at `path` left beside it."""
    for left in path.parent.glob(f".{path.name}.*{files.PARTIAL_SUFFIX}"):
        # Not the folder of a set whose name only begins alike.
        if left.name.removeprefix(f".{path.name}.").split(".")[0].isdigit():
            shutil.rmtree(left, ignore_errors=True)


def _check_labels(
    name: str, labels: npt.ArrayLike, split: npt.ArrayLike, class_names: Sequence[str]
) -> tuple[IntArray, npt.NDArray[np.uint8]]:
    """Return labels (N) and split (N) as they are stored, if they and the class names fit.

    Raises:
        DataError: lengths, label range, a class name twice, a class without images to train or to
            test.
    """
    labels = np.ascontiguousarray(labels, dtype=np.int64)
    split = np.ascontiguousarray(split, dtype=np.uint8)
    if labels.ndim != 1 or labels.shape != split.shape or not len(labels):
        raise DataError(
            f"{name}: labels of shape {labels.shape} and split of shape {split.shape}; "
            "expected two lists of one length, at least 1"
        )
    if len(set(class_names)) != len(class_names):
        raise DataError(f"{name}: a class name occurs twice in {list(class_names)}")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            f"{name}: labels from {labels.min()} to {labels.max()}, expected 0 to "
            f"{len(class_names) - 1}"
        )
    if split.max() > VALIDATION_SIDE:
        raise DataError(
            f"{name}: split holds {split.max()}; expected 0 (train), 1 (test) or 2 (validation)"
        )
    counts = count_images(labels, split, class_names)
    for side in SIDES:
        empty = [label for label, count in counts[side].items() if not count]
        if empty:
            raise DataError(f"{name}: no image on the {side} side of class {', '.join(empty)}")
    return labels, split


def count_images(
    labels: IntArray, split: npt.NDArray[np.uint8], class_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Return {side: {class: number of images}}, of the third side where there is one."""
    counts = {}
    for value, side in enumerate(_sides_of(split)):
        found = np.bincount(labels[split == value], minlength=len(class_names))
        counts[side] = dict(zip(class_names, found.tolist(), strict=True))
    return counts


def _sides_of(split: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    return (*SIDES, VALIDATION) if VALIDATION_SIDE in split else SIDES


def _write_images(
    path: Path, images: Iterable[ImageArray], split: npt.NDArray[np.uint8], name: str
) -> tuple[tuple[int, ...], ChannelSums, npt.NDArray[np.uint8]]:
    """Write the images one by one; return their size, sums over the train side, and hashes."""
    digests = []
    histogram = np.zeros((3, 256), dtype=np.int64)
    shape: tuple[int, ...] = ()
    count = 0
    with path.open("wb") as file:
        for count, image in enumerate(images, start=1):
            if count == 1:
                shape = image.shape
                _write_header(file, (len(split), *shape), image.dtype)
            _check_image(name, count - 1, image, shape, len(split))
            data = np.ascontiguousarray(image).data
            file.write(data)
            digests.append(compute_digest(data))
            if split[count - 1] == 0:
                for channel in range(3):
                    histogram[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
        _flush(file)
    if count != len(split):
        raise DataError(f"{name}: {count} images for {len(split)} labels")
    hashes = np.frombuffer(b"".join(digests), np.uint8).reshape(count, -1)
    return shape[:2], sum_histogram(histogram), hashes


def _check_image(
    name: str, index: int, image: ImageArray, shape: tuple[int, ...], total: int
) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(
            f"{name}: image {index} is {image.dtype} of shape {image.shape}; expected uint8, "
            "height x width x 3"
        )
    if image.shape != shape:
        raise DataError(f"{name}: image {index} is of shape {image.shape}, the first of {shape}")
    if index >= total:
        raise DataError(f"{name}: more images than the {total} labels")


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _write_array(path: Path, array: npt.NDArray[Any]) -> dict[str, Any]:
    with path.open("wb") as file:
        _write_header(file, array.shape, array.dtype)
        file.write(array.data)
        _flush(file)
    return _hash_file(path)


def _hash_file(path: Path, advance: Callable[[int], None] | None = None) -> dict[str, Any]:
    digest, total = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            total += len(block)
            if advance is not None:
                advance(len(block))
    return {"bytes": total, "sha256": digest.hexdigest()}


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace_folder(temporary: Path, path: Path) -> None:
    """Put the finished folder in its place; what stood there is moved away first."""
    replaced = None
    if path.exists():
        replaced = path.with_name(f".{path.name}.{os.getpid()}.old{files.PARTIAL_SUFFIX}")
        path.replace(replaced)
    try:
        temporary.replace(path)
    except OSError:
        if replaced is not None:
            replaced.replace(path)
        raise
    _sync_folder(path.parent)
    if replaced is not None:
        shutil.rmtree(replaced, ignore_errors=True)
