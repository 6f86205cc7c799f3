"""Writing a prepared set: all of it or nothing.

A set is written to a hidden folder beside its place, flushed to disk and renamed: a kill or
a full disk leaves nothing that opens.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pycls import files
from pycls.datasets.store import (
    ARRAY_FILES,
    FORMAT_VERSION,
    META_FILE,
    SIDES,
    ImageArray,
    IntArray,
    compute_fingerprint,
)
from pycls.errors import DataError


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


class _HashingWriter:
    """A binary file that keeps the SHA-256 and the number of the bytes written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._bytes = 0

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self._bytes += memoryview(data).nbytes
        return self._file.write(data)

    def record(self) -> dict[str, Any]:
        return {"bytes": self._bytes, "sha256": self._hash.hexdigest()}


def write_store(
    path: str | os.PathLike[str],
    images: ImageArray | Iterable[ImageArray],
    labels: npt.ArrayLike,
    split: npt.ArrayLike,
    class_names: Sequence[str],
    facts: SetFacts,
) -> Path:
    """Write a prepared set; on success it takes the place of what is at `path`.

    For one writer of `path` at a time (:func:`pycls.datasets.prepare.prepare` holds a lock):
    what killed writers of the same set left behind is removed first.

    Args:
        path: the set's folder.
        images: uint8, N x H x W x 3, or any iterable of N images of one size, which are
            written as they come and never held together.
        labels: N integers, positions in `class_names`.
        split: N values, 0 for train and 1 for test.
        class_names: distinct names in label order.
        facts: what the set says about itself.

    Returns:
        `path`.

    Raises:
        DataError: the parts do not fit together (sizes, types, label range, an empty class
            or side).
        OSError: it could not be written; nothing is left behind then.
    """
    path = Path(path)
    labels = np.ascontiguousarray(labels, dtype=np.int64)
    split = np.ascontiguousarray(split, dtype=np.uint8)
    _check_labels(facts.name, labels, split, class_names)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_partials(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{files.PARTIAL_SUFFIX}")
    try:
        temporary.mkdir()
        arrays, im_size, mean, std = _write_images(
            temporary / ARRAY_FILES[0], images, split, facts.name
        )
        arrays[ARRAY_FILES[1]] = _write_array(temporary / ARRAY_FILES[1], labels)
        arrays[ARRAY_FILES[2]] = _write_array(temporary / ARRAY_FILES[2], split)
        meta = {
            **asdict(facts),
            "format": FORMAT_VERSION,
            "arrays": arrays,
            "class_names": list(class_names),
            "num_classes": len(class_names),
            "counts": _count(labels, split, class_names),
            "num_images": len(labels),
            "im_size": im_size,
            "mean": mean,
            "std": std,
            "fingerprint": compute_fingerprint(arrays, class_names),
        }
        files.write_json(temporary / META_FILE, meta)
        _sync_folder(temporary)
        _replace_folder(temporary, path)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def remove_stale_partials(path: Path) -> None:
    """Remove what killed writers of the set at `path` left beside it."""
    for left in path.parent.glob(f".{path.name}.*{files.PARTIAL_SUFFIX}"):
        # Not the folder of a set whose name only begins alike.
        if left.name.removeprefix(f".{path.name}.").split(".")[0].isdigit():
            shutil.rmtree(left, ignore_errors=True)


def _check_labels(
    name: str, labels: IntArray, split: npt.NDArray[np.uint8], class_names: Sequence[str]
) -> None:
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
    if split.max() > 1:
        raise DataError(f"{name}: split holds {split.max()}; expected 0 (train) or 1 (test)")
    for side, counts in _count(labels, split, class_names).items():
        empty = [label for label, count in counts.items() if not count]
        if empty:
            raise DataError(f"{name}: no image on the {side} side of class {', '.join(empty)}")


def _count(
    labels: IntArray, split: npt.NDArray[np.uint8], class_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    counts = {}
    for value, side in enumerate(SIDES):
        found = np.bincount(labels[split == value], minlength=len(class_names))
        counts[side] = dict(zip(class_names, found.tolist(), strict=True))
    return counts


def _write_images(
    path: Path, images: Iterable[ImageArray], split: npt.NDArray[np.uint8], name: str
) -> tuple[dict[str, Any], list[int], list[float], list[float]]:
    """Write the images one by one; return records, size, channel mean and deviation."""
    histogram = np.zeros((3, 256), dtype=np.int64)
    shape: tuple[int, ...] = ()
    count = 0
    with path.open("wb") as file:
        writer = _HashingWriter(file)
        for count, image in enumerate(images, start=1):
            if count == 1:
                shape = image.shape
                _write_header(writer, (len(split), *shape), image.dtype)
            _check_image(name, count - 1, image, shape, len(split))
            writer.write(np.ascontiguousarray(image).data)
            if split[count - 1] == 0:
                for channel in range(3):
                    histogram[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
        _flush(file)
    if count != len(split):
        raise DataError(f"{name}: {count} images for {len(split)} labels")
    mean, std = _channel_statistics(histogram)
    return {path.name: writer.record()}, [int(side) for side in shape[:2]], mean, std


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


def _channel_statistics(histogram: IntArray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation in 0..1, exact but for one rounding, from 3 x 256 counts."""
    values = np.arange(256, dtype=np.int64)
    means, deviations = [], []
    for counts in histogram:
        # Python integers: the sums over a large set leave 64 bits.
        total = int(counts.sum())
        first = int((counts * values).sum())
        second = sum(int(count) * int(value) ** 2 for count, value in zip(counts, values))  # noqa: B905
        means.append(first / total / 255)
        deviations.append((second * total - first * first) ** 0.5 / total / 255)
    return means, deviations


def _write_header(writer: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(writer, header)


def _write_array(path: Path, array: npt.NDArray[Any]) -> dict[str, Any]:
    with path.open("wb") as file:
        writer = _HashingWriter(file)
        _write_header(writer, array.shape, array.dtype)
        writer.write(array.data)
        _flush(file)
    return writer.record()


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
