"""Reader of ImageNet (ILSVRC 2012), the classification task.

Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015. Classes are
WordNet ids; labels follow their alphabetical order, not the numbers of the development kit.
"""

import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pycls.datasets.readers import layout, tables
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.containers.parquet import Columns, note_files, read_shards
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_WNID = re.compile(r"n\d{8}")
# Hugging Face's archives put the class behind the published names.
_TRAIN_FILE = re.compile(r"((n\d{8})_\d+)(?:_\2)?\.JPEG", re.IGNORECASE)
_VAL_FILE = re.compile(r"(ILSVRC2012_val_(\d{8}))(?:_(n\d{8}))?\.JPEG", re.IGNORECASE)
_VAL_FOLDERS = ("val", "validation", "ilsvrc2012_img_val")
_MOST_NOTES = 10
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
# Of Kaggle's copy: the classes and boxes of the validation images, and the classes' words.
_SOLUTION = "LOC_val_solution.csv"
_MAPPING = "LOC_synset_mapping.txt"
_EXPECTED = (
    "ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz in one "
    "folder, or the folders train/<wnid>/ and val/<wnid>/, or the copy of Kaggle or Hugging Face"
)

# A file, and its name as published.
_Image = tuple[Member, str]


@dataclass
class _Found:
    """Images by where they are: of a class (wnid to files), or of a side without classes."""

    train: dict[str, list[_Image]] = field(default_factory=dict)
    val: dict[str, list[_Image]] = field(default_factory=dict)
    flat_val: dict[int, _Image] = field(default_factory=dict)
    left_out: int = 0
    words: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Synsets:
    """What the development kit's meta.mat says of the classes."""

    wnids: Mapping[int, str]
    words: Mapping[str, str]
    train_images: Mapping[str, int]


def read_imagenet(source: Source, num_classes: int = 1000) -> Listing:
    """List ImageNet's training and validation images; the latter are the test side.

    Takes the three published archives, unpacked or not, folders of classes, Kaggle's copy, and
    Hugging Face's archives or Parquet files. The labels of validation images that lie in no class
    folder come from the development kit, or Kaggle's table.

    Args:
        source: where it is.
        num_classes: classes there must be; another number for a subset of the classes.

    Raises:
        DataError: a side, a class or the development kit is missing, or disagrees.
    """
    packed = any(member.suffix == ".parquet" for member in source.members)
    found = _sort_parquet(source) if packed else _sort_images(source)
    for side, images in (("training", found.train), ("validation", found.val or found.flat_val)):
        if not images:
            raise DataError(f"{source.path}: no {side} image found; expected {_EXPECTED}")
    synsets = _read_synsets(source)
    if found.flat_val:
        _label_validation(source, found, synsets)
    _check_classes(source, found, synsets, num_classes)
    names = tuple(sorted(found.train))
    labels = {wnid: label for label, wnid in enumerate(names)}
    items, notes = layout.finish_items(_make_items(found, labels), source)
    words = synsets.words if synsets else found.words or _read_mapping(source)
    notes += [*note_files(source), *_compare(items, names, num_classes, synsets)]
    if num_classes == 1000 and not words:
        notes.append("no development kit: the classes' words are not known")
    if found.left_out:
        notes.append(f"{found.left_out:,} images of neither side (such as the test images)")
    return Listing(
        items=items,
        class_names=names,
        notes=tuple(notes),
        class_titles={wnid: words[wnid] for wnid in names if wnid in words},
        official_split="the published one: the validation images are the test side",
    )


def _sort_images(source: Source) -> _Found:
    found = _Found()
    for member in layout.find_images(source, _EXPECTED):
        *folders, file = layout.path_parts(member.name)
        wnid = next((part for part in reversed(folders) if _WNID.fullmatch(part)), "")
        train, val = _TRAIN_FILE.fullmatch(file), _VAL_FILE.fullmatch(file)
        if val:
            image, wnid = (member, f"{val[1]}.JPEG"), wnid or val[3] or ""
        elif train:
            image, wnid = (member, f"{train[1]}.JPEG"), wnid or train[2]
        else:
            image = (member, file)
        is_val = bool(val) or any(part.lower() in _VAL_FOLDERS for part in folders)
        if wnid:
            side = found.val if is_val else found.train
            side.setdefault(wnid, []).append(image)
        elif val:
            other, _ = found.flat_val.setdefault(int(val[2]), image)
            if other.size != member.size:
                raise DataError(
                    f"{source.path}: two different images {file}: {other.name} and {member.name}"
                )
        else:
            found.left_out += 1
    return found


def _sort_parquet(source: Source) -> _Found:
    """Sort the images of Hugging Face's Parquet files, whose labels follow the sorted wnids."""
    found, wnids = _Found(), dict[object, str]()
    shards = read_shards(source, Columns())
    val: list[tuple[object, _Image]] = []
    for shard in shards:
        for member, path, label in zip(shard.images, shard.paths, shard.labels, strict=True):
            file = path.rpartition("/")[2]
            if shard.word in layout.TRAIN_WORDS:
                match = _TRAIN_FILE.fullmatch(file)
                if match is None:
                    raise DataError(
                        f"{source.where(member)}: is called '{path}'; expected a name such as "
                        "'n01440764_10026.JPEG'"
                    )
                if wnids.setdefault(label, match[2]) != match[2]:
                    raise DataError(
                        f"{source.where(member)}: '{path}' has the label {label}, which is that of "
                        f"'{wnids[label]}' elsewhere"
                    )
                found.train.setdefault(match[2], []).append((member, f"{match[1]}.JPEG"))
            elif match := _VAL_FILE.fullmatch(file):
                val.append((label, (member, f"{match[1]}.JPEG")))
            else:
                found.left_out += 1
    for label, image in val:
        if label not in wnids:
            raise DataError(
                f"{source.where(image[0])}: label {label}, of which there is no training image"
            )
        found.val.setdefault(wnids[label], []).append(image)
    titles = next((shard.class_names for shard in shards if shard.class_names), ())
    found.words = {
        wnid: titles[label]
        for label, wnid in wnids.items()
        if isinstance(label, int) and 0 <= label < len(titles)
    }
    return found


def _read_mapping(source: Source) -> dict[str, str]:
    """Read the classes' words of Kaggle's copy, if they are there."""
    member = _find(source, _MAPPING)
    lines = layout.read_text(source, member).splitlines() if member else []
    return {wnid: words.strip() for wnid, _, words in (line.partition(" ") for line in lines)}


def _read_synsets(source: Source) -> _Synsets | None:
    """Read the classes' numbers and words of the development kit, if it is there."""
    member = _find(source, "meta.mat")
    if member is None:
        return None
    from scipy.io import loadmat

    where = source.where(member)
    data = source.read(member)
    try:
        table = loadmat(io.BytesIO(data), squeeze_me=True)["synsets"]
        # Inner nodes of WordNet's tree have children; the task's classes have none.
        rows = [row for row in table if int(row["num_children"]) == 0]
        wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
        words = {str(row["WNID"]): str(row["words"]) for row in rows}
        images = {str(row["WNID"]): int(row["num_train_images"]) for row in rows}
    except Exception as error:  # whatever SciPy stumbles over in damaged data
        raise DataError(
            f"{where}: not the development kit's table of synsets, or damaged "
            f"({type(error).__name__}: {error})"
        ) from None
    return _Synsets(wnids, words, images)


def _label_validation(source: Source, found: _Found, synsets: _Synsets | None) -> None:
    """Put validation images that lie in no class folder to their classes."""
    truth, solution = _find(source, _GROUND_TRUTH), _find(source, _SOLUTION)
    if solution is not None and (truth is None or synsets is None):
        _label_by_solution(source, solution, found)
        return
    if truth is None or synsets is None:
        missing = _GROUND_TRUTH if truth is None else "meta.mat"
        raise DataError(
            f"{source.path}: the validation images are in no class folders and the file "
            f"'{missing}' with their classes is not there; put the development kit "
            f"(ILSVRC2012_devkit_t12.tar.gz), or Kaggle's '{_SOLUTION}', into the same folder"
        )
    where = source.where(truth)
    ids = source.read(truth).decode("utf-8", "replace").split()
    if len(ids) < max(found.flat_val):
        raise DataError(
            f"{where}: {len(ids):,} lines, but the images go up to number "
            f"{max(found.flat_val):,}; take the development kit of ILSVRC 2012"
        )
    for number, image in found.flat_val.items():
        text = ids[number - 1]
        wnid = synsets.wnids.get(int(text)) if text.isdecimal() else None
        if wnid is None:
            raise DataError(
                f"{where}, line {number}: '{text}' is no class of meta.mat; expected one of "
                f"{len(synsets.wnids)} numbers"
            )
        found.val.setdefault(wnid, []).append(image)


def _label_by_solution(source: Source, solution: Member, found: _Found) -> None:
    """Label validation images by Kaggle's table: "n03995372 85 1 499 272 ...", a box each five."""
    where = source.where(solution)
    wnids: dict[str, str] = {}
    for row in tables.read_table(source, solution, ("imageid", "predictionstring")):
        named = row["predictionstring"].split()[::5]
        if len(set(named)) != 1 or not _WNID.fullmatch(named[0]):
            raise DataError(
                f"{where}, line {row.line}: '{row['predictionstring'][:60]}'; expected one class "
                "(wnid), and four numbers for each of its boxes"
            )
        wnids[row["imageid"]] = named[0]
    for number, image in found.flat_val.items():
        name = f"ILSVRC2012_val_{number:08}"
        if name not in wnids:
            raise DataError(f"{where}: no row of '{name}', whose image is there")
        found.val.setdefault(wnids[name], []).append(image)


def _check_classes(
    source: Source, found: _Found, synsets: _Synsets | None, num_classes: int
) -> None:
    if synsets and len(synsets.wnids) == num_classes:
        layout.require_classes(
            list(found.train), sorted(synsets.words), f"{source.path}, training side"
        )
    elif len(found.train) != num_classes:
        raise DataError(
            f"{source.path}: training images of {len(found.train)} classes, expected "
            f"{num_classes}; complete them, or give num_classes for a subset"
        )
    unlabelled = sorted(set(found.val) - set(found.train))
    if unlabelled and num_classes < len(found.val):
        # A subset of the classes beside all validation images.
        for wnid in unlabelled:
            found.left_out += len(found.val.pop(wnid))
    elif unlabelled:
        raise DataError(
            f"{source.path}: validation images of {layout.name_some(unlabelled)}, of which there "
            "is no training image"
        )
    layout.require_classes(list(found.val), sorted(found.train), f"{source.path}, validation side")


def _make_items(found: _Found, labels: Mapping[str, int]) -> Iterable[Item]:
    for side, word, classes in ((0, "train", found.train), (1, "val", found.val)):
        for wnid, images in classes.items():
            for member, file in images:
                # The published names of validation images do not depend on a class folder.
                folder = word if _VAL_FILE.fullmatch(file) else f"{word}/{wnid}"
                yield Item(member, f"{folder}/{file}", labels[wnid], side=side)


def _compare(
    items: list[Item], names: tuple[str, ...], num_classes: int, synsets: _Synsets | None
) -> list[str]:
    """Return notes on counts that differ from the published ones."""
    if num_classes != 1000:
        return []
    notes = layout.compare_sides(items, "imagenet", "training images", "validation images")
    if synsets:
        counts = Counter(names[item.label] for item in items if item.side == 0)
        published = {wnid: synsets.train_images[wnid] for wnid in names}
        differing = layout.compare_counts(counts, published, "training images of ")
        notes += differing[:_MOST_NOTES]
        if len(differing) > _MOST_NOTES:
            notes.append(
                f"so do the training images of {len(differing) - _MOST_NOTES} more classes"
            )
    return notes


def _find(source: Source, file: str) -> Member | None:
    return next((member for member in source.members if member.file == file), None)
