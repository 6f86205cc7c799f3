"""Errors of the population epoch by epoch, from `curves.csv` of a study."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pycls.analysis.study import Study
from pycls.analysis.style import BLUE, ORANGE, RC, add_legend, label_panel, mark_empty, panel_grid
from pycls.analysis.wording import number
from pycls.errors import ConfigError

MAX_EPOCHS = 60  # of a run that are kept for drawing; more cannot be told apart on a page
_MISSING = 65535  # stands for "no error" in packed curves
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
    path = Path(folder) / "curves.csv"
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


def pack(errors: NDArray[np.float64]) -> str:
    """Return errors in hundredths of a percent as base64 of little-endian 16-bit numbers.

    Two bytes an error instead of five characters and a comma; NaN is 65535.
    """
    hundredths = np.rint(100 * np.clip(errors, 0, 100))
    whole = np.where(np.isfinite(hundredths), hundredths, _MISSING).astype("<u2")
    return base64.b64encode(whole.tobytes()).decode("ascii")


def curves_figure(curves: dict[str, Curves], study: Study) -> Figure:
    """Return the population's errors over the epochs, a panel per data set.

    Lines are medians over the architectures; the band is the 10th to 90th percentile of the
    test error.
    """
    keys = [key for key in study.dataset_keys() if key in curves]
    grid = panel_grid(len(keys), title_lines=2, legend_entries=2)
    for axes, key in zip(grid.axes, keys, strict=True):
        runs = curves[key]
        finished = int(np.isfinite(runs.test).any(axis=1).sum())
        details = [f"n = {finished}"]
        if finished:
            with mpl.rc_context(RC):
                _draw(axes, runs)
            last = runs.test[:, -1][np.isfinite(runs.test[:, -1])]
            if len(last):
                details = [f"n = {finished}, last median {number(float(np.median(last)), 2)} %"]
        else:
            mark_empty(axes, "no errors")
        title = study.dataset_title(key)
        label_panel(grid, axes, title, details, "epoch", f"error ({study.metric(key)}, %)")
    add_legend(
        grid,
        [
            Line2D([], [], color=BLUE, label="test"),
            Line2D([], [], color=ORANGE, linestyle="--", label="while training"),
        ],
    )
    return grid.figure


def _draw(axes: Axes, runs: Curves) -> None:
    low, middle, high = _percentiles(runs.test)
    axes.fill_between(runs.epochs, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(runs.epochs, middle, color=BLUE, linewidth=1.3)
    axes.plot(runs.epochs, _percentiles(runs.train)[1], color=ORANGE, linestyle="--", linewidth=1.1)
    axes.set_ylim(bottom=0)


def _percentiles(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 10th, 50th and 90th percentile by epoch; NaN where there is no error."""
    known = np.isfinite(errors).any(axis=0)
    found = np.full((3, errors.shape[1]), np.nan)
    if known.any():
        found[:, known] = np.nanpercentile(errors[:, known], [10, 50, 90], axis=0)
    return found


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
