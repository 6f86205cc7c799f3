"""Reader of WebDataset's tar shards: files of one key are an image and its label."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.containers.labels import find_class_names, number_labels
from pycls.datasets.readers.containers.sides import choose_sides, side_word
from pycls.datasets.sources.archives import kind_of
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_EXPECTED = "tar files with images and labels of equal names, such as '0001.jpg' and '0001.cls'"
_LABEL_KEYS = ("cls", "label", "json")
_JSON_KEYS = ("cls", "label")

# Shard and name without suffixes -> suffixes to files.
_Samples = dict[tuple[str, str], dict[str, Member]]


def read_webdataset(
    source: Source,
    label_key: str = "",
    class_names: str = "",
    test_split: str = "",
) -> Listing:
    """List the images of tar shards.

    A name up to the first dot of its file is the key. The word for a side is in the shard's
    name or folder, or the key's first folder.

    Args:
        source: a shard, or a folder or archive with shards.
        label_key: suffix of the labels' files, or key in a sample's JSON; "" for the suffix
            `cls` or `label`, or those keys.
        class_names: names of the classes in the order of their numbers, with commas or bars
            between them, or a text file with one a line; "" for `classnames.txt`, if it is
            there, or the labels themselves.
        test_split: the side that is the test side; "" for test, or, if that is not there, val.

    Raises:
        ConfigError: there is no such test side.
        DataError: no shard, a sample without a label or with several images, or a label that is
            no class.
    """
    samples = _collect(source)
    words: dict[tuple[str, str], str] = {}
    for shard, key in samples:
        tops = reversed(shard.split("/"))
        words[shard, key] = side_word(*tops) or side_word(key.split("/")[0] if "/" in key else "")
    counts: defaultdict[str, int] = defaultdict(int)
    for sample in samples:
        counts[words[sample]] += 1
    sides = choose_sides(counts, test_split, str(source.path))
    used = [sample for sample in sorted(samples) if words[sample] in sides.by_word]
    values = [_read_label(source, sample, samples[sample], label_key) for sample in used]
    names = find_class_names(source, class_names)
    labels, class_list = number_labels(values, names, str(source.path))
    found = []
    for sample in used:
        image = _image_of(source, sample, samples[sample])
        found.append((f"{sample[1]}.{image.file.partition('.')[2]}", image))
    items = [
        Item(image, name, label, side=sides.by_word[words[sample]])
        for sample, name, (_, image), label in zip(
            used, _make_names(used, words, [name for name, _ in found]), found, labels.tolist(),
            strict=True,
        )
    ]  # fmt: skip
    kept, notes = layout.finish_items(items, source)
    if sides.official:
        layout.require_both_sides(kept, class_list, str(source.path))
    return Listing(kept, class_list, (*sides.notes, *notes), official_split=sides.official)


def _make_names(
    used: Sequence[tuple[str, str]], words: Mapping[tuple[str, str], str], names: Sequence[str]
) -> list[str]:
    """Return what the images are called: as files of a folder a side, where their keys allow."""
    prefixes = [words[sample] for sample in used]
    if len(set(prefixes)) < 2:
        prefixes = [""] * len(used)
    made = [
        name if not word or name.lower().startswith(f"{word}/") else f"{word}/{name}"
        for word, name in zip(prefixes, names, strict=True)
    ]
    if len(set(made)) == len(made):
        return made
    shards = [layout.path_parts(f"{shard}/x")[-2] for shard, _ in used]
    return [f"{shard}/{name}" for shard, name in zip(shards, names, strict=True)]


def _collect(source: Source) -> _Samples:
    samples: _Samples = {}
    for member in source.members:
        parts = member.name.split("/")
        tars = [depth for depth, part in enumerate(parts[:-1]) if kind_of(part) not in ("", "zip")]
        # A source that is a shard itself lists its files without its name.
        if not tars and not kind_of(source.path.name):
            continue
        inside = tars[-1] + 1 if tars else 0
        shard = "/".join(parts[:inside]) or source.path.name
        stem, _, suffixes = parts[-1].partition(".")
        key = "/".join((*parts[inside:-1], stem))
        samples.setdefault((shard, key), {})[suffixes.lower()] = member
    images = {
        sample: files
        for sample, files in samples.items()
        if any(layout.is_image(f"x.{suffix}") for suffix in files)
    }
    if not images:
        raise layout.not_found(source, _EXPECTED)
    return images


def _image_of(source: Source, sample: tuple[str, str], files: dict[str, Member]) -> Member:
    found = [file for suffix, file in files.items() if layout.is_image(f"x.{suffix}")]
    if len(found) > 1:
        names = layout.join_quoted([member.file for member in found])
        raise DataError(
            f"{source.path}: {'/'.join(sample)}: several images: {names}; --exclude leaves one out"
        )
    return found[0]


def _read_label(
    source: Source, sample: tuple[str, str], files: dict[str, Member], label_key: str
) -> str:
    where = f"{source.path}: {'/'.join(sample)}"
    suffixes = (label_key, "json") if label_key else _LABEL_KEYS
    suffix = next((suffix for suffix in suffixes if suffix in files), None)
    if suffix is None:
        raise DataError(
            f"{where}: no label; expected a file of the suffix {' or '.join(suffixes)} beside "
            f"{layout.join_quoted(member.file for member in files.values())}; label_key names "
            "another suffix"
        )
    text = layout.read_text(source, files[suffix], "the label").strip()
    if suffix == "json" and suffix != label_key:
        text = _from_json(text, label_key, source.where(files[suffix]))
    if not text:
        raise DataError(f"{source.where(files[suffix])}: the label is empty")
    return text


def _from_json(text: str, label_key: str, where: str) -> str:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error})") from None
    keys = (label_key,) if label_key else _JSON_KEYS
    value = None
    if isinstance(found, dict):
        value = next((found[key] for key in keys if key in found), None)
    if not isinstance(value, (str, int)):
        raise DataError(f"{where}: expected a number or text under {' or '.join(keys)}")
    return str(value).strip()
