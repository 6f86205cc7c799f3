"""Which columns of a wide table hold errors or accuracies, and why the others do not."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pycls.analysis.any_table.cells import Cells, is_missing, parse_numbers
from pycls.analysis.any_table.kinds import words_of

# Words in the names of columns that are numbers between 0 and 100 but no errors.
COST_WORDS = frozenset(
    """param params parameters flop flops mac macs gmac gmacs gflop gflops mflop mflops acts gacts
    macts activations latency throughput""".split()  # noqa: SIM905
)
_OTHER_WORDS = COST_WORDS | frozenset(
    """interpolation epoch epochs seed lr seconds minutes hours rank diff std stdev stderr sem ci
    unnamed crop resolution pixels gpu fps""".split()  # noqa: SIM905
)
# Words that say so only where no word beside them may be the name of a data set: a column
# "depth" holds no errors, one "NYU depth" may.
_AMBIGUOUS_WORDS = frozenset(
    """depth width size img image count year index batch memory layer layers stage stages group bot
    mul time n id""".split()  # noqa: SIM905
)
_NEUTRAL_WORDS = frozenset(
    """m g k b mb gb s ms sec num number of per total input output test train model net network arch
    architecture pct max min cum in mean median avg infer inference samples release block blocks
    d w""".split()  # noqa: SIM905
)
_AVERAGE_WORDS = frozenset({"average", "avg", "mean", "overall", "macro"})
_SPREAD_WORDS = frozenset({"per", "class"})  # "mean per class accuracy" is one set's own metric
_MIN_AVERAGED = 3


def find_targets(
    cells: Cells, names: Sequence[str], used: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Return which columns hold errors or accuracies, and why the others do not.

    Args:
        cells: the table.
        names: of the columns to choose from.
        used: columns that are compared anyway, such as the reference.
    """
    chosen: dict[str, NDArray[np.float64]] = {}
    left_out: dict[str, str] = {}
    values = {key: parse_numbers(cells.frame[key], cells.delimiter).values for key in used}
    for name in names:
        numbers = parse_numbers(cells.frame[name], cells.delimiter)
        finite = numbers.values[np.isfinite(numbers.values)]
        filled = sum(not is_missing(str(text)) for text in cells.frame[name])
        if 2 * len(numbers.wrong) > filled:
            left_out[name] = "text"
        elif not len(finite) and not numbers.wrong:
            left_out[name] = "no number"
        elif name.startswith("column ") or is_no_error(name):
            left_out[name] = "no error, by its name"
        elif is_average(name):
            left_out[name] = "an average, by its name"
        elif len(finite) and not (finite.min() >= 0 and finite.max() <= 100):
            left_out[name] = f"values from {finite.min():g} to {finite.max():g}, no percentages"
        elif other := _complement(numbers.values, values | chosen):
            left_out[name] = f"{other} the other way round"
        else:
            chosen[name] = numbers.values
    averages = _averages(values | chosen, chosen)
    left_out |= dict.fromkeys(averages, "the average of the other columns")
    return [name for name in chosen if name not in averages], left_out


def is_no_error(name: str) -> bool:
    """Say whether a column's name says that it holds something else than errors."""
    words = words_of(name)
    if words & _OTHER_WORDS:
        return True
    return bool(words & _AMBIGUOUS_WORDS) and words <= _AMBIGUOUS_WORDS | _NEUTRAL_WORDS


def is_average(name: str) -> bool:
    """Say whether a column's name says that it holds an average over data sets."""
    words = words_of(name)
    return bool(words & _AVERAGE_WORDS) and not words >= _SPREAD_WORDS


def _complement(values: NDArray[np.float64], others: Mapping[str, NDArray[np.float64]]) -> str:
    """Return the column that adds up to 100 (or 1) with this one in every row; empty: none."""
    for name, other in others.items():
        both = (values + other)[np.isfinite(values + other)]
        if len(np.unique(other[np.isfinite(values + other)])) >= 3:
            for whole, rounding in ((100, 0.011), (1, 0.00011)):
                if bool((np.abs(both - whole) < rounding).all()):
                    return name
    return ""


def _averages(
    values: Mapping[str, NDArray[np.float64]], chosen: Mapping[str, NDArray[np.float64]]
) -> list[str]:
    """Return the chosen columns that are the mean of all others, rounded."""
    if len(values) <= _MIN_AVERAGED:
        return []
    table = np.column_stack(list(values.values()))
    complete = table[np.isfinite(table).all(axis=1)]
    if len(complete) <= _MIN_AVERAGED:
        return []
    found = []
    for place, name in enumerate(values):
        if name in chosen:
            mean = np.delete(complete, place, axis=1).mean(axis=1)
            rounding = 0.06 if complete.max() > 1 else 0.0006
            if bool((np.abs(complete[:, place] - mean) < rounding).all()):
                found.append(name)
    return found
