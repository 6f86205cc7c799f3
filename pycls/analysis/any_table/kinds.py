"""Recognition of errors and accuracies, and of percentages and fractions, in a table's columns."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.wording import listing
from pycls.errors import ConfigError

KINDS = ("errors", "accuracies")
UNITS = ("percent", "fraction")
_ERROR_WORDS = frozenset({"err", "errs", "error", "errors", "misclassification"})
_ACCURACY_WORDS = frozenset({"acc", "accs", "accuracy", "accuracies", "correct"})
_MIDDLE = 50.0
_SAME = 0.2  # of rho's lower bound, from which on two columns go in the same direction


@dataclass(frozen=True)
class Converted:
    """Errors in percent, and how they were found.

    Attributes:
        errors: architectures x data sets.
        notes: what was found, in sentences.
        warnings: what may be wrong, in sentences.
    """

    errors: pd.DataFrame
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def words_of(name: str) -> set[str]:
    """Return the words in a column's name, in lower case: "top1Err_val" has "err".

    "ImageNet" is one word.
    """
    name = re.sub(r"image[-_ ]?net", "imagenet", name, flags=re.IGNORECASE)
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return set(re.findall(r"[a-z]+", spaced.lower()))


def kind_by_name(name: str) -> str | None:
    """Return "errors" or "accuracies" where a column's name says it."""
    words = words_of(name)
    if bool(words & _ERROR_WORDS) == bool(words & _ACCURACY_WORDS):
        return None
    return "errors" if words & _ERROR_WORDS else "accuracies"


def to_errors(
    values: pd.DataFrame,
    names: Mapping[str, str],
    kind: str | None = None,
    unit: str | None = None,
    signed: Set[str] = frozenset(),
) -> Converted:
    """Return numbers of any kind as errors in percent.

    Args:
        values: architectures x data sets.
        names: data set -> name of the column its numbers come from.
        kind: one of `KINDS` where it is known; else it is found, by the names or else by
            the values.
        unit: one of `UNITS` where it is known; else found by the values.
        signed: data sets whose numbers have percent signs.

    Raises:
        ConfigError: a number cannot be a percentage or fraction, a name says the opposite
            of `kind`, or the kind cannot be told.
    """
    notes, warnings = [], []
    if signed and unit == "fraction":
        raise ConfigError(f"numbers of {listing(sorted(signed))} end in '%'; leave --unit out")
    unsigned = values.drop(columns=list(signed))
    units, unit_note, unit_warning = _find_units(unsigned, unit, _accuracies(values, names, kind))
    units |= dict.fromkeys(signed, "percent")
    if signed:
        notes.append(f"Numbers of {listing(sorted(signed))} are percent, as their signs say.")
    notes += [unit_note] if len(unsigned.columns) else []
    warnings += [unit_warning] if unit_warning else []
    percent = values * [100.0 if units[str(key)] == "fraction" else 1.0 for key in values]
    kinds, kind_note = _find_kinds(percent, names, kind)
    notes.append(kind_note)
    errors = percent.copy()
    for key in percent:
        if kinds[str(key)] == "accuracies":
            # Rounded, or accuracies that are equal would give errors that are not.
            errors[key] = np.round(100 - percent[key], 10)
    warnings += _doubts(percent, errors, kinds, kind is not None)
    return Converted(errors, tuple(notes), tuple(warnings))


def _accuracies(values: pd.DataFrame, names: Mapping[str, str], kind: str | None) -> Set[str]:
    """Return which columns hold accuracies, whatever their unit."""
    if kind is not None:
        return frozenset(map(str, values)) if kind == "accuracies" else frozenset()
    by_name = {str(key): kind_by_name(names[str(key)]) for key in values}
    if any(by_name.values()):
        return frozenset(key for key, found in by_name.items() if found == "accuracies")
    large = [key for key in values if values[key].max() > 1]
    if large and all(values[key].median() > _MIDDLE for key in large):
        return frozenset(by_name)
    return frozenset()


def _find_units(
    values: pd.DataFrame, unit: str | None, accuracies: Set[str]
) -> tuple[dict[str, str], str, str]:
    if unit is not None:
        return dict.fromkeys(map(str, values), unit), f"Numbers are read as {unit}, as asked.", ""
    small = [str(key) for key in values if values[key].max() <= 1]
    if small and len(small) == len([key for key in values if values[key].notna().any()]):
        note = "Numbers are read as fractions of 1, because none is above 1."
        return dict.fromkeys(map(str, values), "fraction"), note, ""
    # No set's accuracies are all below 1 %.
    fractions = [key for key in small if key in accuracies]
    doubtful = [key for key in small if key not in accuracies]
    units = dict.fromkeys(map(str, values), "percent") | dict.fromkeys(fractions, "fraction")
    warning = ""
    if doubtful:
        warning = (
            f"No number of {listing(doubtful)} is above 1, while others are. All are read as "
            "percent; write all columns in one unit if some are fractions. (Rho does not depend "
            "on it, regret does.)"
        )
    note = "Numbers are read as percent, because some are above 1."
    if fractions:
        note = (
            f"Accuracies of {listing(fractions)} are read as fractions of 1, because none is above "
            "1, and those of the others as percent."
        )
    return units, note, warning


def _find_kinds(
    percent: pd.DataFrame, names: Mapping[str, str], kind: str | None
) -> tuple[dict[str, str], str]:
    keys = [str(key) for key in percent]
    by_name = {key: found for key in keys if (found := kind_by_name(names[key]))}
    if kind is not None:
        against = [key for key, found in by_name.items() if found != kind]
        if against:
            raise ConfigError(
                f"the numbers are said to be {kind}, but the column '{names[against[0]]}' is named "
                f"after {by_name[against[0]]}; leave the flag out, so that each column is read "
                "as its name says, or rename the column"
            )
        return dict.fromkeys(keys, kind), f"Numbers are read as {kind}, as asked."
    named = sorted(set(by_name.values()))
    if len(by_name) == len(keys):
        how = " and ".join(
            f"{found} in {listing([k for k in keys if by_name[k] == found])}" for found in named
        )
        return by_name, f"Numbers are {how}, as the names of the columns say."
    if len(named) == 1:
        unnamed = [key for key in keys if key not in by_name]
        note = f"Numbers are read as {named[0]}, as the names of {listing(list(by_name))} say"
        note += f"; those of {listing(unnamed)}, whose names say nothing, as the same."
        return dict.fromkeys(keys, named[0]), note
    return _kinds_by_value(percent, keys, by_name)


def _kinds_by_value(
    percent: pd.DataFrame, keys: Sequence[str], by_name: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    open_keys = [key for key in keys if key not in by_name and percent[key].notna().any()]
    medians = {key: float(percent[key].median()) for key in open_keys}
    high = [key for key in open_keys if medians[key] > _MIDDLE]
    low = [key for key in open_keys if key not in high]
    if high and low and not by_name and _same_direction(percent, keys):
        kind, place = ("accuracies", "above") if keys[0] in high else ("errors", "at most")
        return dict.fromkeys(keys, kind), (
            f"Numbers are taken for {kind}: all columns rank the architectures in the same "
            f"direction as '{keys[0]}', whose median is {place} 50 %; "
            "give --errors or --accuracies if you know."
        )
    if high and low:
        raise ConfigError(
            f"errors or accuracies? The median of {listing(high)} is above 50 %, that of "
            f"{listing(low)} is not, and the names do not say; give --errors or --accuracies, or "
            "name the columns, such as imagenet_err or imagenet_acc"
        )
    if by_name and (high or low):
        raise ConfigError(
            f"some columns are named after errors and some after accuracies; name "
            f"{listing(open_keys)} as well, such as imagenet_err or imagenet_acc"
        )
    kind = "accuracies" if high else "errors"
    place = "above" if high else "at most"
    note = (
        f"Numbers are taken for {kind}, because the median of each column is {place} 50 %; give "
        "--errors or --accuracies if you know."
    )
    return {**dict.fromkeys(keys, kind), **by_name}, note


def _same_direction(percent: pd.DataFrame, keys: Sequence[str]) -> bool:
    """Say whether all columns certainly rank the architectures like the first."""
    first = percent[keys[0]]
    return all(spearman(first, percent[key]).ci_low > _SAME for key in keys[1:])


def _doubts(
    percent: pd.DataFrame, errors: pd.DataFrame, kinds: Mapping[str, str], asked: bool
) -> list[str]:
    """Return what speaks against the kinds found; refuse what is certainly wrong."""
    keys = [str(key) for key in percent]
    for first, second in combinations(keys, 2):
        both = percent[[first, second]].dropna()
        if both[first].nunique() < 3 or kinds[first] != kinds[second]:
            continue
        if bool(((both[first] + both[second] - 100).abs() < 0.011).all()):
            raise ConfigError(
                f"'{first}' and '{second}' add up to 100 in every row: one holds the "
                "accuracies to the other's errors; use one of them"
            )
    high = [key for key in keys if asked and errors[key].median() > _MIDDLE]
    if high and len(high) == len([key for key in keys if errors[key].notna().any()]):
        return [
            f"The median error of every column is above 50 % ({listing(high)}). If the numbers "
            "were given as the wrong kind, rho is still right, but best and worst, and regret, "
            "are not."
        ]
    return []
