"""Class names and numbers of labels as containers hold them: numbers or texts."""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pycls.datasets.readers import layout
from pycls.datasets.sources.sources import Source
from pycls.errors import ConfigError, DataError

_NAME_FILES = frozenset({"classnames.txt", "class_names.txt", "classes.txt", "labels.txt"})
_WHOLE = re.compile(r"-?\d+")


def find_class_names(source: Source, option: str) -> tuple[str, ...]:
    """Return the names of the classes in the order of their numbers, or () where not given.

    Args:
        source: where the set is.
        option: names with bars or commas between them, or the path of a text file in the source
            with one a line; "" for a file "classnames.txt" or the like, if there is one.

    Raises:
        ConfigError: a name is given twice.
        DataError: the file is no text.
    """
    member = source.at(option) if option else None
    if not option:
        member = next((each for each in source.members if each.file in _NAME_FILES), None)
    if member is not None:
        lines = layout.read_text(source, member, "the class names").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    else:
        names = [name.strip() for name in option.split("|" if "|" in option else ",") if option]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"class_names: {layout.name_some(repeated)} is there twice")
    return tuple(names)


def number_labels(
    values: Sequence[object], names: Sequence[str], where: str
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Return labels as positions in the class names, and those.

    Args:
        values: N labels, whole numbers (also as text) or texts.
        names: class names in the order of their numbers; () to take them from the labels, in
            the order of the numbers, or of the alphabet.
        where: the source, for messages.

    Raises:
        DataError: a label is none of the classes, or numbers and texts are mixed.
    """
    texts = [str(value).strip() for value in values]
    if not texts:
        raise DataError(f"{where}: no image has a label")
    unique = sorted(set(texts))
    if names and not set(unique) - set(names):
        rank = {name: label for label, name in enumerate(names)}
        return np.array([rank[text] for text in texts], dtype=np.int64), tuple(names)
    if not all(_WHOLE.fullmatch(text) for text in unique):
        if names:
            unknown = layout.name_some([text for text in unique if text not in names])
            raise DataError(f"{where}: labels {unknown} are none of the class names given")
        rank = {name: label for label, name in enumerate(unique)}
        return np.array([rank[text] for text in texts], dtype=np.int64), tuple(unique)
    numbers = np.array([int(text) for text in texts], dtype=np.int64)
    if names:
        if numbers.min() < 0 or numbers.max() >= len(names):
            raise DataError(
                f"{where}: labels from {numbers.min()} to {numbers.max()}, and {len(names)} class "
                "names; expected one name for each number from 0"
            )
        return numbers, tuple(names)
    found, labels = np.unique(numbers, return_inverse=True)
    return labels.astype(np.int64), tuple(str(number) for number in found)
