"""Reader of a set of one's own: a table that names each image's file and label."""

import posixpath
from collections.abc import Iterable

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import ConfigError, DataError

_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})


def read_csv(source: Source, table: str = "") -> Listing:
    """List the images that a table names.

    Its first line names the columns: `path`, relative to the table's folder or to the source,
    `label`, and, if wanted, `group` (images of one group go to one side) and `split` (train;
    test or val). Commas, tabs, semicolons or bars separate them. Labels follow the alphabetical
    order of the classes' names.

    Args:
        source: the table itself, or a folder or archive with one and the images.
        table: path of the table in the source; "" where there is just one.

    Raises:
        ConfigError: it is not clear which file is the table.
        DataError: a column or an image is missing, a cell is empty or unknown, an image is
            named twice, a group or a class is on the wrong sides; names the line.
    """
    member = _find_table(source, table)
    where = source.where(member)
    rows = layout.read_table(source, member, ("path", "label"))
    rows, notes, words = _choose_rows(rows, where)
    names = sorted({row["label"] for row in rows})
    labels = {name: label for label, name in enumerate(names)}
    if len(names) < 2:
        raise DataError(f"{where}: a single class, '{names[0]}'; expected at least 2")
    images = _Images(source, posixpath.dirname(member.name))
    items: list[Item] = []
    lines: dict[str, int] = {}
    for row in rows:
        name, image = images.find(row["path"], f"{where}, line {row.line}")
        if image.name in lines:
            raise DataError(
                f"{where}, line {row.line}: '{name}' was already named in line {lines[image.name]}"
            )
        lines[image.name] = row.line
        group, side = row.cells.get("group") or None, _side_of(row)
        items.append(Item(image, name, labels[row["label"]], group, side))
    if words:
        layout.require_both_sides(items, names, where)
        _check_groups(items, lines, where)
    items.sort(key=lambda item: item.name)
    return Listing(items, tuple(names), tuple(notes), official_split=words)


def _find_table(source: Source, table: str) -> Member:
    if table:
        member = source.at(table)
        if member is None:
            raise ConfigError(f"table '{table}': there is no such file in {source.path}")
        return member
    tables = [member for member in source.members if member.suffix in _TABLE_SUFFIXES]
    if len(source.members) == 1:
        return source.members[0]
    if not tables:
        raise DataError(
            f"{source.path}: no table (.csv, .tsv, .tab) found; expected one with the columns "
            "path and label"
        )
    if len(tables) > 1:
        raise ConfigError(
            f"{source.path}: several tables: "
            f"{layout.name_some([member.name for member in tables])}; say which with the option "
            "table"
        )
    return tables[0]


def _choose_rows(rows: list[layout.Row], where: str) -> tuple[list[layout.Row], list[str], str]:
    """Check labels and split words; return the rows to use, notes, and words on the split."""
    for row in rows:
        for column in ("path", "label"):
            if not row[column]:
                raise DataError(f"{where}, line {row.line}: the column '{column}' is empty")
    if not any(row.cells.get("split") for row in rows):
        return rows, [], ""
    known = (*layout.TRAIN_WORDS, *layout.TEST_WORDS)
    for row in rows:
        if row["split"].lower() not in known:
            raise DataError(
                f"{where}, line {row.line}: split '{row['split']}'; expected one of "
                f"{', '.join(known)}, in every row or in none"
            )
    present = {row["split"].lower() for row in rows}
    test = next((word for word in layout.TEST_WORDS if word in present), "")
    if not test:
        raise DataError(
            f"{where}: the column 'split' has no image for the test side; write "
            f"{' or '.join(layout.TEST_WORDS[:3:2])} for some, or leave the column out"
        )
    others = [word for word in layout.TEST_WORDS if word in present and word != test]
    used = [row for row in rows if row["split"].lower() not in others]
    notes = []
    if others:
        notes.append(
            f"{len(rows) - len(used):,} images of split {', '.join(others)} are left out: the "
            f"test side is '{test}'"
        )
    return used, notes, f"the set's own: split '{test}' is the test side"


def _side_of(row: layout.Row) -> int | None:
    word = row.cells.get("split", "").lower()
    return None if not word else int(word in layout.TEST_WORDS)


class _Images:
    """Finds files by the paths a table gives."""

    def __init__(self, source: Source, folder: str):
        self._source = source
        self._folders = (folder, "") if folder else ("",)
        self._unpacked: dict[str, Member] | None = None

    def find(self, path: str, where: str) -> tuple[str, Member]:
        """Return what an image is called, its path, and its file."""
        name = posixpath.normpath(path.replace("\\", "/"))
        places = [posixpath.normpath(posixpath.join(folder, name)) for folder in self._folders]
        places = [place for place in places if not place.startswith(("/", ".."))]
        if not places:
            raise DataError(
                f"{where}: '{path}' leads outside of {self._source.path}; expected a path "
                "relative to the table's folder: move the table beside the images"
            )
        for place in places:
            member = self._source.at(place) or self._find_unpacked(place)
            if member:
                return name, member
        raise DataError(
            f"{where}: there is no file '{path}' in the table's folder or in {self._source.path}"
        )

    def _find_unpacked(self, name: str) -> Member | None:
        """Find a file that lies in an archive, by the path it would have unpacked."""
        if self._unpacked is None:
            self._unpacked = {
                "/".join(layout.path_parts(member.name)): member for member in self._source.members
            }
        return self._unpacked.get("/".join(layout.path_parts(name)))


def _check_groups(items: Iterable[Item], lines: dict[str, int], where: str) -> None:
    first: dict[str, Item] = {}
    for item in items:
        other = item if item.group is None else first.setdefault(item.group, item)
        if other.side != item.side and item.member and other.member:
            raise DataError(
                f"{where}, line {lines[item.member.name]}: group '{item.group}' is on both sides; "
                f"line {lines[other.member.name]} puts it on the other"
            )
