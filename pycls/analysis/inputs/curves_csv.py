"""Read a study's curves.csv: the error of each run after each epoch."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pycls.analysis.inputs.study_json import Study
from pycls.errors import ConfigError
from pycls.schema import CURVES_CSV

MAX_EPOCHS = 60  # of a run that are kept for drawing; more cannot be told apart on a page
_KEYS = ["sweep", "arch", "epoch"]


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


def load_curves(
    folder: str | os.PathLike[str], study: Study, architectures: pd.Index
) -> dict[str, Curves]:
    """Read the population's curves, in each data set's own error metric.

    Args:
        folder: of a study; one without `curves.csv` has no curves.
        study: which sweeps are the population's.
        architectures: names, in the order of the rows wanted.

    Returns:
        Data set -> its curves, at most :data:`MAX_EPOCHS` epochs spread evenly with the first
        and the last; data sets without any are left out.

    Raises:
        ConfigError: the file is no table of curves.
    """
    path = Path(folder) / CURVES_CSV
    if not path.exists():
        return {}
    table = _read(path)
    curves = {}
    for sweep in study.sweeps_of_role("main"):
        key = study.sweeps[sweep]["dataset"]
        runs = table[(table["sweep"] == sweep) & table["arch"].isin(architectures)]
        if len(runs):
            kind = "top1" if study.datasets[key]["error_metric"] == "top1" else "topk"
            curves[key] = _arrange(runs, architectures, kind)
    return curves


def _arrange(runs: pd.DataFrame, architectures: pd.Index, kind: str) -> Curves:
    epochs = np.sort(runs["epoch"].unique())
    places = np.linspace(0, len(epochs) - 1, min(MAX_EPOCHS, len(epochs))).round().astype(int)
    epochs = epochs[np.unique(places)]
    # A run started again may have written an epoch twice; the later line is the valid one.
    runs = runs.drop_duplicates(_KEYS, keep="last")
    sides = [
        runs.pivot(index="arch", columns="epoch", values=f"{side}_{kind}_err")
        .reindex(index=architectures, columns=epochs)
        .to_numpy(dtype=float)
        for side in ("test", "train")
    ]
    return Curves(epochs.astype(np.int64), *sides)


def _read(path: Path) -> pd.DataFrame:
    errors = [f"{side}_{kind}_err" for side in ("test", "train") for kind in ("top1", "topk")]
    texts = {"sweep": str, "arch": str}
    try:
        table = pd.read_csv(path, dtype=texts, usecols=[*_KEYS, *errors])
        numbers = table[["epoch", *errors]].apply(pd.to_numeric)
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigError(
            f"{path}: not a table of training curves ({error}); collect the study again, or "
            "remove the file"
        ) from None
    table = table[["sweep", "arch"]].join(numbers.replace([np.inf, -np.inf], np.nan))
    return table.dropna(subset=["epoch"])
