"""Spearman's rho in many bootstrap resamples at once, and percentile intervals."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK_CELLS = 1_000_000  # bootstrap resamples x architectures held at once


def percentile_interval(values: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return the bounds of the middle `confidence` of values, all finite and at least one."""
    tail = 50 * (1 - confidence)
    low, high = np.percentile(np.asarray(values, dtype=float), [tail, 100 - tail])
    return float(low), float(high)


def resample_counts(n: int, n_boot: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each of n architectures is drawn, in chunks of (resamples, n)."""
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_CELLS // n)
    for start in range(0, n_boot, step):
        rows = min(step, n_boot - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * n)
        yield times.astype(np.float64).reshape(rows, n)


def bootstrap_rhos(
    x: NDArray[np.float64], y: NDArray[np.float64], n_boot: int, seed: int
) -> NDArray[np.float64]:
    """Return Spearman's rho of each resample of the pairs; NaN where it is undefined."""
    rhos = [
        weighted_correlation(resampled_ranks(x, counts), resampled_ranks(y, counts), counts)
        for counts in resample_counts(len(x), n_boot, seed)
    ]
    return np.concatenate(rhos)


def resampled_ranks(
    values: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the average rank each value has in resamples that hold it `counts` times.

    A value's rank follows from how many smaller ones were drawn, so that one sort of the
    original serves all resamples. Values drawn zero times get a rank nobody uses.

    Args:
        values: (n,).
        counts: (resamples, n).

    Returns:
        (resamples, n), centred on the mean rank (n + 1) / 2 of a resample.
    """
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    per_group = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.cumsum(per_group, axis=1) - per_group / 2
    return ranks[:, group] - len(values) / 2


def weighted_correlation(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Pearson's r per row of centred x and y; NaN where one side is constant."""
    weighted = weights * x
    covariance = np.einsum("ij,ij->i", weighted, y)
    variance_x = np.einsum("ij,ij->i", weighted, x)
    variance_y = np.einsum("ij,ij,ij->i", weights, y, y)
    scale = np.sqrt(variance_x * variance_y)
    undefined = scale == 0
    return np.where(undefined, np.nan, covariance / np.where(undefined, 1, scale))
