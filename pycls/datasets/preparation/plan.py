"""The plan of a preparation: a set's images, their order, labels and sides."""

import hashlib
import inspect
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.catalog.entry import CatalogEntry
from pycls.datasets.preparation.decoded import Decoded
from pycls.datasets.preparation.duplicates import resolve_copies
from pycls.datasets.preparation.given_split import (
    BY_GROUP,
    BY_IMAGE,
    describe_shared_groups,
    without_groups,
)
from pycls.datasets.preparation.group_split import split_groups
from pycls.datasets.preparation.set_report import SetReport, describe_count
from pycls.datasets.readers import layout
from pycls.datasets.readers.base import ImageSequence, Item, Listing
from pycls.datasets.sources.decode import ASPECTS
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import SIDES, VALIDATION_SIDE, ImageArray, IntArray
from pycls.errors import ConfigError, DataError

# What the pipeline itself does with the options; a reader that names one gets it too.
PIPELINE_OPTIONS = ("size", "aspect", "test_share", "seed", "split", "test_files")
# Further ones that every downloaded set has, with their defaults; recorded where they differ.
RARE_OPTIONS = {"orientation": "ignore", "white": 0.0, "near_duplicates": "ignore"}
_CHOICES = {
    "aspect": ASPECTS,
    "orientation": ("ignore", "apply"),
    "near_duplicates": ("ignore", "group"),
    "split": (BY_GROUP, BY_IMAGE),
}
# Counts of an image's pixels are exact up to here (see channel_sums.sum_image).
_MOST_SIZE = 4096
# Another version of the pipeline does not take up what this one began.
_VERSION = 2
_DECODERS = ("pillow", "simplejpeg")


@dataclass(frozen=True)
class Plan:
    """Which of a listing's images make up the set, and on which side they are.

    Attributes:
        kept: int64, N, positions in the listing of the images that stay, ascending.
        split: uint8, N, 0 for train, 1 for test and 2 for validation.
        split_rule: how the split was made, in words.
        report: what was left out, merged or differs.
        num_groups: groups the images belong to, 0 where the set has none.
        groups: int64, N, the number of each image's group, copies and near copies counted; None:
            each image stands for itself.
    """

    kept: IntArray
    split: npt.NDArray[np.uint8]
    split_rule: str
    report: SetReport
    num_groups: int
    groups: IntArray | None = None


def check_pipeline_options(options: Mapping[str, Any]) -> None:
    """Check the values of the options that every downloaded set has.

    Raises:
        ConfigError: a size, share or aspect that cannot be.
    """
    if not 1 <= options["size"] <= _MOST_SIZE:
        raise ConfigError(f"size {options['size']}: expected 1 to {_MOST_SIZE}")
    for option, choices in _CHOICES.items():
        value = options.get(option, choices[0])
        if value not in choices:
            raise ConfigError(f"{option} '{value}': expected one of {', '.join(choices)}")
    if options.get("white", 0) < 0:
        raise ConfigError(f"white {options['white']}: expected a number above 0")
    share = options.get("test_share", 0.5)
    if not 0 < share < 1:
        raise ConfigError(f"test_share {share}: expected a number between 0 and 1")
    if options.get("split") == BY_IMAGE and options["test_files"]:
        raise ConfigError("split and test_files: give one of the two")


def read_listing(entry: CatalogEntry, source: Source, options: Mapping[str, Any]) -> Listing:
    """Have a set's reader list a source; the images come sorted by name.

    Raises:
        DataError: the source is not what the reader expects.
    """
    reader = entry.load_reader()
    taken = inspect.signature(reader).parameters.values()
    names = {parameter.name for parameter in taken}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
        names |= options.keys() - {*PIPELINE_OPTIONS, *RARE_OPTIONS}
    if entry.class_names:
        options = {**options, "class_names": "|".join(entry.class_names)}
    listing: Listing = reader(source, **{k: v for k, v in options.items() if k in names})
    _check_listing(entry.key, source, listing)
    unmatched = [f"--exclude '{each}' matches nothing" for each in sorted(source.sieve.unmatched)]
    notes = (*unmatched, *_note_guessed(source), *listing.notes)
    listing = replace(listing, left_out=_account(source, listing), notes=notes)
    if entry.compared:
        listing = _compare(entry, source, listing)
    order = sorted(range(len(listing.items)), key=lambda position: listing.items[position].name)
    if order == list(range(len(order))):
        return listing
    return replace(
        listing,
        items=[listing.items[position] for position in order],
        pixels=None if listing.pixels is None else _take(listing.pixels, order),
    )


def _compare(entry: CatalogEntry, source: Source, listing: Listing) -> Listing:
    """Compare a listing with what the catalogue knows; return it with notes on what differs.

    Raises:
        DataError: another number of classes.
    """
    if len(listing.class_names) != entry.num_classes:
        raise DataError(
            f"{source.describe()}, read as '{entry.key}': {len(listing.class_names)} classes, "
            f"expected {entry.num_classes}; give {entry.download}"
        )
    published = [item for item in listing.items if not layout.is_validation(item)]
    counts = Counter(listing.class_names[item.label] for item in published)
    notes = layout.compare_counts(counts, entry.class_counts, "images of ")
    if listing.items[0].side is not None:
        notes += layout.compare_sides(listing.items, entry.key, "train images", "test images")
    return replace(listing, notes=(*listing.notes, *notes))


def _take(pixels: ImageArray | ImageSequence, order: Sequence[int]) -> ImageArray | ImageSequence:
    """Return images in an order; channels that are one in memory stay so."""
    if isinstance(pixels, ImageSequence):
        raise ValueError("images that are loaded one by one must be listed by name")
    if pixels.strides[-1]:
        return pixels[order]
    return np.broadcast_to(pixels[..., 0][order][..., None], (len(order), *pixels.shape[1:]))


def _check_listing(key: str, source: Source, listing: Listing) -> None:
    where = f"{source.describe()}, read as '{key}'"
    if not listing.items:
        raise DataError(f"{where}: no image was found")
    name, count = Counter(item.name for item in listing.items).most_common(1)[0]
    if count > 1:
        raise DataError(f"{where}: {count} images are called '{name}'; expected one")
    present = {item.label for item in listing.items}
    expected = range(len(listing.class_names))
    if beyond := sorted(present - set(expected)):
        raise DataError(f"{where}: label {beyond[0]} of {len(expected)} classes")
    if absent := sorted(set(expected) - present):
        names = ", ".join(listing.class_names[label] for label in absent[:10])
        raise DataError(f"{where}: no image of class {names}")
    if len(expected) < 2:
        raise DataError(f"{where}: only one class, {listing.class_names[0]}; expected at least 2")
    sided = sum(item.side is not None for item in listing.items)
    if sided not in (0, len(listing.items)):
        raise DataError(
            f"{where}: {sided} of {len(listing.items)} images say which side they are on; "
            "expected all or none"
        )


def _note_guessed(source: Source) -> list[str]:
    names = source.sieve.guessed
    if not names:
        return []
    return [
        f"the names of {len(names):,} files in zips are not in UTF-8 and were read as those of DOS "
        f"({layout.name_some(names)}); if they look wrong, unpack the zips and give the folder"
    ]


def _account(source: Source, listing: Listing) -> dict[str, Sequence[str]]:
    """Return the files that are not images of the set, by the reason."""
    account = dict(listing.left_out)
    # In an order that does not depend on the disk.
    account["as hidden or left behind by systems and programs"] = sorted(source.sieve.litter)
    account["as asked (--exclude)"] = sorted(source.sieve.excluded)
    return {reason: names for reason, names in account.items() if names}


def describe_work(listing: Listing, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a preparation: one that is interrupted goes on if this is equal."""
    return {
        "version": _VERSION,
        "decoders": {name: version(name) for name in _DECODERS},
        "recipe": json.loads(json.dumps(recipe)),
        "source": compute_listing_digest(listing),
    }


def compute_listing_digest(listing: Listing) -> str:
    """Return a hash over names, sizes, labels, groups and sides, and the pixels where given.

    It does not depend on how the files are packed.
    """
    digest = hashlib.sha256(json.dumps(listing.class_names).encode("utf-8"))
    for item in listing.items:
        size = item.member.size if item.member is not None else 0
        parts = (item.name, size, item.label, item.group, item.side, item.stratum, item.box)
        digest.update(repr(parts).encode("utf-8", "surrogateescape"))
    if isinstance(listing.pixels, ImageSequence):
        digest.update(listing.pixels.digest.encode("utf-8"))
    elif listing.pixels is not None:
        for image in listing.pixels:
            digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def make_plan(
    listing: Listing,
    decoded: Decoded,
    options: Mapping[str, Any],
    near: Sequence[Sequence[int]] = (),
) -> Plan:
    """Decide which images stay, and divide them.

    Args:
        listing: what the reader found, sorted by name.
        decoded: what its images turned out to be.
        options: the set's options.
        near: images (positions in the listing) that nearly look alike, to be kept on one side.

    Raises:
        DataError: a class cannot be on both sides.
    """
    groups = {item.name: item.group for item in listing.items}
    by_image = options.get("split") == BY_IMAGE
    if by_image:
        listing = without_groups(listing)
    report = SetReport([*listing.notes, *_note_spellings(listing.class_names)])
    report.add_left_out(listing.left_out)
    report.add_remarks(decoded, [item.name for item in listing.items], options)
    keys = [digest.tobytes() for digest in decoded.digests]
    readable = [at for at in range(len(listing.items)) if at not in decoded.unreadable]
    copies = resolve_copies(
        [listing.items[at] for at in readable],
        [keys[at] for at in readable],
        _within(near, readable),
    )
    kept = np.array(readable, dtype=np.int64)[copies.kept]
    report.add_copies(copies)
    report.add_near([[listing.items[at].name for at in cluster] for cluster in near])
    items = [listing.items[at] for at in kept.tolist()]
    labels = np.array([item.label for item in items], dtype=np.int64)
    _check_all_left(labels, listing, decoded)
    num_groups = len({item.group for item in items} - {None})
    if items[0].side is not None:
        split = np.array([item.side for item in items], dtype=np.uint8)
        _check_both_sides(labels, split, listing)
        rule = listing.official_split or "as the set is published"
        _note_shared_groups(items, report)
    else:
        share, seed = options["test_share"], options["seed"]
        strata = [item.stratum for item in items]
        split = split_groups(labels, copies.groups, share, seed, strata, listing.class_names)
        rule = _describe_split(share, seed, num_groups, len(set(strata)) > 1)
        if by_image:
            rule += (
                "; by image, as in the published study's code, whose draw had no working seed and "
                "so put other images there"
            )
        report.add_shares(labels, split, share, listing.class_names)
    shared = describe_shared_groups(
        [groups[item.name] for item in items], split.tolist(), listing.group_word
    )
    if shared:
        rule, num_groups = f"{rule}; {shared}", 0
    if decoded.unreadable:
        report.add(
            f"{describe_count(len(decoded.unreadable))} left out, because unreadable",
            "Left out: cannot be read",
            [listing.items[at].name for at in sorted(decoded.unreadable)],
        )
    return Plan(kept, split, rule, report, num_groups, _number_groups(copies.groups))


def _number_groups(groups: Sequence[Hashable]) -> IntArray | None:
    """Return the number of each image's group; None where no two images share one."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if len(numbers) == len(groups):
        return None
    return np.array([numbers[group] for group in groups], dtype=np.int64)


def _within(near: Sequence[Sequence[int]], readable: Sequence[int]) -> list[list[int]]:
    place = {at: number for number, at in enumerate(readable)}
    return [[place[at] for at in cluster] for cluster in near]


def _check_all_left(labels: IntArray, listing: Listing, decoded: Decoded) -> None:
    left = np.bincount(labels, minlength=len(listing.class_names))
    for label in np.flatnonzero(left == 0):
        lost = sum(listing.items[at].label == label for at in decoded.unreadable)
        copied = "have copies with another label"
        raise DataError(
            f"class {listing.class_names[label]}: no image is left; "
            + (f"{lost} cannot be read, any others {copied}" if lost else f"all of them {copied}")
        )


def _check_both_sides(labels: IntArray, split: npt.NDArray[np.uint8], listing: Listing) -> None:
    for side, word in enumerate(SIDES):
        counts = np.bincount(labels[split == side], minlength=len(listing.class_names))
        lacking = [listing.class_names[label] for label in np.flatnonzero(counts == 0)]
        if lacking:
            raise DataError(
                f"class {', '.join(lacking[:10])}: of its images on the {word} side of the "
                "official split none is left: they cannot be read or are copies of images of the "
                "other side; mend them, or leave the class out (--exclude)"
            )


def _note_spellings(class_names: Sequence[str]) -> list[str]:
    """Return a note on classes that may be one in several spellings."""
    spellings: dict[str, list[str]] = {}
    for name in class_names:
        folded = unicodedata.normalize("NFKC", name).casefold()
        # Whole numbers may be written as fractions where a table's cells are empty.
        folded = re.sub(r"^([0-9]+)\.0*$", r"\1", folded)
        spellings.setdefault(" ".join(folded.split()), []).append(name)
    alike = [
        " and ".join(f"'{name}'" for name in names)
        for names in spellings.values()
        if len(names) > 1
    ]
    if not alike:
        return []
    return [
        "classes whose names differ only in the case of letters, in blanks, in how accents are "
        f"encoded or in a .0 at the end: {'; '.join(alike)}; if they are meant to be one, write "
        "them alike"
    ]


def _note_shared_groups(items: Sequence[Item], report: SetReport) -> None:
    sides = [
        {item.group for item in items if item.side == side and item.group is not None}
        for side in (*range(len(SIDES)), VALIDATION_SIDE)
    ]
    pairs = {
        "both sides": (0, 1),
        "the train and the validation side": (0, VALIDATION_SIDE),
        "the test and the validation side": (1, VALIDATION_SIDE),
    }
    for where, (one, other) in pairs.items():
        if shared := sides[one] & sides[other]:
            report.add(
                f"{len(shared)} groups have images on {where} of the official split, which is "
                "kept as it is"
            )


def _describe_split(share: float, seed: int, num_groups: int, stratified: bool) -> str:
    what = "each class and kind of image" if stratified else "each class"
    whole = f" in whole groups ({num_groups:,})" if num_groups else ""
    return (
        f"about {share:.0%} of {what}, drawn{whole} with seed {seed}, is the test side; identical "
        "images are on one side"
    )
