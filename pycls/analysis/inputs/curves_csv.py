"""The reader of a study's curves.csv, the errors of each finished run after each epoch."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pycls.analysis.inputs.study_json import Study
from pycls.errors import ConfigError
from pycls.schema import CURVES, CURVES_CSV

MAX_EPOCHS = 60  # of a run that are kept for drawing; more cannot be told apart on a page
_TYPES = {"text": str, "count": "int64", "number": "float64", "percent": "float64"}
_KINDS = {column.name: column.kind for column in CURVES if column.required}


@dataclass(frozen=True)
class Curves:
    """Errors of one data set's runs in percent, NaN where an epoch was not recorded.

    Attributes:
        epochs: (e,), rising.
        test: (architectures, e), after each epoch.
        train: (architectures, e), mean over the epoch while training.
    """

    epochs: NDArray[np.int64]
    test: NDArray[np.float64]
    train: NDArray[np.float64]


def load_curves(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """Read `curves.csv` of a study: errors after each epoch of its finished runs.

    Returns:
        sweep, arch, seed, epoch (from 1), test_top1_err, test_topk_err, train_top1_err,
        train_topk_err (percent; NaN for none); no rows where the file is absent.

    Raises:
        ConfigError: the file is no such table.
    """
    path = Path(folder) / CURVES_CSV
    types: dict[str, Any] = {name: _TYPES[kind] for name, kind in _KINDS.items()}
    if not path.exists():
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
    try:
        # Texts are never missing values: a sweep may be called "NA".
        return pd.read_csv(
            path, usecols=list(_KINDS), dtype=types, keep_default_na=False,
            na_values={name: ["", "nan", "NaN"] for name in _KINDS if types[name] is not str},
        )[list(_KINDS)]  # fmt: skip
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigError(
            f"{path}: expected a CSV table with the columns {', '.join(_KINDS)} ({error}); "
            "collect the study again, or remove the file"
        ) from None


def population_curves(
    table: pd.DataFrame, study: Study, architectures: pd.Index
) -> dict[str, Curves]:
    """Return the population's curves, in each data set's own error metric.

    Args:
        table: as from :func:`load_curves`.
        study: which sweeps are the population's.
        architectures: names, in the order of the rows wanted.

    Returns:
        Data set -> its curves, at most :data:`MAX_EPOCHS` epochs spread evenly with the first
        and the last; data sets without any are left out.
    """
    curves = {}
    for sweep in study.sweeps_of_role("main"):
        key = study.sweeps[sweep]["dataset"]
        runs = table[(table["sweep"] == sweep) & table["arch"].isin(architectures)]
        if len(runs):
            curves[key] = _arrange(runs, architectures, study.metric_column(key))
    return curves


def _arrange(runs: pd.DataFrame, architectures: pd.Index, kind: str) -> Curves:
    epochs = np.sort(runs["epoch"].unique())
    places = np.linspace(0, len(epochs) - 1, min(MAX_EPOCHS, len(epochs))).round().astype(int)
    epochs = epochs[np.unique(places)]
    # A run started again may have written an epoch twice; the later line is the valid one.
    runs = runs.drop_duplicates(["sweep", "arch", "epoch"], keep="last")
    sides = [
        runs.pivot(index="arch", columns="epoch", values=f"{side}_{kind}_err")
        .reindex(index=architectures, columns=epochs)
        .replace([np.inf, -np.inf], np.nan)
        .to_numpy(dtype=float)
        for side in ("test", "train")
    ]
    return Curves(epochs.astype(np.int64), *sides)
