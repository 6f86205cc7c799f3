"""The data of the report's interactive part, as one compact JSON text."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pycls.analysis.figures.panels import highlighted
from pycls.analysis.figures.style import is_skewed
from pycls.analysis.figures.training import pack
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.correlation import correlation_of
from pycls.analysis.statistics.proxies import closest_member
from pycls.analysis.tables.best import describe
from pycls.analysis.tables.heat import PARAMETER, parameter_title
from pycls.analysis.wording import correlation_lines


def page_data(
    errors: pd.DataFrame,
    stages: pd.DataFrame,
    parameters: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    curves: Mapping[str, Curves],
    study: Study,
) -> dict[str, Any]:
    """Return what scatter plots and curves are drawn from.

    Args:
        errors: architectures x data sets, in percent.
        stages: all parameters of the stages, for descriptions.
        parameters: those that differ, to be drawn; the same index as `errors`.
        tables: "pairs" and "drivers", whose correlations stand above the plots: none is
            computed in the browser.
        curves: by data set.
        study: for names and roles.

    Returns:
        archs and what each is; columns (errors, then parameters) with values; texts of rho
        by pair of columns; groups of data sets to show; curves.
    """
    keys = study.dataset_keys()
    columns = [_error_column(key, errors, study) for key in keys]
    columns += [_parameter_column(str(name), parameters[name]) for name in parameters]
    members = study.members()
    groups = {"targets": study.targets, "family": tuple(members), "all": tuple(keys)}
    return {
        "archs": [str(arch) for arch in errors.index],
        "about": describe(stages),
        "columns": columns,
        "rho": correlation_texts(tables),
        "reference": study.reference,
        "closest": {
            key: closest_member(study.num_classes(key), members) for key in study.targets if members
        },
        "groups": {name: list(group) for name, group in groups.items() if group},
        "coloured": highlighted(len(errors)),
        "curves": {
            key: {
                "epochs": curves[key].epochs.tolist(),
                "test": pack(curves[key].test),
                "train": pack(curves[key].train),
            }
            for key in keys
            if key in curves
        },
    }


def json_text(value: Any) -> str:
    """Return compact JSON that may stand within a script element: no "<", ">", "&" or NaN.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Within JSON these characters occur in strings only, where the escape means the same.
    # The two line separators end a line in old scripts though they are legal in JSON.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _error_column(key: str, errors: pd.DataFrame, study: Study) -> dict[str, Any]:
    values = errors[key]
    return {
        "key": key,
        "title": study.dataset_title(key),
        "label": study.error_label(key),
        "metric": study.metric(key),
        "error": True,
        "log": is_skewed(values.dropna().to_numpy()),
        "values": numbers(values, 4),
    }


def _parameter_column(name: str, values: pd.Series) -> dict[str, Any]:
    known = values.dropna().to_numpy()
    wide = len(known) > 0 and bool(known.min() > 0 and known.max() > 8 * known.min())
    title = parameter_title(name)
    return {
        "key": f"{PARAMETER}{name}",
        "title": title.partition(" (")[0],
        "label": title,
        "error": False,
        "log": wide,
        "values": numbers(values, 4),
    }


def numbers(values: pd.Series, decimals: int) -> list[float | int | None]:
    """Return finite numbers, whole ones as integers, and None for what there is none of."""
    found: list[float | int | None] = []
    for value in np.asarray(values, dtype=float):
        if not math.isfinite(value):
            found.append(None)
        else:
            found.append(int(value) if value == int(value) else round(float(value), decimals))
    return found


def correlation_texts(tables: Mapping[str, pd.DataFrame]) -> dict[str, list[str]]:
    """Return the lines above a plot, by the keys of its two columns, joined by a tab."""
    texts = {}
    for name, one, other, prefix in (
        ("pairs", "dataset_a", "dataset_b", ""),
        ("drivers", "parameter", "dataset", PARAMETER),
    ):
        if name in tables:
            for row in tables[name].to_dict("records"):
                lines = correlation_lines(correlation_of(row))
                texts[f"{prefix}{row[one]}\t{row[other]}"] = lines
    return texts
