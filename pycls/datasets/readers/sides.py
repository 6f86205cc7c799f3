"""The forms in which downloads name the sides of their split: by folders, or in lists."""

import itertools
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pycls.datasets.readers.layout import (
    TEST_WORDS,
    TRAIN_WORDS,
    choose_validation,
    is_image,
    read_text,
)
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import VALIDATION_SIDE
from pycls.errors import DataError

_WORDS = (*TRAIN_WORDS, *TEST_WORDS)
# What may stand beside the word: "training_set", "train.X1", "val-images", "testset".
_FILLERS = frozenset({"set", "data", "dataset", "images", "image", "imgs", "img", "x", "split"})
# A capital begins a word: "trainA", "TestImages".
_TOKEN = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])")
_COMPOUND = re.compile(
    f"({'|'.join(sorted(_WORDS, key=len, reverse=True))})(set|data|images|list)?"
)
_LISTS = frozenset({".txt", ".lst", ".csv", ".tsv"})
_LIST_WORDS = frozenset({"list", "files", "file", "filelist", "filenames", "names"})
_CLASS_TITLE = re.compile("class|label|categor|target|species")
_SHARD = re.compile(
    r"(?P<stem>(?:.*[^a-z])?"
    r"(?:part|shard|fold|batch|chunk|split|subset|set|archive|volume|vol|disk|disc|images?|imgs?"
    r"|data|dataset))"
    r"[ _.-]*(?:[0-9]+|[a-z])?(?:[ _.-]*of[ _.-]*[0-9]+)?"
)


@dataclass(frozen=True)
class SideFolders:
    """Folders that stand for sides.

    Attributes:
        train: names of the folders of the train side.
        tests: {word, such as "val": names of its folders}, in the order of preference.
        word: that of the train side.
    """

    train: tuple[str, ...]
    tests: Mapping[str, tuple[str, ...]]
    word: str = ""


def find_side_folders(names: Iterable[str]) -> SideFolders:
    """Return which of some folders' names stand for sides of a split.

    Beside the words themselves a name may hold digits, words such as "set" and "images", and
    what the names of train and test have in common ("seg_train" and "seg_test").
    """
    by_rest: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(names):
        word, rest = _read_name(name)
        if word:
            by_rest[rest][word].append(name)
    found = by_rest.get((), {})
    for rest in sorted(by_rest):
        words = by_rest[rest]
        both = set(words) & set(TRAIN_WORDS) and set(words) & set(TEST_WORDS)
        if both and not (set(found) & set(TRAIN_WORDS)):
            found = words
    used = [word for word in TRAIN_WORDS if word in found]
    # The images of "train" are in "trainval" again.
    used = [word for word in used if word != "trainval"] or used
    train = tuple(name for word in used for name in found[word])
    tests = {word: tuple(found[word]) for word in TEST_WORDS if word in found}
    return SideFolders(train, tests, next(iter(used), ""))


def side_word(name: str) -> str:
    """Return the word for a side that a folder's name is, with fillers at most, or ""."""
    word, rest = _read_name(name)
    return "" if rest else word


def are_shards(names: Iterable[str]) -> bool:
    """Say whether folders' names look like those of parts of one set, not of classes."""
    stems = set()
    for name in names:
        if not side_word(name):
            found = _SHARD.fullmatch(name.casefold())
            stems.add(found["stem"] if found else name)
            if found is None or len(stems) > 1:
                return False
    return True


def read_side_and_class(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Read folders' names that hold side and class each, such as "train-cats" and "test-cats".

    Returns:
        {name: (word for the side, class)}; {} where they are no such names: at least two
        classes, each on a train and a test side.
    """
    found = {}
    sides: dict[str, set[str]] = defaultdict(set)
    for name in names:
        word, rest = _read_name(name)
        if not word or not rest:
            return {}
        kept = _TOKEN.sub(lambda found: "" if _read_name(found[0])[0] else found[0], name)
        found[name] = word, re.sub(r"[\W_]{2,}", "_", kept).strip("_-. ")
        sides[found[name][1]].add(word)
    both = [words & set(TRAIN_WORDS) and words & set(TEST_WORDS) for words in sides.values()]
    return found if len(sides) > 1 and all(both) else {}


def _read_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the word for a side in a name, "" if there is not just one, and what else it says."""
    words, rest = [], []
    for token in (part.casefold() for part in _TOKEN.findall(name)):
        if compound := _COMPOUND.fullmatch(token):
            words.append(compound[1])
        elif token not in _FILLERS:
            rest.append(token)
    return (words[0], tuple(rest)) if len(words) == 1 else ("", ())


@dataclass(frozen=True)
class ListedSides:
    """Sides that lists give.

    Attributes:
        sides: {name of a file: 0 (train), 1 (test) or 2 (validation)} of the images that have one.
        words: about the split, "" where there is none.
        used: names of the lists.
        notes: on files that look like lists and are not used.
    """

    sides: Mapping[str, int] = field(default_factory=dict)
    words: str = ""
    used: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_listed_sides(source: Source, images: Sequence[Member]) -> ListedSides:
    """Look for lists of the images of each side.

    Known are CUB's kind (`images.txt` and `train_test_split.txt`, joined by numbers) and files
    such as `train.txt` and `test.txt` of one image's path a line, with or without its suffix,
    whatever follows it. Without a list of the train side, it is what no list names. A third list,
    such as `val.txt` beside that of the test side, names the validation side.

    Raises:
        DataError: an image is listed on both sides.
    """
    tables = {member.name: member for member in source.members if member.suffix in _LISTS}
    for name, member in tables.items():
        folder = name[: -len(member.file)]
        numbers = tables.get(f"{folder}images.txt")
        if member.file == "train_test_split.txt" and numbers is not None:
            return _read_numbered(source, numbers, member, images)
    by_folder: dict[str, dict[str, Member]] = defaultdict(dict)
    for name, member in tables.items():
        word, rest = _read_name(member.stem)
        if word and set(rest) <= _LIST_WORDS:
            by_folder[name[: -len(member.file)]].setdefault(word, member)
    notes = []
    tails: _Tails | None = None
    for lists in by_folder.values():
        words = [word for word in TEST_WORDS if word in lists]
        tests = [lists[word] for word in words]
        if not tests:
            continue
        # Of a million images it takes seconds, so only where there is something to find.
        tails = tails or _Tails(images)
        train = next((word for word in TRAIN_WORDS if word in lists), "")
        third = choose_validation(train or TRAIN_WORDS[0], words[0], words)
        # Without a list of the train side those of all others say what is not on it.
        needed = [words[0], train] if train else words
        named: dict[str, list[str]] = {}
        for word in (*needed, *([third] if third not in needed else [])):
            if word:
                names, unknown = tails.read_list(source, lists[word])
                if unknown:
                    notes.append(_not_used(lists[word], unknown))
                else:
                    named[word] = names
        if all(word in named for word in needed):
            return _divide_by_lists(source, images, lists, named, (train, words[0], third), notes)
    return ListedSides(notes=tuple(notes))


def _not_used(table: Member, why: str) -> str:
    what = "its name is that of a list of a side's images"
    return f"'{table.name}' is not used, though {what}: {why}"


def _divide_by_lists(
    source: Source,
    images: Sequence[Member],
    lists: Mapping[str, Member],
    named: Mapping[str, Sequence[str]],
    words: tuple[str, str, str],
    notes: list[str],
) -> ListedSides:
    """Divide images by lists; `words` are of train ("": what no list names), test and third."""
    train, test, third = words
    tested = set(named[test])
    for word in (train,) if train else named.keys() - {test}:
        if both := sorted(tested & set(named[word])):
            raise DataError(
                f"{source.where(lists[test])}: '{both[0]}' is in {lists[word].file} too; expected "
                "each image in one of the two"
            )
    elsewhere = {name for names in named.values() for name in names}
    listed = named[train] if train else [m.name for m in images if m.name not in elsewhere]
    held = named.get(third, ())
    # Some publish what is in their other lists again.
    if again := set(held) & (tested | set(listed)):
        notes.append(_not_used(lists[third], f"{len(again):,} of its images are in others too"))
        held = ()
    used = [word for word in named if word != test and (word != third or held or not train)]
    return ListedSides(
        {
            **dict.fromkeys(listed, 0),
            **dict.fromkeys(named[test], 1),
            **dict.fromkeys(held, VALIDATION_SIDE),
        },
        f"the set's own: {lists[test].name} lists the test side"
        + (f", {lists[third].name} the validation side" if held else ""),
        tuple(lists[word].name for word in (*used, test)),
        tuple(notes),
    )


def _read_numbered(
    source: Source, numbers: Member, split: Member, images: Sequence[Member]
) -> ListedSides:
    tails = _Tails(images)
    sides: dict[str, int] = {}
    is_train = dict(_read_pairs(source, split))
    for number, path in _read_pairs(source, numbers):
        found = tails.find(path)
        if found is None or is_train.get(number) not in ("0", "1"):
            raise DataError(
                f"{source.where(numbers)}: image {number} ('{path}') is not there, or "
                f"{split.file} does not say 1 (train) or 0 (test) of it"
            )
        sides[found.name] = 1 - int(is_train[number])
    return ListedSides(sides, f"the set's own: {split.name}", (numbers.name, split.name))


def _read_pairs(source: Source, member: Member) -> list[tuple[str, str]]:
    lines = read_text(source, member, "the list").splitlines()
    pairs = [line.strip().partition(" ") for line in lines if line.strip()]
    return [(first, rest.strip()) for first, _, rest in pairs]


class _Tails:
    """Finds images by the ends of their paths, with or without their suffix."""

    def __init__(self, images: Sequence[Member]) -> None:
        self._found: dict[str, Member | None] = {}
        for member in images:
            parts = member.name.split("/")
            for depth in range(len(parts)):
                tail = "/".join(parts[depth:])
                for key in {tail, tail.rpartition(".")[0] or tail}:
                    # An end that two images have tells nothing.
                    self._found[key] = None if key in self._found else member

    def read_list(self, source: Source, table: Member) -> tuple[list[str], str]:
        """Return the files that a list names, and what is wrong with it, or ""."""
        names = []
        lines = read_text(source, table, "the list").splitlines()
        for number, line in enumerate(lines, start=1):
            if found := self.find(line):
                names.append(found.name)
            # The first line may name columns.
            elif line.strip() and (number > 1 or is_image(re.split(r"[,;\t]", line)[0])):
                return [], f"line {number}, '{line.strip()[:60]}', names no image of the set"
        return names, "" if names else "it names no image of the set"

    def find(self, line: str) -> Member | None:
        """Return the image that a line names, alone or before a blank, comma or tab."""
        text = line.strip().strip('"').removeprefix("./").replace("\\", "/")
        for candidate in (text, *(re.split(pattern, text)[0] for pattern in (r"[,;\t]", r"\s"))):
            if found := self._found.get(candidate.strip().strip('"')):
                return found
        return None


def read_annotations(
    source: Source, folder: str, files: Collection[str], classes: Collection[str]
) -> tuple[dict[str, str], str]:
    """Return {file name: class} of a list such as Tiny-ImageNet's `val_annotations.txt`.

    It lies in the side's folder or beside it, and has a line for each file, with its path or
    name in one column and its class in another.

    Args:
        source: where it is.
        folder: path of the side's folder.
        files: names of the files that must be in it.
        classes: names of the classes.

    Returns:
        That and the list's name; ({}, "") where there is no such list.
    """
    beside, _, side = folder.rpartition("/")
    for member in source.members:
        place = member.name.rpartition("/")[0]
        if member.suffix not in _LISTS or not (
            f"{place}/".startswith(f"{folder}/")
            or (place == beside and _read_name(member.stem)[0] == side_word(side))
        ):
            continue
        rows = []
        for line in read_text(source, member).splitlines():
            cells = [cell.strip().strip('"') for cell in re.split(r"[,;\t]", line)]
            rows.append(cells if len(cells) > 1 else line.split())
        if labels := _match_columns([row for row in rows if len(row) > 1], files, classes):
            return labels, member.name
    return {}, ""


def _match_columns(
    rows: Sequence[Sequence[str]], files: Collection[str], classes: Collection[str]
) -> dict[str, str]:
    """Return {file name: class} by the columns of a list that hold them, {} if there are none."""
    width = min(map(len, rows), default=0)
    stems = [file.rpartition(".")[0] for file in files]
    # Numbers of other columns may be names without their suffix.
    for names, column in itertools.product((files, stems), range(width)):
        by_name = {row[column].rpartition("/")[2]: row for row in rows}
        found = [by_name[name] for name in names if name in by_name]
        if len(found) < len(files):
            continue
        fitting = [
            place
            for place in range(width)
            if place != column and all(row[place] in classes for row in found)
        ]
        # Numbers, such as those of a box, may be names of classes too.
        titled = [place for place in fitting if _CLASS_TITLE.search(rows[0][place].casefold())]
        if fitting:
            chosen = (titled or [column + 1] * (column + 1 in fitting) or fitting)[0]
            return {file: row[chosen] for file, row in zip(files, found, strict=True)}
    return {}
