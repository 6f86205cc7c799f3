"""Tables of correlations with cells shaded by value: of all pairs, and of all drivers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pycls.analysis.inputs.results_csv import architecture_columns, population_runs
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.correlation import (
    CORRELATION_COLUMNS,
    correlation_columns,
    correlation_of,
    spearman,
)
from pycls.analysis.wording import RHO, correlation_lines, rho_number

# Blue and orange differ for every colour vision, and in lightness from white alike.
_POSITIVE, _NEGATIVE = (0, 96, 170), (214, 96, 0)
_STRONGEST = 0.52  # share of the colour at |rho| = 1, so that dark text stays readable on it
PARAMETER = "parameter:"  # before a parameter's name where a data set's could stand too
_KINDS = {
    "depth": "depth",
    "width": "width",
    "bot_mul": "bottleneck 1/b",
    "group_w": "group width",
}


@dataclass(frozen=True)
class HeatCell:
    """One correlation: what is written, what is said on request, and its shade.

    `x` and `y` name the columns of a scatter plot that shows it; empty for none.
    """

    text: str
    title: str = ""
    shade: str = ""
    clear: bool = False
    x: str = ""
    y: str = ""


@dataclass(frozen=True)
class HeatTable:
    """A table of shaded correlations.

    Attributes:
        caption: what it shows.
        headers: one per column of cells.
        rows: name of each row and its cells.
        csv: path of the numbers as a file, relative to the page.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[tuple[str, Sequence[HeatCell]]]
    csv: str


def stage_parameters(results: pd.DataFrame, study: Study, architectures: pd.Index) -> pd.DataFrame:
    """Return cum_depth, cum_width, depth_1, width_1, ... of the architectures, as floats."""
    names = ["cum_depth", "cum_width"]
    names += [name for name in architecture_columns(results) if name not in names]
    runs = population_runs(results, study).drop_duplicates("arch")
    return runs.set_index("arch")[names].reindex(architectures).astype(float)


def parameter_values(results: pd.DataFrame, study: Study, architectures: pd.Index) -> pd.DataFrame:
    """Return what the population's architectures differ in.

    Returns:
        Index as given; the columns of :func:`stage_parameters` and what the architecture
        costs on the reference, or else on the first data set (flops, params, acts), without
        those that are equal for all.
    """
    keys = study.dataset_keys()
    first = study.reference or (keys[0] if keys else "")
    runs = population_runs(results, study)
    costs = runs[runs["dataset"] == first].set_index("arch")[["flops", "params", "acts"]]
    values = stage_parameters(results, study, architectures)
    values = values.join(costs.reindex(architectures).astype(float))
    return values[[name for name in values if values[name].nunique() > 1]]


def parameter_title(name: str) -> str:
    """Return the name of a column of :func:`parameter_values` for people, with its unit."""
    known = {
        "cum_depth": "cumulative depth (blocks)",
        "cum_width": "cumulative width (channels)",
        "flops": "multiply-adds",
        "params": "parameters",
        "acts": "activations",
    }
    kind, _, stage = name.rpartition("_")
    return known.get(name) or f"{_KINDS.get(kind, kind)}, stage {stage}"


def driver_table(errors: pd.DataFrame, parameters: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return rho of each data set's error with each parameter.

    Returns:
        A row per pair: dataset, parameter, rho, n, ci_low, ci_high, p.
    """
    rows = [
        {
            "dataset": key,
            "parameter": name,
            **correlation_columns(spearman(parameters[name], errors[key])),
        }
        for name in parameters
        for key in study.dataset_keys()
    ]
    return pd.DataFrame(rows, columns=["dataset", "parameter", *CORRELATION_COLUMNS])


def matrix_heat(pairs: pd.DataFrame, study: Study, csv: str) -> HeatTable | None:
    """Return the matrix of rho between all data sets; None for fewer than two."""
    keys = study.dataset_keys()
    if len(keys) < 2:
        return None
    found = {(row["dataset_a"], row["dataset_b"]): row for row in pairs.to_dict("records")}
    rows = []
    for y in keys:
        cells = []
        for x in keys:
            row = found.get((x, y)) or found.get((y, x))
            names = (f"{study.dataset_title(x)} and {study.dataset_title(y)}", x, y)
            cells.append(_cell(row, *names) if row else HeatCell(""))
        rows.append((study.dataset_title(y), cells))
    return HeatTable(
        caption=f"Spearman's {RHO} between the test errors of every pair of data sets. Bold: the "
        "95 % interval excludes zero. The file has the intervals, n and p.",
        headers=[study.dataset_title(key) for key in keys],
        rows=rows,
        csv=csv,
    )


def driver_heat(drivers: pd.DataFrame, study: Study, csv: str) -> HeatTable | None:
    """Return the matrix of rho between errors and parameters; None where none varies."""
    if drivers.empty:
        return None
    keys = study.dataset_keys()
    rows = []
    for name, group in drivers.groupby("parameter", sort=False):
        found = {row["dataset"]: row for row in group.to_dict("records")}
        title = parameter_title(str(name))
        cells = [
            _cell(
                found[key],
                f"error on {study.dataset_title(key)} and {title}",
                f"{PARAMETER}{name}",
                key,
            )
            for key in keys
        ]
        rows.append((title.partition(" (")[0], cells))
    return HeatTable(
        caption=f"Spearman's {RHO} between test error and each parameter that varies. Negative "
        "(orange): more of it goes with lower error. Bold: the 95 % interval excludes zero; no "
        "correction for the number of pairs is made.",
        headers=[study.dataset_title(key) for key in keys],
        rows=rows,
        csv=csv,
    )


def shade(rho: float) -> str:
    """Return the CSS colour of a correlation: blue above zero, orange below, white at it."""
    if not math.isfinite(rho):
        return ""
    share = _STRONGEST * min(1.0, abs(rho))
    colour = _POSITIVE if rho > 0 else _NEGATIVE
    return "#" + "".join(f"{round(255 + share * (part - 255)):02x}" for part in colour)


def _cell(row: Mapping[Any, Any], names: str, x: str, y: str) -> HeatCell:
    correlation = correlation_of(row)
    return HeatCell(
        text=rho_number(correlation.rho),
        title=f"{names}: {', '.join(correlation_lines(correlation))}",
        shade=shade(correlation.rho),
        clear=correlation.ci_low > 0 or correlation.ci_high < 0,
        x=x,
        y=y,
    )
