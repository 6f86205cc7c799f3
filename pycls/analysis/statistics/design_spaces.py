"""Comparison of design spaces by error distributions and ranges of good parameters.

After Radosavovic et al. (2020), *Designing Network Design Spaces*, section 3.1: a space is
judged by the distribution of the errors of models drawn from it, and a parameter by the
values that the best of a random sample has. Works on plain tables, a row per model.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.pairs import check_sampling
from pycls.analysis.statistics.resampling import CHUNK_CELLS, percentile_interval
from pycls.errors import ConfigError

SAMPLE_SHARE = 0.25  # of the models, in a random search (as in the paper)
MAX_MODES = 16  # parameters with more values than this have no mode to speak of
_STAGE = re.compile(r"(depth|width|bot_mul|group_w)_([1-9]\d*)$")


def equalising_weights(
    complexities: Mapping[str, ArrayLike], bins: int = 10
) -> dict[str, NDArray[np.float64]]:
    """Return weights under which all spaces have the same distribution of complexity.

    The range that all spaces share is cut into bins of equal width; models of one bin share
    one weight, such that each bin counts alike in each space (Radosavovic et al. 2019, *On
    Network Design Spaces for Visual Recognition*, section 3.3). Bins that a space has no
    model in, and models outside the shared range, count nowhere.

    Args:
        complexities: space -> complexity (flops, say) of each of its models.
        bins: number of bins.

    Returns:
        space -> a weight per model, which add up to 1.

    Raises:
        ConfigError: the spaces share no bin, or there are no spaces or bins.
    """
    values = {name: np.asarray(entry, dtype=float) for name, entry in complexities.items()}
    if not values or bins < 1 or not all(len(entry) for entry in values.values()):
        raise ConfigError("weights need at least one bin, and one model in each space")
    low = max(float(np.nanmin(entry)) for entry in values.values())
    high = min(float(np.nanmax(entry)) for entry in values.values())
    if low > high:
        raise ConfigError(
            f"the spaces share no range of complexity: one begins at {low:g}, another ends at "
            f"{high:g}; compare spaces drawn into one regime"
        )
    edges = np.linspace(low, high, bins + 1)
    places, counts = {}, {}
    for name, entry in values.items():
        inside = (entry >= low) & (entry <= high)
        place = np.clip(np.searchsorted(edges, entry, side="right") - 1, 0, bins - 1)
        places[name] = np.where(inside, place, -1)
        counts[name] = np.bincount(places[name][inside], minlength=bins)
    shared = np.all([count > 0 for count in counts.values()], axis=0)
    if not shared.any():
        raise ConfigError("no bin of complexity has models of all spaces; use fewer bins")
    weights = {}
    for name, place in places.items():
        by_bin = np.where(shared, 1 / (shared.sum() * np.maximum(counts[name], 1)), 0.0)
        weights[name] = np.where(place >= 0, by_bin[place], 0.0)
    return weights


def edf_table(
    models: pd.DataFrame,
    weights: Mapping[str, ArrayLike] | None = None,
    n_boot: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return the error distribution of each space with a bootstrap band.

    Args:
        models: columns "space" and "error" (percent; NaN for none), a row per model.
        weights: space -> weights of its rows in order; see :func:`equalising_weights`.
        n_boot: resamples of the models behind the band.
        seed: of the resampling.
        confidence: level of the pointwise percentile band.

    Returns:
        A row per space, in order of appearance, and different error: space, error, share
        (of models with that error or a lower one: F just above it), ci_low, ci_high.

    Raises:
        ConfigError: a column is missing, or a level, number or weight is impossible.
    """
    _check(models, ("space", "error"))
    check_sampling(confidence, n_boot)
    tables = []
    for space, rows in models.groupby("space", sort=False):
        given = weights[str(space)] if weights is not None else None
        values, shares = _weighted(rows["error"], given)
        if not len(values):
            continue
        last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
        low, high = _band(shares, last, n_boot, seed, confidence)
        cumulated = np.cumsum(shares)
        share = cumulated[last] / cumulated[-1]
        table = {"space": str(space), "error": values[last], "share": share}
        tables.append(pd.DataFrame({**table, "ci_low": low, "ci_high": high}))
    names = ["space", "error", "share", "ci_low", "ci_high"]
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in names})
    return pd.concat(tables, ignore_index=True)


def space_table(
    models: pd.DataFrame, n_boot: int = 1000, seed: int = 0, confidence: float = 0.95
) -> pd.DataFrame:
    """Return how good the models of each space are.

    Args:
        models: columns "space" and "error" (percent; NaN for none), a row per model.
        n_boot: resamples of the models behind the intervals.
        seed: of the resampling.
        confidence: level of the percentile intervals.

    Returns:
        A row per space in order of appearance: space, planned (rows), n (errors), best,
        median and mean error in percent, and of the last two the intervals ci_low_median,
        ci_high_median, ci_low_mean, ci_high_mean.

    Raises:
        ConfigError: a column is missing, or the level is impossible.
    """
    _check(models, ("space", "error"))
    check_sampling(confidence, n_boot)
    rows = []
    for space, group in models.groupby("space", sort=False):
        values = group["error"].dropna().to_numpy(dtype=float)
        row: dict[str, object] = {"space": str(space), "planned": len(group), "n": len(values)}
        names = ["best", "median", "ci_low_median", "ci_high_median"]
        names += ["mean", "ci_low_mean", "ci_high_mean"]
        row |= dict.fromkeys(names, math.nan)
        if len(values):
            row |= {"best": values.min(), "median": np.median(values), "mean": values.mean()}
            drawn = np.random.default_rng(seed).choice(values, (n_boot, len(values)))
            for name, averages in (("median", np.median(drawn, 1)), ("mean", drawn.mean(1))):
                low, high = percentile_interval(averages, confidence)
                row |= {f"ci_low_{name}": low, f"ci_high_{name}": high}
        rows.append(row)
    return pd.DataFrame(rows)


def best_of_sample(errors: ArrayLike, k: int) -> NDArray[np.float64]:
    """Return how often each model is the best of k drawn with replacement.

    This is what a bootstrap of random searches (draw k, take the best, repeat) tends to
    with ever more repeats; it is known exactly, so nothing is drawn. Models with the same
    error share their part equally.

    Args:
        errors: n errors, all finite.
        k: models of one random search, at least 1.

    Returns:
        n probabilities, which add up to 1.

    Raises:
        ConfigError: no errors, one that is not finite, or k below 1.
    """
    values = np.asarray(errors, dtype=float)
    if k < 1 or not len(values) or not np.isfinite(values).all():
        raise ConfigError(f"a random search needs finite errors and k of at least 1, got k = {k}")
    n = len(values)
    ordered = np.sort(values)
    not_better = (n - np.searchsorted(ordered, values, side="left")) / n
    worse = (n - np.searchsorted(ordered, values, side="right")) / n
    tied = (not_better - worse) * n
    return (not_better**k - worse**k) / tied


def parameter_ranges(
    models: pd.DataFrame,
    parameters: Sequence[str],
    k: int | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return which values of parameters the best of a random sample has.

    Args:
        models: "error" (percent; NaN for none) and the parameters, a row per model; where
            there is a column "space", each space by itself.
        parameters: numeric columns.
        k: models of a random search; a quarter of those there are without it.
        confidence: level of the percentile intervals.

    Returns:
        A row per space and parameter: space, parameter, n, k, then of the best of k models
        low, median, high (percentiles of the value, 2.5, 50 and 97.5 at 95 %), mode and
        mode_share (the most frequent value and how often it is the best's; NaN for
        parameters with more than 16 values), the population's low, median and high with the
        suffix _all, and the error's with the suffix _error. Models without the parameter
        are left out.

    Raises:
        ConfigError: a column is missing or holds no numbers, or k or the level is
            impossible.
    """
    _check(models, ("error", *parameters))
    check_sampling(confidence)
    if "space" not in models:
        models = models.assign(space="")
    rows = []
    for space, group in models.groupby("space", sort=False):
        for parameter in parameters:
            kept = group[["error", parameter]].apply(pd.to_numeric, errors="coerce")
            kept = kept.astype(float).dropna()
            if len(kept):
                row = _range_row(kept, parameter, k, confidence)
                rows.append({"space": str(space), "parameter": parameter, **row})
    names = ["space", "parameter", "n", "k", "low", "median", "high", "mode", "mode_share"]
    names += [f"{name}_{of}" for of in ("all", "error") for name in ("low", "median", "high")]
    return pd.DataFrame(rows, columns=names)


def parameter_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the parameters of architectures that ranges are asked for.

    Args:
        rows: of results: depth_i, width_i, bot_mul_i, group_w_i per stage, cum_depth,
            cum_width, flops, params, acts, as far as they are there.

    Returns:
        The same index, floats: cum_depth, cum_width, depth_i, width_i, width_ratio_i
        (width of stage i + 1 to that of stage i), bottleneck_i (1 / bot_mul), group_w_i,
        flops, params, acts.
    """
    columns = {name: rows[name] for name in ("cum_depth", "cum_width") if name in rows}
    stages = max((int(found[2]) for name in rows if (found := _STAGE.match(str(name)))), default=0)
    depths, widths, bottlenecks, groups = (
        [name for i in range(1, stages + 1) if (name := f"{kind}_{i}") in rows]
        for kind in ("depth", "width", "bot_mul", "group_w")
    )
    columns |= {name: rows[name] for name in (*depths, *widths)}
    for i, (width, following) in enumerate(pairwise(widths), 1):
        columns[f"width_ratio_{i}"] = rows[following] / rows[width]
    for i, name in enumerate(bottlenecks, 1):
        columns[f"bottleneck_{i}"] = 1 / rows[name]
    costs = [name for name in ("flops", "params", "acts") if name in rows]
    columns |= {name: rows[name] for name in (*groups, *costs)}
    return pd.DataFrame(columns, index=rows.index).astype(float)


def _check(models: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in models]
    if missing:
        raise ConfigError(
            f"the table of models has no column {', '.join(missing)} (it has "
            f"{', '.join(map(str, models))})"
        )


def _weighted(
    errors: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the errors sorted, and the share of each; models without weight are left out."""
    values = np.asarray(errors, dtype=float)
    given = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
    if given.shape != values.shape or not np.isfinite(given).all() or (given < 0).any():
        raise ConfigError(
            f"{len(values)} models need as many finite weights of at least 0, got {given.shape}"
        )
    keep = ~np.isnan(values) & (given > 0)
    values, given = values[keep], given[keep]
    order = np.argsort(values, kind="stable")
    return values[order], given[order] / given.sum() if len(values) else given


def _band(
    shares: NDArray[np.float64],
    last: NDArray[np.intp],
    n_boot: int,
    seed: int,
    confidence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pointwise bounds of the distribution function at the places `last`."""
    n = len(shares)
    rng = np.random.default_rng(seed)
    functions = []
    step = max(1, CHUNK_CELLS // n)
    for start in range(0, n_boot, step):
        counts = rng.multinomial(n, np.full(n, 1 / n), min(step, n_boot - start))
        cumulated = np.cumsum(counts * shares, axis=1)
        functions.append(cumulated[:, last] / cumulated[:, -1:])
    tail = 50 * (1 - confidence)
    low, high = np.percentile(np.concatenate(functions), [tail, 100 - tail], axis=0)
    return low, high


def _range_row(
    models: pd.DataFrame, parameter: str, k: int | None, confidence: float
) -> dict[str, object]:
    errors, values = models["error"].to_numpy(), models[parameter].to_numpy()
    k = max(1, round(SAMPLE_SHARE * len(errors))) if k is None else k
    chances = best_of_sample(errors, k)
    levels = [0.5 - confidence / 2, 0.5, 0.5 + confidence / 2]
    names = ("low", "median", "high")
    row: dict[str, object] = {"n": len(errors), "k": k}
    row |= zip(names, _quantiles(values, chances, levels), strict=True)
    distinct, place = np.unique(values, return_inverse=True)
    by_value = np.bincount(place, weights=chances)
    few = len(distinct) <= MAX_MODES
    row["mode"] = distinct[by_value.argmax()] if few else math.nan
    row["mode_share"] = by_value.max() if few else math.nan
    equal = np.full(len(errors), 1 / len(errors))
    for of, numbers, weights in (("all", values, equal), ("error", errors, chances)):
        quantiles = _quantiles(numbers, weights, levels)
        row |= {f"{name}_{of}": q for name, q in zip(names, quantiles, strict=True)}
    return row


def _quantiles(
    values: NDArray[np.float64], chances: NDArray[np.float64], levels: Sequence[float]
) -> NDArray[np.float64]:
    """Return the smallest value at which the probability reaches each level."""
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(chances[order])
    # Sums of n parts reach a level up to rounding.
    places = np.searchsorted(cumulated, np.asarray(levels) - 1e-12)
    return values[order][np.minimum(places, len(values) - 1)]
