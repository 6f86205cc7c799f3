"""Which parameters of an architecture matter together: a surrogate of the error by scikit-learn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

MIN_R2 = 0.1  # cross-validated; below, the surrogate says nothing about the parameters
MIN_ARCHITECTURES = 50
_FOLDS, _REPEATS, _TREES, _GRID, _MOST_ROWS = 5, 2, 30, 6, 60


@dataclass(frozen=True)
class Surrogate:
    """What a model that predicts the error from all parameters says of them.

    Attributes:
        n: architectures.
        r2: coefficient of determination on architectures it was not fitted to.
        importance: a row per parameter, by falling importance: parameter, importance (of r2,
            lost where its values are shuffled among architectures), spread (standard deviation
            over folds). Empty where r2 is below `MIN_R2`.
        dependence: parameter, value, error: the mean prediction where all architectures have that
            value, of the parameters in `importance`.
    """

    n: int
    r2: float
    importance: pd.DataFrame
    dependence: pd.DataFrame


def fit_surrogate(parameters: pd.DataFrame, errors: ArrayLike, seed: int = 0) -> Surrogate:
    """Fit randomised trees (Geurts et al. 2006) to the ranks of errors, and ask what matters.

    Importance and r2 are of architectures outside the folds that were fitted to. Parameters that
    go together share their importance, and none of it says what a parameter causes.

    Args:
        parameters: architectures x numbers.
        errors: one per architecture; NaN is left out.
        seed: of the trees and the folds.

    Returns:
        The surrogate; r2 NaN and nothing else with fewer than `MIN_ARCHITECTURES`.
    """
    from scipy.stats import rankdata

    every = np.asarray(errors, dtype=float)
    values = parameters.to_numpy(dtype=float)
    known = ~np.isnan(every) & ~np.isnan(values).any(axis=1)
    x, y = values[known], rankdata(every[known])
    names = [str(name) for name in parameters]
    empty = pd.DataFrame(columns=["parameter", "importance", "spread"])
    no_dependence = pd.DataFrame(columns=["parameter", "value", "error"])
    if len(y) < MIN_ARCHITECTURES or np.ptp(every[known]) == 0 or not names:
        return Surrogate(len(y), float("nan"), empty, no_dependence)
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.model_selection import KFold

    def model() -> ExtraTreesRegressor:
        return ExtraTreesRegressor(
            _TREES, min_samples_leaf=3, max_features=0.5, random_state=seed, n_jobs=1
        )

    total = float(np.sum((y - y.mean()) ** 2))
    rng, missed, losses = np.random.default_rng(seed), 0.0, []
    for fit, held in KFold(_FOLDS, shuffle=True, random_state=seed).split(x):
        trees = model().fit(x[fit], y[fit])
        left = float(np.sum((y[held] - trees.predict(x[held])) ** 2))
        missed += left
        losses.append(_shuffled(trees, x[held], y[held], rng) - left)
    r2 = 1 - missed / total
    if r2 < MIN_R2:
        return Surrogate(len(y), r2, empty, no_dependence)
    scaled = np.array(losses) * _FOLDS / total
    importance = pd.DataFrame(
        {
            "parameter": names,
            "importance": scaled.mean(axis=0),
            "spread": scaled.std(axis=0, ddof=1),
        }
    ).sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    raw = model().fit(x, every[known])
    return Surrogate(len(y), r2, importance, _dependence(raw, x, names))


def _shuffled(
    trees: Any, x: NDArray[np.float64], y: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the squared error with each parameter shuffled: one prediction for all of them."""
    copies = np.tile(x, (x.shape[1] * _REPEATS, 1, 1))
    for place in range(x.shape[1] * _REPEATS):
        column = place // _REPEATS
        copies[place, :, column] = rng.permutation(copies[place, :, column])
    found = trees.predict(copies.reshape(-1, x.shape[1])).reshape(-1, len(y))
    losses = np.sum((found - y) ** 2, axis=1).reshape(-1, _REPEATS)
    return np.asarray(losses.mean(axis=1))


def _dependence(trees: Any, x: NDArray[np.float64], names: list[str]) -> pd.DataFrame:
    """Return partial dependence on each parameter, at up to `_GRID` of its values."""
    tables, some = [], x[:: max(1, len(x) // _MOST_ROWS)]
    for column, name in enumerate(names):
        values = np.unique(x[:, column])
        if len(values) > _GRID:
            values = np.unique(np.quantile(x[:, column], np.linspace(0.05, 0.95, _GRID)))
        copies = np.tile(some, (len(values), 1, 1))
        copies[:, :, column] = values[:, None]
        found = trees.predict(copies.reshape(-1, x.shape[1])).reshape(len(values), -1)
        tables.append(
            pd.DataFrame({"parameter": name, "value": values, "error": found.mean(axis=1)})
        )
    return pd.concat(tables, ignore_index=True)
