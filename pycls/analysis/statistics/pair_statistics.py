"""The table of statistics that tables of pairs of data sets show beside rho."""

from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from pycls.analysis.statistics.correlation import Estimate, correlation_columns, spearman
from pycls.registry import import_object

# Column of tables -> header on pages, and "module:function" of two vectors that are paired by
# architecture (NaN where there is no error), which returns a number or an Estimate.
PAIR_STATISTICS: dict[str, tuple[str, str]] = {
    "kendall_tau_b": ("tau-b", "pycls.analysis.statistics.correlation:kendall"),
    "pearson_r": ("r", "pycls.analysis.statistics.correlation:pearson"),
}


def pair_columns(
    x: ArrayLike, y: ArrayLike, families: Iterable[object] | None = None
) -> dict[str, Any]:
    """Return Spearman's rho of two vectors and each of `PAIR_STATISTICS` as columns of a table.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.
        families: a label per architecture; see :func:`pycls.analysis.statistics.spearman`.
    """
    columns = correlation_columns(spearman(x, y, families=families))
    for name, (_, place) in PAIR_STATISTICS.items():
        found = import_object(place)(x, y)
        columns[name] = found.value if isinstance(found, Estimate) else float(found)
    return columns
