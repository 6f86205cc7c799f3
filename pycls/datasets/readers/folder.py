"""Reader of a set of one's own: a folder of images a class, with or without one a side."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pycls.datasets.readers import layout, sides
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.archives import archive_suffix
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import VALIDATION_SIDE
from pycls.errors import ConfigError, DataError

_EXPECTED = (
    "images in a folder for each class: <class>/*.jpg, or train/<class>/*.jpg and "
    "test/<class>/*.jpg (or val)"
)
# Of more folders at the top, those in them are not compared; they are classes.
_MOST_COMPARED = 100
_FEW = 5
_SIDE_LISTS = "as lists of the sides, which are used"
_LABEL_LISTS = "as lists of labels, which are used"
# Folders, and what stands behind an image's name, where people keep what is drawn on images.
_MASKS = re.compile(
    r"(?:.*[^a-z])?(?:masks|labels|annotations|segmentations|ground[_ -]?truth|trimaps)|gt", re.I
)
_MASK_END = re.compile(r"[ _.-](?:mask|label|segmentation|seg|gt)s?(?:[ _-]?[0-9]+)?$", re.I)


@dataclass(frozen=True)
class _Placed:
    """An image and its path below what lies around everything; its class and side once known."""

    member: Member
    parts: tuple[str, ...]
    name: str = ""
    side: int | None = None


@dataclass
class _Found:
    """What becomes of the images: those of the set, the depth of their classes, and the rest.

    `class_depth` is the place in a path of the class's folder; None where lists name the classes.
    """

    images: list[_Placed]
    class_depth: int = 0
    words: str = ""
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def read_folder(source: Source, test_folder: str = "", level: int = 0) -> Listing:
    """List a set of class folders.

    The classes are the folders at the top, or, where folders named for the sides (train, and
    test or val, in the forms of :mod:`~pycls.datasets.readers.sides`) are there, the folders in
    those. Sides may also lie within the classes, or be given by lists; beside train and test, val
    is the validation side. Labels follow the alphabetical order of the names. Images deeper in a
    class's folder belong to it.

    Args:
        source: where it is; what lies around everything is looked through.
        test_folder: the folder that is the test side; "" for test, or, if that is not there or
            has no classes, val.
        level: which folder on an image's way names its class, counted from 1 below what lies
            around everything; 0 finds out.

    Raises:
        ConfigError: there is no such test folder or level.
        DataError: images in no class's folder, a class without images, a single class, or a
            class on one side only.
    """
    images = layout.find_images(source, _EXPECTED)
    known = {member.name for member in images}
    others = [member.name for member in source.members if member.name not in known]
    images, left_out = _leave_packed(source, images)
    packed = [name for names in left_out.values() for name in names]
    placed = [_Placed(member, layout.path_parts(member.name)) for member in images]
    depth = _count_wrapping(placed)
    wrapping = placed[0].parts[:depth]
    placed = [_Placed(one.member, one.parts[depth:]) for one in placed]
    found = _divide(source, placed, test_folder, level)
    _drop_unknown_validation(found)
    listed = {name for names in found.left_out.values() for name in names}
    found.left_out = {
        **left_out,
        **found.left_out,
        "not images": [name for name in others if name not in listed],
    }
    if lost := [one.member.name for one in found.images if not one.name]:
        raise DataError(
            f"{source.path}: in no class's folder: {layout.name_some(lost)}; expected {_EXPECTED}; "
            "--exclude leaves out what belongs to no class"
        )
    names = sorted({one.name for one in found.images})
    _refuse_empty(source, found, placed, wrapping, packed)
    if len(names) < 2:
        raise DataError(f"{source.path}: a single class, '{names[0]}'; expected {_EXPECTED}")
    items = [
        Item(one.member, "/".join(one.parts), names.index(one.name), side=one.side)
        for one in found.images
    ]
    kept, repeated = layout.finish_items(items, source)
    kept_names = {item.member.name for item in kept if item.member}
    if again := [one.member.name for one in found.images if one.member.name not in kept_names]:
        found.left_out["there twice, packed and unpacked"] = again
    if found.words:
        layout.require_both_sides(kept, names, str(source.path))
    notes = (*found.notes, *repeated, *_note_masks(found.images))
    left_out = {reason: names for reason, names in found.left_out.items() if names}
    return Listing(kept, tuple(names), notes, official_split=found.words, left_out=left_out)


def _drop_unknown_validation(found: _Found) -> None:
    """Leave out images to validate of classes that the other sides do not have."""
    classes = {one.name for one in found.images if one.side != VALIDATION_SIDE}
    unknown = [
        one for one in found.images if one.side == VALIDATION_SIDE and one.name not in classes
    ]
    if unknown:
        gone = {one.member.name for one in unknown}
        found.images = [one for one in found.images if one.member.name not in gone]
        _leave(found, unknown, "on the validation side in no folder of a class of the others")


def _leave_packed(
    source: Source, images: list[Member]
) -> tuple[list[Member], dict[str, list[str]]]:
    """Leave out archives whose images all lie unpacked beside them."""
    loose: dict[str, Member] = {}
    packed: dict[str, list[Member]] = defaultdict(list)
    for member in images:
        parts = member.name.split("/")
        for depth, part in enumerate(parts[:-1]):
            if archive_suffix(part):
                packed["/".join(parts[: depth + 1])].append(member)
                break
        else:
            loose[member.name] = member
    left_out: dict[str, list[str]] = {}
    # Unpackers put it beside the archive, or into a folder of the archive's name or another.
    folders = {"/".join(name.split("/")[:depth]) for name in loose for depth in range(1, 4)}
    for archive, inside in packed.items():
        paths = [member.name[len(archive) + 1 :] for member in inside]
        for place in ("", *sorted(f"{folder}/" for folder in folders)):
            if place + paths[0] not in loose:
                continue
            twins = [loose.get(place + path) for path in paths]
            if all(
                twin is not None and twin.size == m.size and source.read(twin) == source.read(m)
                for m, twin in zip(inside, twins, strict=True)
            ):
                names = [member.name for member in inside]
                left_out[f"since what '{archive}' holds lies unpacked beside it"] = names
                break
    gone = {name for names in left_out.values() for name in names}
    return [member for member in images if member.name not in gone], left_out


def _count_wrapping(images: Sequence[_Placed]) -> int:
    """Return how many folders lie around everything and are no class."""
    first = images[0].parts
    depth = 0
    while all(len(one.parts) > depth + 2 and one.parts[depth] == first[depth] for one in images):
        depth += 1
    # Images without any further folder have their names only.
    return depth


def _divide(source: Source, images: list[_Placed], test_folder: str, level: int) -> _Found:
    """Find the sides and the classes."""
    deepest = max(len(one.parts) for one in images) - 1
    if not 0 <= level <= max(deepest, 1):
        raise ConfigError(
            f"{source.path}: level {level}: expected 1 to {deepest}, or 0; {_EXPECTED}"
        )
    tops = sorted({one.parts[0] for one in images if len(one.parts) > 1})
    named = sides.find_side_folders(tops)
    if test_folder:
        named = _choose_test(named, tops, test_folder, source)
    if level:
        return _at_level(images, named, level)
    if not test_folder and (found := _sides_in_names(images, tops)):
        return found
    if found := _by_side_folders(source, images, named, test_folder):
        return found
    if found := _sides_within_classes(images):
        return found
    found = _by_classes(images, tops)
    listed = sides.find_listed_sides(source, [one.member for one in images])
    found.notes += listed.notes
    if listed.sides:
        unlisted = [one.member.name for one in images if one.member.name not in listed.sides]
        found.images = [
            _Placed(one.member, one.parts, one.name, listed.sides[one.member.name])
            for one in found.images
            if one.member.name in listed.sides
        ]
        found.words = listed.words
        found.left_out = {
            "since the lists of the sides do not name them": unlisted,
            _SIDE_LISTS: list(listed.used),
        }
    return found


def _choose_test(
    named: sides.SideFolders, tops: Sequence[str], test_folder: str, source: Source
) -> sides.SideFolders:
    wanted = test_folder.casefold()
    known = {name.casefold(): name for folders in named.tests.values() for name in folders}
    chosen = named.tests.get(wanted) or ((known[wanted],) if wanted in known else ())
    if not named.train or not chosen:
        raise ConfigError(
            f"test_folder '{test_folder}': {source.path} has no such folder of classes beside "
            f"train; it has {layout.name_some(tops) or 'no folder'}"
        )
    others = {word: names for word, names in named.tests.items() if names != chosen}
    return sides.SideFolders(named.train, {wanted: chosen, **others}, named.word)


def _at_level(images: list[_Placed], named: sides.SideFolders, level: int) -> _Found:
    """Take the folders at a level for the classes, those for sides above it for the sides."""
    found = _Found([], level - 1)
    chosen: dict[str, int] = {}
    depth = 0
    if both := sides.read_side_and_class({one.parts[0] for one in images}):
        chosen = _choose_words({name: word for name, (word, _) in both.items()})
    elif named.train:
        word = next(iter(named.tests), "")
        third = named.tests.get(layout.choose_validation(named.word, word, named.tests), ())
        chosen = dict.fromkeys(named.train, 0) | dict.fromkeys(named.tests.get(word, ()), 1)
        chosen |= dict.fromkeys(third, VALIDATION_SIDE)
    else:
        for depth in range(level - 1):
            folders = {one.parts[depth] if len(one.parts) > depth + 1 else "" for one in images}
            if chosen := _read_sides(folders):
                break
    has_sides = depth < level - 1 and 1 in chosen.values()
    for one in images:
        name = one.parts[level - 1] if len(one.parts) > level else ""
        if has_sides and one.parts[depth] not in chosen:
            found.left_out.setdefault("in no folder of a side", []).append(one.member.name)
        else:
            side = chosen[one.parts[depth]] if has_sides else None
            found.images.append(_Placed(one.member, one.parts, name, side))
    if has_sides:
        found.words = _describe(_first_of(chosen, 1), _first_of(chosen, VALIDATION_SIDE))
    return found


def _read_sides(folders: Collection[str]) -> dict[str, int]:
    """Return {folder: side} of folders that all stand for sides."""
    return _choose_words({folder: sides.side_word(folder) for folder in folders})


def _choose_words(words: Mapping[str, str]) -> dict[str, int]:
    """Return the sides of folders by their words; of the test sides the first counts.

    Beside it the first of those to validate is the third side.
    """
    test = next((word for word in layout.TEST_WORDS if word in words.values()), "")
    if not all(words.values()) or not test or not set(words.values()) & set(layout.TRAIN_WORDS):
        return {}
    train = next(word for word in layout.TRAIN_WORDS if word in words.values())
    third = layout.choose_validation(train, test, set(words.values()))
    side_of = {**dict.fromkeys(layout.TRAIN_WORDS, 0), test: 1, third: VALIDATION_SIDE}
    return {folder: side_of[word] for folder, word in words.items() if word in side_of}


def _first_of(sides_of: Mapping[str, int], side: int) -> str:
    return min((folder for folder, number in sides_of.items() if number == side), default="")


def _describe(test: str, validation: str) -> str:
    """Return words on the split of a set whose folders stand for the sides."""
    return layout.describe_sides(f"its folder '{test}'", f"'{validation}'" if validation else "")


def _by_side_folders(
    source: Source, images: list[_Placed], named: sides.SideFolders, test_folder: str
) -> _Found | None:
    """Divide by folders for the sides at the top; None where there are none."""
    if not named.train:
        return None
    by_top: dict[str, list[_Placed]] = defaultdict(list)
    for one in images:
        by_top[one.parts[0] if len(one.parts) > 1 else ""].append(one)
    train = [one for name in named.train for one in by_top[name]]
    classes = {one.parts[1] for one in train if len(one.parts) > 2}
    if not named.tests and not classes:
        return None
    found = _Found([], 1)
    tests: dict[str, list[_Placed]] = {}
    for word, folders in named.tests.items():
        inside = [one for name in folders for one in by_top[name]]
        if labelled := _label_side(source, inside, classes, found):
            tests[word] = labelled
        else:
            _leave(found, inside, f"unlabelled, in the folder '{folders[0]}'")
    test = next(iter(tests), "")
    if test_folder and test != test_folder.casefold():
        raise ConfigError(
            f"test_folder '{test_folder}': {source.path} has no such folder of classes beside "
            f"train; it has {layout.name_some(sorted(filter(None, by_top)))}"
        )
    where = f"the test side is '{named.tests[test][0]}'" if test else "there is no test side"
    third = layout.choose_validation(named.word, test, tests)
    for word, inside in tests.items():
        if word not in (test, third):
            _leave(found, inside, f"in the folder '{named.tests[word][0]}': {where}")
    known = {*named.train, *(name for names in named.tests.values() for name in names)}
    for name, inside in by_top.items():
        if name not in known:
            place = f"in the folder '{name}'" if name else "in no folder of a side"
            _leave(found, inside, f"{place}: {where}")
    depth = _count_inner_wrapping([train, tests[test]] if test else [train])
    found.class_depth = 1 + depth
    for side, inside in enumerate((train, tests.get(test, []), tests.get(third, []))):
        for one in inside:
            name = one.name or (one.parts[1 + depth] if len(one.parts) > 2 + depth else "")
            found.images.append(_Placed(one.member, one.parts, name, side if test else None))
    if test:
        found.words = _describe(named.tests[test][0], named.tests[third][0] if third else "")
    elif len(named.train) > 1:
        found.notes.append(f"the folders {layout.name_some(named.train)} are taken as one")
    return found


def _leave(found: _Found, images: Iterable[_Placed], reason: str) -> None:
    if names := [one.member.name for one in images]:
        found.left_out.setdefault(reason, []).extend(names)


def _label_side(
    source: Source, images: list[_Placed], classes: set[str], found: _Found
) -> list[_Placed]:
    """Return the images of a test side, those in no class's folder with the class a list gives.

    Returns [] where they have no labels: all lie in one folder that is no class of the train side.
    """
    inner = {one.parts[1] if len(one.parts) > 2 else "" for one in images}
    is_flat = len(inner) == 1 and not inner & classes and all(len(o.parts) < 4 for o in images)
    if not images or not (is_flat or inner == {""}):
        return images
    if inner != {""} and len(classes) < 2:
        return images
    first = images[0]
    folder = first.member.name[: -len("/".join(first.parts[1:])) - 1]
    files = [one.member.file for one in images]
    labels, used = sides.read_annotations(source, folder, files, classes)
    if not labels:
        return []
    found.left_out.setdefault(_LABEL_LISTS, []).append(used)
    return [_Placed(one.member, one.parts, labels[one.member.file]) for one in images]


def _count_inner_wrapping(divided: Sequence[Sequence[_Placed]]) -> int:
    """Return how many folders lie between those of the sides and those of the classes."""
    depth = 0
    while all(
        all(not one.name and len(one.parts) > depth + 3 for one in images)
        and len({one.parts[1 + depth] for one in images}) == 1
        and len({one.parts[2 + depth] for one in images}) > 1
        for images in divided
    ):
        depth += 1
    return depth


def _sides_in_names(images: list[_Placed], tops: Sequence[str]) -> _Found | None:
    """Divide by folders that are named for side and class; None where they are not."""
    named = sides.read_side_and_class(tops)
    chosen = _choose_words({name: word for name, (word, _) in named.items()})
    if not chosen or any(len(one.parts) < 2 for one in images):
        return None
    test, third = _first_of(chosen, 1), _first_of(chosen, VALIDATION_SIDE)
    words = f"the set's own: '{test}' and the like are its test side"
    words += f", '{third}' and the like its validation side" if third else ""
    found = _Found([], words=words)
    inner: dict[str, set[str]] = defaultdict(set)
    for one in images:
        top = one.parts[0]
        if top in chosen:
            found.images.append(_Placed(one.member, one.parts, named[top][1], chosen[top]))
            inner[top].add(one.parts[1] if len(one.parts) > 2 else "")
        else:
            _leave(found, [one], f"in the folder '{top}': the test side is '{test}' and the like")
    found.notes += _note_shared(sorted(inner), inner, 2)
    return found


def _sides_within_classes(images: list[_Placed]) -> _Found | None:
    """Divide by folders for the sides in each class's folder; None where there are none."""
    folders = {one.parts[1] if len(one.parts) > 2 else "" for one in images}
    chosen = _read_sides(folders)
    if not chosen:
        return None
    test, third = _first_of(chosen, 1), _first_of(chosen, VALIDATION_SIDE)
    words = f"the set's own: the folders '{test}' in the classes' folders"
    words += f", those called '{third}' to validate" if third else ""
    found = _Found([], words=words)
    for one in images:
        folder = one.parts[1]
        if folder not in chosen:
            _leave(found, [one], f"in a folder '{folder}': the test side is '{test}'")
            continue
        found.images.append(_Placed(one.member, one.parts, one.parts[0], chosen[folder]))
    inner: dict[str, set[str]] = defaultdict(set)
    for one in found.images:
        inner[one.parts[0]].add(one.parts[2] if len(one.parts) > 3 else "")
    found.notes += _note_shared(sorted(inner), inner, 3)
    return found


def _by_classes(images: list[_Placed], tops: Sequence[str]) -> _Found:
    """Take the folders at the top as classes, or those in them where the former are parts."""
    inner: Mapping[str, set[str]] = {
        top: {one.parts[1] for one in images if one.parts[0] == top and len(one.parts) > 2}
        for top in (tops if len(tops) <= _MOST_COMPARED else ())
    }
    has_inner = bool(inner) and all(inner.values())
    parts = len(tops) > 1 and sides.are_shards(tops)
    depth = int(parts and has_inner and all(len(one.parts) > 2 for one in images))
    found = _Found(
        [
            _Placed(one.member, one.parts, one.parts[depth] if len(one.parts) > depth + 1 else "")
            for one in images
        ],
        depth,
    )
    if depth:
        found.notes.append(
            f"the folders {layout.name_some(tops)} are taken for parts of the set, those in them "
            "for its classes (--set level=1 takes the former)"
        )
    elif parts:
        found.notes.append(
            f"the folders {layout.name_some(tops)} are taken for classes, though their names are "
            "such as parts or sides of a set have"
        )
    elif has_inner:
        found.notes += _note_shared(tops, inner, 2)
    return found


def _note_shared(tops: Sequence[str], inner: Mapping[str, set[str]], level: int) -> list[str]:
    """Return a note where the same folders, at a level, lie in each of those taken for classes."""
    shared = set.intersection(*inner.values()) - {""} if len(tops) > 1 else set()
    if len(shared) < 2:
        return []
    return [
        f"the folders {layout.name_some(tops)} are taken for classes; the same folders are in "
        f"each ({layout.name_some(sorted(shared))}): if those are the classes, --set level={level}"
    ]


def _note_masks(images: Sequence[_Placed]) -> list[str]:
    """Return a note on images that look like masks or labels of others."""
    stems = {one.member.name.rpartition(".")[0] for one in images}
    masks: list[str] = []
    patterns: dict[str, None] = {}
    for one in images:
        folder = next((part for part in one.parts[:-1] if _MASKS.fullmatch(part)), "")
        stem = one.member.name.rpartition(".")[0]
        end = None if folder else _MASK_END.search(stem)
        if end and stem[: end.start()] in stems:
            folder = f"*{end[0]}.*"
        if folder:
            masks.append(one.member.name)
            patterns[folder] = None
    if not masks:
        return []
    return [
        f"{len(masks):,} images of the set look like masks or labels of others "
        f"({layout.name_some(masks)}); if they are, leave them out with --exclude "
        f"{' --exclude '.join(map(repr, list(patterns)[:_FEW]))}"
    ]


def _refuse_empty(
    source: Source,
    found: _Found,
    placed: Sequence[_Placed],
    wrapping: tuple[str, ...],
    gone: Iterable[str],
) -> None:
    """Check that no folder that should be a class's is without an image.

    Args:
        source: the files.
        found: the images of the set.
        placed: all images, the left out ones too.
        wrapping: the folders that lie around everything.
        gone: images of archives that lie unpacked too.

    Raises:
        DataError: one is; says what it holds.
    """
    depth = found.class_depth
    used = {one.parts[: depth + 1] for one in placed}
    for lists in (_SIDE_LISTS, _LABEL_LISTS):
        for name in found.left_out.get(lists, ()):
            used.add(layout.path_parts(name)[len(wrapping) :][: depth + 1])
    # A class may be without images to validate.
    above = {one.parts[:depth] for one in found.images if one.side != VALIDATION_SIDE}
    inside: dict[tuple[str, ...], Counter[str]] = {}
    names = [*(f"{name}/" for name in source.sieve.folders), *(m.name for m in source.members)]
    left = {one.member.name for one in placed} | set(gone)
    for name in names:
        parts = layout.path_parts(name)
        around, parts = parts[: len(wrapping)], parts[len(wrapping) :]
        folder = parts[: depth + 1]
        is_class = len(parts) > depth + 1 and folder[:depth] in above and around == wrapping
        if is_class and folder not in used and name not in left:
            kinds = inside.setdefault(folder, Counter())
            kinds[PurePosixPath(parts[-1]).suffix or "no suffix"] += bool(parts[-1])
    if inside:
        shown = []
        for folder, kinds in sorted(inside.items()):
            counted = ", ".join(f"{kind} {n}" for kind, n in (+kinds).items())
            shown.append(f"'{folder[-1]}' ({counted or 'empty'})")
        more = f" and {len(shown) - _FEW} more" if len(shown) > _FEW else ""
        raise DataError(
            f"{source.path}: class folders without an image: {', '.join(shown[:_FEW])}{more}; "
            f"remove them, or leave them out with --exclude '{min(inside)[-1]}'"
        )
