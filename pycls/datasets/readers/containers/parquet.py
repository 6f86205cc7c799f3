"""Reader of Parquet files of encoded images with labels, such as Hugging Face's."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.containers.labels import find_class_names, number_labels
from pycls.datasets.readers.containers.sides import choose_sides, side_word
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.parquet_images import ParquetImages, import_parquet
from pycls.datasets.sources.sources import Source
from pycls.errors import ConfigError, DataError

_EXPECTED = "Parquet files of images and labels, such as 'data/train-00000-of-00001.parquet'"
_NUMBERED = re.compile(r"(.*)-(\d+)-of-(\d+)\.parquet", re.IGNORECASE | re.DOTALL)
_MOST_FILES = 100_000
_LABEL_COLUMNS = ("label", "labels")
# What the test images of a competition carry.
_UNLABELLED = (None, -1)


@dataclass(frozen=True)
class Columns:
    """Names of the columns to use; "" to find them, `group` for none."""

    image: str = ""
    label: str = ""
    group: str = ""


@dataclass(frozen=True)
class Shard:
    """One file: its images, and what its other columns say of them.

    Attributes:
        word: the side it is named for, or "".
        images: one member for each row.
        paths: what the file calls each image, "" for nothing.
        labels: of each image; None and -1 for none.
        groups: of each image; None for none.
        class_names: names in the order of the labels' numbers, () where the file has none.
        unused: columns that are not used.
    """

    word: str
    images: Sequence[Member]
    paths: Sequence[str]
    labels: Sequence[object]
    groups: Sequence[str | None]
    class_names: tuple[str, ...]
    unused: tuple[str, ...]


def read_parquet(
    source: Source,
    image_column: str = "",
    label_column: str = "",
    group_column: str = "",
    class_names: str = "",
    test_split: str = "",
) -> Listing:
    """List the images of Parquet files; a file's name or folder says which side it is.

    An image whose path has no folder is called as it would be in class folders:
    "train/cat/1.jpg", where there are sides.

    Args:
        source: a file, or a folder with the files of one set (of one configuration).
        image_column: column of the images: bytes, or a structure with the fields bytes and
            path; "" where there is just one.
        label_column: column of the labels; "" for `label` or `labels`.
        group_column: images of one group go to one side; "" for none.
        class_names: names of the classes in the order of their numbers, with commas or bars
            between them, or a text file with one a line; "" for those in the files, or the
            labels themselves.
        test_split: the side that is the test side; "" for test, or, if that is not there or has
            no labels, val.

    Raises:
        ConfigError: a column or test side is not there or not clear, or pyarrow is missing.
        DataError: no Parquet file, a damaged one, or an image without a label.
    """
    shards = read_shards(source, Columns(image_column, label_column, group_column))
    counts: defaultdict[str, int] = defaultdict(int)
    for shard in shards:
        counts[shard.word] += sum(label not in _UNLABELLED for label in shard.labels)
    sides = choose_sides(counts, test_split, str(source.path))
    used = [shard for shard in shards if shard.word in sides.by_word]
    given = {shard.class_names for shard in used}
    if len(given) > 1 and not class_names:
        raise DataError(f"{source.path}: the files name different classes; give those of one set")
    names = find_class_names(source, class_names) or next(iter(given))
    for shard in used:
        for member, label in zip(shard.images, shard.labels, strict=True):
            if label in _UNLABELLED:
                raise DataError(f"{source.where(member)}: the image has no label ({label})")
    values = [label for shard in used for label in shard.labels]
    labels, class_list = number_labels(values, names, str(source.path))
    called = _make_names(used, [class_list[label] for label in labels], bool(sides.official))
    rows = [
        (shard, member, group)
        for shard in used
        for member, group in zip(shard.images, shard.groups, strict=True)
    ]
    items = [
        Item(member, name, label, group, sides.by_word[shard.word])
        for name, label, (shard, member, group) in zip(called, labels.tolist(), rows, strict=True)
    ]
    items.sort(key=lambda item: item.name)
    if sides.official:
        layout.require_both_sides(items, class_list, str(source.path))
    return Listing(
        items,
        class_list,
        (*note_files(source), *note_unused(used), *sides.notes),
        official_split=sides.official,
    )


def read_shards(source: Source, columns: Columns) -> list[Shard]:
    """Read all of a source's Parquet files but the images.

    Raises:
        ConfigError: a column is not there or not clear, or pyarrow is missing.
        DataError: there is no file, or a damaged one.
    """
    members = [member for member in source.members if member.suffix == ".parquet"]
    if not members:
        raise layout.not_found(source, _EXPECTED)
    for member in members:
        if member._store >= 0:
            raise DataError(f"{source.where(member)}: unpack the archive and give the folder")
    return [_read_shard(source, member, columns) for member in members]


def note_files(source: Source) -> list[str]:
    """Return notes on files that are missing by the names of the others, and on several folders.

    "train-00000-of-00002" says that there is another.
    """
    found: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for member in source.members:
        if member.suffix == ".parquet" and (numbered := _NUMBERED.fullmatch(member.file)):
            folder = member.name.removesuffix(member.file)
            found[f"{folder}{numbered[1]}", numbered[3]].add(int(numbered[2]))
    missing = [
        f"{stem}-{number:05}-of-{total}.parquet"
        for (stem, total), numbers in sorted(found.items())
        for number in range(min(int(total), _MOST_FILES))
        if number not in numbers
    ]
    notes = [f"files that are not there: {layout.name_some(missing)}"] if missing else []
    folders = {
        "/".join(part for part in member.name.split("/")[:-1] if not side_word(part))
        for member in source.members
        if member.suffix == ".parquet"
    }
    if len(folders) > 1:
        notes.append(
            f"the files of several folders ({layout.name_some(sorted(folders))}) are taken as one "
            "set; of several configurations give the folder of one"
        )
    return notes


def note_unused(shards: Sequence[Shard]) -> list[str]:
    """Return a note on columns that no use is made of."""
    unused = sorted({name for shard in shards for name in shard.unused})
    if not unused:
        return []
    return [
        f"columns that are not used: {layout.name_some(unused)}; the option group_column says "
        "which one holds groups (patients, films)"
    ]


def _read_shard(source: Source, member: Member, columns: Columns) -> Shard:
    parquet = import_parquet()
    import pyarrow

    where, path = source.where(member), source.root / member.name
    try:
        with parquet.ParquetFile(path) as file:
            schema, footer = file.schema_arrow, file.metadata
            _check_packed(source, member, footer)
            image, path_column = _find_image(schema, columns.image, where)
            label = _find_label(schema, columns.label, where)
            if columns.group and columns.group not in schema.names:
                raise _no_column("group_column", columns.group, schema, where)
            wanted = [name for name in (path_column, label, columns.group) if name]
            table = file.read(columns=wanted).to_pydict()
            rows = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{where}: no Parquet file, or damaged ({error})") from None
    labels = table[label]
    paths = [""] * len(labels)
    if path_column:
        top = path_column.partition(".")[0]
        paths = [str((cell or {}).get("path") or "") for cell in table[top]]
    groups: list[str | None] = [None] * len(labels)
    if columns.group:
        groups = [None if cell is None else str(cell) for cell in table[columns.group]]
    if any(isinstance(value, (list, dict, float)) for value in labels):
        raise DataError(
            f"{where}: the column '{label}' holds {schema.field(label).type}; expected one whole "
            "number or text (sets of several labels an image cannot be used)"
        )
    used = {image.partition(".")[0], label, columns.group}
    images = ParquetImages(Path(path), image, rows)
    return Shard(
        word=side_word(*reversed(member.name.split("/"))),
        images=source.add_images(images, member),
        paths=paths,
        labels=labels,
        groups=groups,
        class_names=_class_names(schema, label),
        unused=tuple(name for name in schema.names if name not in used),
    )


def _check_packed(source: Source, member: Member, footer: Any) -> None:
    """Refuse a file that would only fill the memory."""
    where = source.where(member)
    if footer.num_rows > member.size:
        raise DataError(
            f"{where}: claims {footer.num_rows:,} rows in {member.size:,} bytes; download it again"
        )
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    unpacked = sum(
        group.column(number).total_uncompressed_size
        for group in groups
        for number in range(group.num_columns)
    )
    source.sieve.packed += member.size
    source.sieve.check_expansion(member.size, unpacked, where)


def _find_image(schema: Any, asked: str, where: str) -> tuple[str, str]:
    """Return the columns of the images' bytes, and of their paths or ""."""
    import pyarrow

    found: dict[str, tuple[str, str]] = {}
    for field in schema:
        if pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type):
            found[field.name] = (field.name, "")
        elif pyarrow.types.is_struct(field.type):
            inner = [field.type.field(number).name for number in range(field.type.num_fields)]
            if "bytes" in inner:
                path = f"{field.name}.path" if "path" in inner else ""
                found[field.name] = (f"{field.name}.bytes", path)
    if asked in found:
        return found[asked]
    if asked:
        raise _no_column("image_column", asked, schema, where)
    if len(found) == 1:
        return next(iter(found.values()))
    raise ConfigError(
        f"{where}: {len(found)} columns of encoded images; it has "
        f"{layout.join_quoted(schema.names)}; say which with the option image_column"
    )


def _find_label(schema: Any, asked: str, where: str) -> str:
    if asked and asked not in schema.names:
        raise _no_column("label_column", asked, schema, where)
    label = asked or next((name for name in _LABEL_COLUMNS if name in schema.names), "")
    if not label:
        raise ConfigError(
            f"{where}: no column 'label'; it has {layout.join_quoted(schema.names)}; say which "
            "with the option label_column"
        )
    return label


def _no_column(option: str, name: str, schema: Any, where: str) -> ConfigError:
    return ConfigError(
        f"{option}: no such column '{name}' in {where}; it has {layout.join_quoted(schema.names)}"
    )


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """Return the class names that `datasets` puts into a file's description of itself."""
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        feature = json.loads(text)["info"]["features"][label]
        return tuple(str(name) for name in feature["names"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()


def _make_names(shards: Sequence[Shard], classes: Sequence[str], sided: bool) -> list[str]:
    """Return what the images are called, in the order of the shards' rows.

    Names that occur again get the number of their row; so do images without one.
    """
    names = []
    position = 0
    seen: Counter[str] = Counter()
    for shard in shards:
        prefix = f"{shard.word}/" if sided else ""
        for path in shard.paths:
            number = seen[shard.word]
            seen[shard.word] += 1
            name = path.replace("\\", "/").lstrip("/")
            if "/" not in name:
                name = f"{classes[position]}/{name or f'{number:07}'}"
            names.append(name if name.startswith(prefix) else prefix + name)
            position += 1
    counts = Counter(names)
    return [
        name if counts[name] == 1 else f"{name}#{number:07}" for number, name in enumerate(names)
    ]
