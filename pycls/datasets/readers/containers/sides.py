"""The sides of a split that files and arrays are named for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pycls.datasets.readers import layout
from pycls.datasets.store.store import VALIDATION_SIDE
from pycls.errors import ConfigError, DataError

_WORDS = frozenset((*layout.TRAIN_WORDS, *layout.TEST_WORDS))


def side_word(*names: str) -> str:
    """Return the first word for a side ("train", "val") in some names, in lower case, or "".

    A name is looked through word by word: "train-00000-of-00294", "imagenet_val.tar".
    """
    parts = (part for name in names for part in re.split(r"[^a-z]+", name.lower()))
    return next((part for part in parts if part in _WORDS), "")


@dataclass(frozen=True)
class Sides:
    """What becomes of the images of each word.

    Attributes:
        by_word: word to 0 (train), 1 (test) or 2 (validation), or None where no image has a side;
            words that are not here are left out.
        notes: on what is left out.
        official: words about the split, "" where there is none.
    """

    by_word: Mapping[str, int | None]
    notes: tuple[str, ...] = ()
    official: str = ""


def choose_sides(counts: Mapping[str, int], test_split: str, where: str) -> Sides:
    """Decide which words are the train, the test and, if there are three, the validation side.

    Args:
        counts: the words that are there ("" for none), and how many labelled images each has.
        test_split: the word of the test side; "" for the first of test and val.
        where: the source, for messages.

    Raises:
        ConfigError: there is no such word.
        DataError: some images have a word and some have none.
    """
    present = [word for word in counts if word]
    if present and "" in counts:
        raise DataError(
            f"{where}: {layout.join_quoted(present)} are named for a side and others are not; "
            "expected all or none"
        )
    if test_split and (test_split not in counts or test_split in layout.TRAIN_WORDS):
        raise ConfigError(
            f"test_split '{test_split}': {where} has {layout.join_quoted(present) or 'no sides'}"
        )
    train = next((word for word in layout.TRAIN_WORDS if word in counts), "")
    tests = (word for word in layout.TEST_WORDS if counts.get(word))
    test = test_split or next(tests, "")
    if not train or not test:
        only = train or test
        return Sides({only: None}, _tell_left_out(counts, {only}, "there is no other side"))
    labelled = [word for word, count in counts.items() if count]
    third = layout.choose_validation(train, test, labelled)
    used = {train: 0, test: 1, **({third: VALIDATION_SIDE} if third else {})}
    notes = _tell_left_out(counts, used, f"the test side is '{test}'")
    return Sides(used, notes, layout.describe_sides(f"'{test}'", f"'{third}'" if third else ""))


def _tell_left_out(counts: Mapping[str, int], used: Iterable[str], reason: str) -> tuple[str, ...]:
    return tuple(
        f"{count:,} images of '{word}' are left out: {reason}"
        if count
        else f"the images of '{word}' are left out: they have no labels"
        for word, count in counts.items()
        if word not in used
    )
