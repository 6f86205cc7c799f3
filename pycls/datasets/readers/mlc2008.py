"""Reader of MLC2008: pieces of photographs of coral reefs, in class folders or still uncut.

Moorea Labeled Corals (MCR LTER, EDI knb-lter-mcr.5006.3) are photographs with a text file
beside each that labels points on it; the study used pieces of 312 x 312 pixels around the
points (Mendeley 86y667257h). Both layouts are read.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.mlc_points import has_annotations, read_points
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import ConfigError, DataError

# In the order of the set's publishers, by the codes of the text files.
TITLES = {
    "CCA": "crustose coralline algae",
    "Turf": "turf algae",
    "Macro": "macroalgae",
    "Sand": "sand",
    "Acrop": "Acropora",
    "Pavon": "Pavona",
    "Monti": "Montipora",
    "Pocill": "Pocillopora",
    "Porit": "Porites",
}
_EXPECTED = (
    "photographs with a text file of labelled points beside each, or nine class folders of pieces "
    f"({', '.join(TITLES.values())})"
)
# A photograph has 200 labelled points; more pieces than that are not of one photograph.
_MOST_PIECES = 200
_DATED = re.compile(r".*?_(?:19|20)\d{6}(?!\d)")
_PLACED = re.compile(r"(.*\D)\d+\D+\d+\D*")


def read_mlc2008(source: Source, patch: int = 312) -> Listing:
    """List MLC2008; the group of a piece is its photograph.

    Args:
        source: archive or folder with the labelled photographs or with class folders.
        patch: side in pixels of the pieces cut from photographs; class folders hold whole
            images.

    Raises:
        ConfigError: `patch` is not positive.
        DataError: neither layout is there, a class is missing, a text file has a line that
            cannot be used, or photographs and text files do not go together.
    """
    if patch < 1:
        raise ConfigError(f"patch {patch}: expected a number of pixels of at least 1")
    images = layout.find_images(source, _EXPECTED)
    if has_annotations(source, images):
        return read_points(source, images, TITLES, patch)
    return _read_folders(source, images)


def _read_folders(source: Source, images: list[Member]) -> Listing:
    spellings = _find_class_folders(images)
    folders, others = layout.group_by_class(images, spellings or _take_nine(images))
    if not folders:
        raise layout.not_found(source, _EXPECTED)
    inside = [member for members in folders.values() for member in members]
    notes = []
    if spellings:
        layout.require_classes(set(spellings.values()), TITLES, str(source.path))
        layout.refuse_unknown_folders(source, folders, others, _EXPECTED)
        names = _name_classes(folders, spellings, source)
    else:
        names = sorted(folders)
        notes.append("the folders' names are not those of the classes and are used as they are")
    photographs, note = _find_photographs(inside)
    items, doubled = layout.finish_items(
        (
            Item(member, f"{name}/{member.stem}", label, group=photographs.get(member.stem))
            for label, name in enumerate(names)
            for member in folders[name]
        ),
        source,
    )
    return Listing(
        items=items,
        class_names=tuple(names),
        notes=(*notes, *doubled, *layout.note_strays(others), note),
        class_titles={name: TITLES[spellings[name]] for name in names if name in spellings},
    )


def _find_class_folders(images: Iterable[Member]) -> dict[str, str]:
    """Return the class of each folder name that speaks of one ("Turf algae": "Turf").

    How the folders are spelt is not published, so a code anywhere in the name will do.
    """
    folders = {part for member in images for part in layout.path_parts(member.name)[:-1]}
    return {
        folder: codes[0]
        for folder in sorted(folders)
        if len(codes := [code for code in TITLES if _speaks_of(folder, code)]) == 1
    }


def _take_nine(images: Iterable[Member]) -> set[str]:
    """Return the names of the folders that hold images, if there are as many as classes."""
    folders = {layout.path_parts(member.name)[-2] for member in images if "/" in member.name}
    return folders if len(folders) == len(TITLES) else set()


def _speaks_of(folder: str, code: str) -> bool:
    words = [code.casefold(), "crustose"] if code == "CCA" else [code.casefold()]
    return any(re.search(rf"(?<![a-z]){word}", folder.casefold()) for word in words)


def _name_classes(
    folders: Mapping[str, object], spellings: Mapping[str, str], source: Source
) -> list[str]:
    """Return the folders in the order of the classes, each class once."""
    named: dict[str, str] = {}
    for folder in folders:
        other = named.setdefault(spellings[folder], folder)
        if other != folder:
            raise DataError(
                f"{source.path}: the folders '{other}' and '{folder}' both speak of "
                f"{TITLES[spellings[folder]]}; give one folder a class"
            )
    return [named[code] for code in TITLES]


def _find_photographs(members: Iterable[Member]) -> tuple[dict[str, str], str]:
    """Return the photograph of each piece by the piece's file name, and a note on them.

    Names end in a date as the photographs' do ("..._qu3_20080415") and what follows, or else in
    two numbers (the point's row and column). What then makes no groups, or such as no
    photograph has points for, is no name of photographs.
    """
    stems = {member.stem for member in members}
    found = {}
    for stem in stems:
        if match := _DATED.match(stem):
            found[stem] = match[0]
        elif match := _PLACED.fullmatch(stem):
            found[stem] = match[1].rstrip("_-. (,")
    sizes = Counter(found.values())
    if not 1 < len(sizes) < len(found) or max(sizes.values()) > _MOST_PIECES:
        return {}, (
            "the file names do not tell the photographs: pieces of one photograph, which may "
            "overlap, are on both sides"
        )
    note = f"pieces of one photograph are on one side: file names tell {len(sizes):,} photographs"
    unknown = sorted(stems - found.keys())
    if unknown:
        note += f", but not those of {len(unknown):,} pieces ({layout.name_some(unknown)})"
    return found, note
