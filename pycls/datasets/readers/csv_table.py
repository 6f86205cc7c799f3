"""Reader of a set of one's own: tables that name each image's file and label."""

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pycls.datasets.readers import layout, sides, tables
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.table_images import TableImages
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import VALIDATION_SIDE
from pycls.errors import ConfigError, DataError

ONE_HOT = "one-hot"
_SUFFIXES = tables.TEXT_SUFFIXES | tables.JSON_SUFFIXES
# The second is that of Hugging Face's folders of images, which also call the table "metadata".
_PATH_COLUMNS = ("path", "file_name")
_METADATA = "metadata"
_NOT_NAMED = "which the table does not name or gives to neither side"
# What pandas and its like write where a value is missing.
_MISSING = frozenset({"nan", "-nan", "<na>", "#n/a", "n/a", "nat", "null"})
_YES, _NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})
_WHOLE = re.compile(r"^(-?[0-9]+)\.0*$")
_SIDE_COLUMN = re.compile(r"(?:is_?)?(train|test|val)\w*")


@dataclass(frozen=True)
class _Columns:
    """Names of the columns to use, in lower case; "" for those there are not."""

    path: str
    labels: tuple[str, ...]
    group: str
    split: str


@dataclass(frozen=True)
class _Entry:
    """A row: where it is, for messages; the folder of its table; what it says."""

    place: str
    folder: str
    path: str
    label: str
    group: str | None
    split: str


def read_csv(
    source: Source,
    table: str = "",
    path_column: str = "",
    label_column: str = "",
    group_column: str = "",
    split_column: str = "",
    test_values: str = "",
    image_folder: str = "",
) -> Listing:
    """List the images that a table names.

    Its first line names the columns, or each line is a JSON object (`.jsonl`). An image is
    looked for from the table's folder, then from the top, then, if just one file has its name,
    anywhere; a suffix may be missing. Labels follow the alphabetical order of the classes' names.

    Args:
        source: the table itself, or a folder or archive with one and the images.
        table: path of the table in the source, or of one for each side with commas between
            them, named for the sides; "" where there is just one, or one called "metadata" in
            the folder of each side.
        path_column: column of the images' paths; "" for `path` or `file_name`.
        label_column: column of the labels, or several with commas between them, of which just
            one is 1 in each row; "one-hot" for all that are left; "" for `label`.
        group_column: images of one group go to one side; "" for `group`, if it is there.
        split_column: column of the sides, in words (train; test or val, or all three), or such as
            `is_train` with 0 and 1; "" for `split`, if it is there.
        test_values: values of that column, with commas between them, that mean the test side;
            all others mean the train side. "" where they are words.
        image_folder: folder below which the images lie; "" for all.

    Raises:
        ConfigError: it is not clear which file is the table, or a named column is not there.
        DataError: a column or an image is missing, a cell is empty or unknown, an image is
            named twice, a group or a class is on the wrong sides; names the line.
    """
    asked = (path_column, label_column, group_column, split_column)
    entries: list[_Entry] = []
    notes: list[str] = []
    used = ""
    members = _find_tables(source, table)
    by_side = _name_sides(members, str(source.path))
    for member in members:
        found, used, unused = _read_entries(source, member, asked, by_side.get(member.name, ""))
        entries += found
        notes += unused
    chosen_sides, words, without_side = _choose_sides(entries, used, test_values, str(source.path))
    notes += without_side
    chosen = [
        (entry, side)
        for entry, side in zip(entries, chosen_sides, strict=True)
        if side != _LEFT_OUT
    ]
    names = sorted({entry.label for entry, side in chosen if side != VALIDATION_SIDE})
    if unknown := [entry for entry, _ in chosen if entry.label not in names]:
        chosen = [(entry, side) for entry, side in chosen if entry.label in names]
        notes.append(
            f"{len(unknown):,} images to validate are left out: the other sides have no class "
            f"{layout.name_some(sorted({entry.label for entry in unknown}))}"
        )
    labels = {name: label for label, name in enumerate(names)}
    if len(names) < 2:
        raise DataError(f"{source.path}: a single class, '{names[0]}'; expected at least 2")
    images = TableImages(source, image_folder)
    in_folders = len({member.name.rpartition("/")[0] for member in members}) > 1
    items: list[Item] = []
    places: dict[str, str] = {}
    for entry, side in chosen:
        name, image = images.find(entry.path, entry.folder, entry.place)
        # Paths of several tables may be equal.
        name = f"{posixpath.basename(entry.folder)}/{name}" if in_folders else name
        if image.name in places:
            raise DataError(f"{entry.place}: '{name}' was already named in {places[image.name]}")
        places[image.name] = entry.place.rpartition(", ")[2]
        items.append(Item(image, name, labels[entry.label], entry.group, side))
    if words:
        layout.require_both_sides(items, names, str(source.path))
        _check_groups(items, places, str(source.path))
    items.sort(key=lambda item: item.name)
    known = {item.member.name for item in items if item.member}
    known |= {member.name for member in members}
    others = [member.name for member in source.members if member.name not in known]
    return Listing(
        items,
        tuple(names),
        (*notes, *images.notes()),
        official_split=words,
        left_out={_NOT_NAMED: others} if others else {},
    )


def _find_tables(source: Source, table: str) -> list[Member]:
    if table:
        names = [table] if source.at(table) else [name.strip() for name in table.split(",")]
        members = []
        for name in names:
            member = source.at(name)
            if member is None:
                raise ConfigError(f"table '{name}': there is no such file in {source.path}")
            members.append(member)
        return members
    if len(source.members) == 1:
        return [source.members[0]]
    found = [member for member in source.members if member.suffix in _SUFFIXES]
    # Other things are written in JSON too.
    found = [member for member in found if member.suffix != ".json"] or found
    if not found:
        raise DataError(
            f"{source.path}: no table (.csv, .tsv, .tab, .jsonl, .json) found; expected one with "
            "the columns path and label"
        )
    described = [member for member in found if member.stem.lower() == _METADATA]
    if described and all(_folder_side(member) for member in described):
        return described
    if len(found) > 1:
        raise ConfigError(
            f"{source.path}: several tables: "
            f"{layout.name_some([member.name for member in found])}; say which with the option "
            "table (one for each side, such as table=train.csv,test.csv)"
        )
    return found


def _folder_side(member: Member) -> str:
    """Return the side that the folder of a table is named for, or ""."""
    folder = layout.path_parts(member.name)[-2:-1]
    return sides.side_word(folder[0]) if folder else ""


def _name_sides(members: Sequence[Member], where: str) -> dict[str, str]:
    """Return {table: the side that it, or the folder of a "metadata", is named for}.

    Raises:
        ConfigError: of several tables one is named for none.
    """
    named = {
        member.name: _folder_side(member)
        if member.stem.lower() == _METADATA
        else sides.side_word(member.stem)
        if len(members) > 1
        else ""
        for member in members
    }
    if len(members) > 1 and not all(named.values()):
        nameless = [name for name, word in named.items() if not word]
        raise ConfigError(
            f"{where}: of several tables each must be named for a side (train, test or val); "
            f"{layout.name_some(nameless)} is not"
        )
    return named


def _read_entries(
    source: Source, member: Member, asked: tuple[str, str, str, str], side: str
) -> tuple[list[_Entry], str, list[str]]:
    """Return a table's rows, the name of the column that gave the sides, and notes.

    `side` is the word for all rows of a table without such a column, or "".
    """
    where = source.where(member)
    rows = tables.read_table(source, member)
    present = list(rows[0].cells)
    columns = _choose_columns(present, asked, where)
    side = "" if columns.split else side
    label_of = _make_labeller(columns.labels)
    entries = []
    for row in rows:
        place = f"{where}, line {row.line}"
        if not row[columns.path]:
            raise DataError(f"{place}: the column '{columns.path}' is empty")
        group = row[columns.group] if columns.group else ""
        split = row[columns.split] if columns.split else side
        entries.append(
            _Entry(
                place,
                posixpath.dirname(member.name),
                row[columns.path],
                label_of(row, place),
                None if not group or group.lower() in _MISSING else group,
                split,
            )
        )
    used = {columns.path, *columns.labels, columns.group, columns.split}
    unused = [name for name in present if name and name not in used]
    note = (
        f"{where}: columns that are not used: {layout.name_some(unused)}; the options "
        "group_column and split_column say which one holds groups (patients, films), which one "
        "the sides"
    )
    return entries, columns.split or ("split" if side else ""), [note] if unused else []


def _choose_columns(
    present: Sequence[str], asked: tuple[str, str, str, str], where: str
) -> _Columns:
    path, label, group, split = (name.strip().lower() for name in asked)
    labels = tuple(part.strip() for part in (label or "label").split(","))
    wanted = [name for name in (path, group, split, *(labels if label else ())) if name]
    if missing := [name for name in wanted if name not in present and name != ONE_HOT]:
        raise ConfigError(str(tables.no_column(missing, present, where)))
    path = path or next((name for name in _PATH_COLUMNS if name in present), "")
    lacking = [] if path else ["path"]
    lacking += [] if label or "label" in present else ["label"]
    if lacking:
        remedy = "".join(f"; --set {name}_column=NAME says which it is" for name in lacking)
        remedy += " (the first line must name the columns)"
        raise tables.no_column(lacking, present, where, remedy)
    group = group or ("group" if "group" in present else "")
    split = split or ("split" if "split" in present else "")
    if labels == (ONE_HOT,):
        labels = tuple(name for name in present if name and name not in (path, group, split))
    return _Columns(path, labels, group, split)


def _make_labeller(columns: tuple[str, ...]) -> Callable[[tables.Row, str], str]:
    """Return a function (row, place) -> label."""

    def read_label(row: tables.Row, place: str) -> str:
        label = row[columns[0]]
        if not label:
            raise DataError(f"{place}: the column '{columns[0]}' is empty")
        if label.lower() in _MISSING:
            raise DataError(
                f"{place}: the column '{columns[0]}' holds '{label}', which means that it is "
                "missing; fill it in or remove the row"
            )
        return label

    def read_one_hot(row: tables.Row, place: str) -> str:
        for column in columns:
            if row[column].lower() not in _YES | _NO:
                raise DataError(
                    f"{place}: '{row[column]}' in the column '{column}'; expected 0 or 1, one "
                    f"column a class; label_column names the columns of the classes"
                )
        named = [column for column in columns if row[column].lower() in _YES]
        if len(named) != 1:
            raise DataError(
                f"{place}: {len(named)} of the columns {layout.name_some(columns)} are 1; expected "
                "one label for each image (sets of several labels an image cannot be used)"
            )
        return named[0]

    return read_label if len(columns) == 1 else read_one_hot


# The side of rows that neither side takes.
_LEFT_OUT = -1


def _choose_sides(
    entries: Sequence[_Entry], column: str, test_values: str, where: str
) -> tuple[list[int | None], str, list[str]]:
    """Return the side of each row, words on the split, and notes."""
    values = [entry.split.lower() for entry in entries]
    if test_values:
        return *_sides_of_values(values, column, test_values, where), []
    if not any(values):
        return [None] * len(entries), "", []
    match = _SIDE_COLUMN.fullmatch(column)
    if match and set(values) <= _YES | _NO:
        meaning = _NO if match[1] == "train" else _YES
        found: list[int | None] = [int(value in meaning) for value in values]
        return found, f"the set's own: its column '{column}'", []
    known = (*layout.TRAIN_WORDS, *layout.TEST_WORDS)
    for entry, value in zip(entries, values, strict=True):
        if value not in known:
            raise DataError(
                f"{entry.place}: split '{entry.split}'; expected one of {', '.join(known)}, in "
                "every row or in none; test_values says which other values are the test side"
            )
    present = set(values)
    test = next((word for word in layout.TEST_WORDS if word in present), "")
    if not test:
        raise DataError(
            f"{where}: the column '{column}' has no image for the test side; write test or val "
            "for some, or leave the column out"
        )
    third = layout.choose_validation(layout.TRAIN_WORDS[0], test, present)
    meant = {**dict.fromkeys(layout.TRAIN_WORDS, 0), test: 1}
    meant |= {third: VALIDATION_SIDE} if third else {}
    others = [word for word in layout.TEST_WORDS if word in present and word not in meant]
    found = [meant.get(value, _LEFT_OUT) for value in values]
    notes = []
    if others:
        notes.append(
            f"{found.count(_LEFT_OUT):,} images of split {', '.join(others)} are left out: the "
            f"test side is '{test}'"
        )
    words = layout.describe_sides(f"split '{test}'", f"'{third}'" if third else "")
    return found, words, notes


def _sides_of_values(
    values: Sequence[str], column: str, test_values: str, where: str
) -> tuple[list[int | None], str]:
    """Return sides and words where the user says which values are the test side."""
    # Where a cell is empty, pandas writes whole numbers as 1.0.
    values = [_WHOLE.sub(r"\1", value) for value in values]
    wanted = {_WHOLE.sub(r"\1", value.strip().lower()) for value in test_values.split(",")}
    if not column:
        raise ConfigError("test_values: say with split_column in which column they are")
    if absent := sorted(wanted - set(values)):
        raise ConfigError(
            f"test_values: {layout.join_quoted(absent)} is nowhere in the column '{column}' of "
            f"{where}; it has {layout.name_some(sorted(set(values)))}"
        )
    words = f"the set's own: {test_values} in its column '{column}' is the test side"
    return [int(value in wanted) for value in values], words


def _check_groups(items: Iterable[Item], places: dict[str, str], where: str) -> None:
    first: dict[str, Item] = {}
    for item in items:
        if item.group is None or layout.is_validation(item):
            continue  # of those to validate the report says it
        other = first.setdefault(item.group, item)
        if other.side != item.side and item.member and other.member:
            raise DataError(
                f"{where}, {places[item.member.name]}: group '{item.group}' is on both sides; "
                f"{places[other.member.name]} puts it on the other"
            )
