"""Reader of the labelled photographs of MLC2008: one piece around each labelled point."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_YEAR = "2008"
# Published in the same way.
_OTHER_YEARS = ("2009", "2010")
_YEAR_FOLDER = re.compile(r"(?:^|\D)(20\d\d)(?:\D|$)")
_DATE = re.compile(r"_(20\d\d)\d{4}$")
# The line of column names, or a point.
_FIRST_LINE = re.compile(
    r"\s*(?:#\s*row\s*;\s*col\w*\s*;\s*label|\d+\s*;\s*\d+\s*;)", re.IGNORECASE
)
# Published for 2008 (points: of the nine classes).
_PUBLISHED = {"photographs": 671, "points of the nine classes": 131_260}


@dataclass(frozen=True, slots=True)
class _Point:
    """A labelled point: row and column in pixels from the top left corner, and a code."""

    row: int
    column: int
    code: str


def has_annotations(source: Source, images: Iterable[Member]) -> bool:
    """Say whether there are photographs with a text file of labelled points beside them."""
    texts = _index_texts(source)
    beside = (texts[name] for image in images for name in _text_names(image) if name in texts)
    return any(_FIRST_LINE.match(layout.read_text(source, text)) for text in beside)


def read_points(
    source: Source, images: Iterable[Member], titles: Mapping[str, str], patch: int
) -> Listing:
    """List a piece around each point of the classes.

    A piece's box covers `patch` rows and columns, from `patch // 2` above and left of the
    point. Points whose piece would reach over the border are left out.

    Args:
        source: the files.
        images: its images.
        titles: words for the classes' codes, in label order.
        patch: side of a piece in pixels.

    Raises:
        DataError: a text file has a line that cannot be used, a photograph has no text file
            or a text file no photograph, or a class is missing.
    """
    photographs, notes = _find_photographs(source, images)
    codes = {code.casefold(): label for label, code in enumerate(titles)}
    counts: Counter[str] = Counter()
    other_codes: Counter[str] = Counter()
    items: list[Item] = []
    for image, text in photographs:
        points = []
        for point in _parse(source, text):
            if point.code.casefold() in codes:
                points.append(point)
            else:
                other_codes[point.code.upper()] += 1
        counts["points"] += len(points)
        points = _drop_repeated(points, codes, counts)
        items += _cut(image, points, codes, _read_size(source, image), patch, counts)
    names = tuple(titles)
    layout.require_classes({names[item.label] for item in items}, names, str(source.path))
    found = {"photographs": len(photographs), "points of the nine classes": counts["points"]}
    return Listing(
        items=sorted(items, key=lambda item: item.name),
        class_names=names,
        notes=(
            *notes,
            *_note_points(counts, other_codes, patch),
            *layout.compare_counts(found, _PUBLISHED),
        ),
        class_titles=dict(titles),
    )


def _find_photographs(
    source: Source, images: Iterable[Member]
) -> tuple[list[tuple[Member, Member]], list[str]]:
    """Return the photographs of 2008 with their text files, and notes on the others."""
    texts = _index_texts(source)
    beside, later = {}, []
    for image in images:
        if _find_year(image.name) not in _OTHER_YEARS:
            beside[image] = next((name for name in _text_names(image) if name in texts), None)
        else:
            later.append(image.name)
    alone = [image.name for image, name in beside.items() if name is None]
    if alone:
        raise DataError(
            f"{source.path}: no text file of labelled points beside {layout.name_some(alone)}; "
            f"expected '{PurePosixPath(alone[0]).name}.txt'"
        )
    without = [
        text.name
        for name, text in texts.items()
        if name not in beside.values()
        and _find_year(text.name) not in _OTHER_YEARS
        and _FIRST_LINE.match(layout.read_text(source, text))
    ]
    if without:
        raise DataError(f"{source.path}: no photograph beside {layout.name_some(without)}; add it")
    if not beside:
        raise DataError(
            f"{source.path}: expected labelled photographs of {_YEAR}; found "
            f"{layout.name_some(later)}"
        )
    # A photograph's name is its identity.
    kept, notes = layout.finish_items((Item(image, image.stem, 0) for image in beside), source)
    if later:
        notes.append(f"left out, since not of {_YEAR}: {layout.name_some(later)}")
    photographs = [item.member for item in kept if item.member is not None]
    return [(image, texts[beside[image] or ""]) for image in photographs], notes


def _index_texts(source: Source) -> dict[str, Member]:
    return {
        member.name.casefold(): member
        for member in source.members
        if member.name.casefold().endswith(".txt")
    }


def _text_names(image: Member) -> tuple[str, str]:
    """Return how the text file of a photograph may be called, in lower case."""
    path = PurePosixPath(image.name)
    return f"{path}.txt".casefold(), str(path.with_suffix(".txt")).casefold()


def _find_year(name: str) -> str:
    """Return the year a photograph was taken in, by its name or its folder, or ""."""
    *folders, file = layout.path_parts(name)
    stem = PurePosixPath(file.removesuffix(".txt")).stem
    if match := _DATE.search(stem):
        return match[1]
    for folder in reversed(folders):
        years = _YEAR_FOLDER.findall(folder)
        if len(years) == 1:
            return str(years[0])
    return ""


def _parse(source: Source, text: Member) -> Iterator[_Point]:
    for number, line in enumerate(layout.read_text(source, text).splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        # Codes may hold blanks ("P. Rus"), so only semicolons divide.
        row, column, code = ([cell.strip() for cell in line.split(";", 2)] + ["", ""])[:3]
        if not (_is_number(row) and _is_number(column) and code):
            raise DataError(
                f"{source.where(text)}, line {number}: '{line}'; expected a row, a column "
                "and a label like '671; 217; Sand'"
            )
        yield _Point(int(row), int(column), code)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _drop_repeated(
    points: Iterable[_Point], codes: Mapping[str, int], counts: Counter[str]
) -> list[_Point]:
    """Return one point of those at one place; none where they differ in their class."""
    places: dict[tuple[int, int], list[_Point]] = {}
    for point in points:
        places.setdefault((point.row, point.column), []).append(point)
    kept = []
    for same in places.values():
        agree = len({codes[point.code.casefold()] for point in same}) == 1
        kept += same[:1] if agree else []
        counts["repeated" if agree else "contrary"] += len(same) - 1 if agree else len(same)
    return kept


def _cut(
    image: Member,
    points: Iterable[_Point],
    codes: Mapping[str, int],
    size: tuple[int, int] | None,
    patch: int,
    counts: Counter[str],
) -> Iterator[Item]:
    """Yield an item for each point far enough from the border."""
    photograph = image.stem
    for point in points:
        top, left = point.row - patch // 2, point.column - patch // 2
        # Where the size is unknown the photograph is damaged, as decoding it will say.
        inside = size is None or (top + patch <= size[1] and left + patch <= size[0])
        if top < 0 or left < 0 or not inside:
            outside = size is not None and (point.row > size[1] or point.column > size[0])
            counts["outside" if outside else "border"] += 1
            continue
        yield Item(
            image,
            f"{photograph}/{point.row:05d}_{point.column:05d}",
            codes[point.code.casefold()],
            group=photograph,
            box=(left, top, patch, patch),
        )


def _read_size(source: Source, image: Member) -> tuple[int, int] | None:
    """Return width and height as the file's header says, or None where it says none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source.read(image))) as header:
            return header.size
    except (DataError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _note_points(counts: Counter[str], other_codes: Counter[str], patch: int) -> list[str]:
    what = {
        "border": f"points nearer than {patch // 2} pixels to the border, left out",
        "outside": "points outside their photograph, left out",
        "repeated": "points labelled twice alike, used once",
        "contrary": "points with contrary labels at one place, left out",
    }
    notes = [f"{words}: {counts[key]:,}" for key, words in what.items() if counts[key]]
    if other_codes:
        codes = ", ".join(f"{code} {count:,}" for code, count in other_codes.most_common())
        notes.append(f"points with other labels, left out: {other_codes.total():,} ({codes})")
    return notes
