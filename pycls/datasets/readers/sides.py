"""The forms in which downloads name the sides of their split: by folders, or in lists."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pycls.datasets.readers.layout import TEST_WORDS, TRAIN_WORDS, read_text
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_WORDS = (*TRAIN_WORDS, *TEST_WORDS)
# What may stand beside the word: "training_set", "train.X1", "val-images", "testset".
_FILLERS = frozenset({"set", "data", "dataset", "images", "image", "imgs", "img", "x", "split"})
_COMPOUND = re.compile(
    f"({'|'.join(sorted(_WORDS, key=len, reverse=True))})(set|data|images|list)?"
)
_SHARD = re.compile(
    r"(part|shard|fold|batch|chunk|split|subset|archive|volume|vol|disk|disc|images?|imgs?|data)"
    r"[ _.-]*([0-9]+|[a-z])?"
)


@dataclass(frozen=True)
class SideFolders:
    """Folders that stand for sides.

    Attributes:
        train: names of the folders of the train side.
        tests: {word, such as "val": names of its folders}, in the order of preference.
    """

    train: tuple[str, ...]
    tests: Mapping[str, tuple[str, ...]]


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
    train = tuple(name for word in TRAIN_WORDS for name in found.get(word, ()))
    tests = {word: tuple(found[word]) for word in TEST_WORDS if word in found}
    return SideFolders(train, tests)


def side_word(name: str) -> str:
    """Return the word for a side that a folder's name is, with fillers at most, or ""."""
    word, rest = _read_name(name)
    return "" if rest else word


def is_shard(name: str) -> bool:
    """Say whether a folder's name looks like that of a part of a set, not of a class."""
    return bool(_SHARD.fullmatch(name.casefold())) or bool(side_word(name))


def _read_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the word for a side in a name, "" if there is not just one, and what else it says."""
    words, rest = [], []
    for token in re.findall(r"[^\W\d_]+", name.casefold()):
        if compound := _COMPOUND.fullmatch(token):
            words.append(compound[1])
        elif token not in _FILLERS:
            rest.append(token)
    return (words[0], tuple(rest)) if len(words) == 1 else ("", ())


def find_listed_sides(
    source: Source, images: Sequence[Member]
) -> tuple[dict[str, int], str, list[str]]:
    """Look for lists of the images of each side.

    Known are CUB's kind (`images.txt` and `train_test_split.txt`, joined by numbers) and pairs of
    files such as `train.txt` and `test.txt` of one image's path a line, with or without its
    suffix, whatever follows it.

    Returns:
        {name of a file: side} for the images listed, words about the split, and the names of the
        lists; all empty where there are no lists that name all their images.

    Raises:
        DataError: an image is listed on both sides.
    """
    tables = {member.name: member for member in source.members if member.suffix in (".txt", ".lst")}
    for name, member in tables.items():
        folder = name[: -len(member.file)]
        numbers = tables.get(f"{folder}images.txt")
        if member.file == "train_test_split.txt" and numbers is not None:
            return _read_numbered(source, numbers, member, images)
    by_folder: dict[str, dict[str, Member]] = defaultdict(dict)
    for name, member in tables.items():
        word, rest = _read_name(member.stem)
        if word and set(rest) <= {"list", "files", "filelist"}:
            by_folder[name[: -len(member.file)]].setdefault(word, member)
    tails: _Tails | None = None
    for lists in by_folder.values():
        train = next((lists[word] for word in TRAIN_WORDS if word in lists), None)
        test = next((lists[word] for word in TEST_WORDS if word in lists), None)
        if train is None or test is None:
            continue
        # Of a million images it takes seconds, so only where there is something to find.
        tails = tails or _Tails(images)
        sides: dict[str, int] = {}
        for side, table in enumerate((train, test)):
            for line in read_text(source, table, "the list").splitlines():
                found = tails.find(line)
                if line.strip() and found is None:
                    break
                if found is not None and sides.setdefault(found.name, side) != side:
                    raise DataError(
                        f"{source.where(table)}: '{found.name}' is in {train.file} too; expected "
                        "each image in one of the two"
                    )
            else:
                continue
            break
        else:
            words = f"the set's own: {test.name} lists the test side"
            return sides, words, [train.name, test.name]
    return {}, "", []


def _read_numbered(
    source: Source, numbers: Member, split: Member, images: Sequence[Member]
) -> tuple[dict[str, int], str, list[str]]:
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
    return sides, f"the set's own: {split.name}", [numbers.name, split.name]


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

    def find(self, line: str) -> Member | None:
        """Return the image that a line names, alone or before a blank, comma or tab."""
        text = line.strip().strip('"').removeprefix("./").replace("\\", "/")
        for candidate in (text, *(re.split(pattern, text)[0] for pattern in (r"[,;\t]", r"\s"))):
            if found := self._found.get(candidate.strip().strip('"')):
                return found
        return None


def read_annotations(source: Source, folder: str) -> dict[str, str]:
    """Return {file name: class} of a list such as Tiny-ImageNet's `val_annotations.txt`.

    `folder` is the path of the side's folder; {} where there is no such list.
    """
    for member in source.members:
        if member.name.startswith(f"{folder}/") and member.file.endswith("annotations.txt"):
            rows = [line.split() for line in read_text(source, member).splitlines()]
            return {row[0]: row[1] for row in rows if len(row) > 1}
    return {}
