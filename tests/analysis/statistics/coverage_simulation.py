"""Simulated populations whose true rho is known, for the coverage of intervals and tests."""

import math
import os

import numpy as np
from scipy import stats

# Trials per setting; `make soak` raises it, and asks for the bounds without any allowance.
TRIALS = int(os.environ.get("PYCLS_SOAK_COVERAGE", "0"))
SIZES = (24, 100, 500)
DISTRIBUTIONS = ("normal", "heavy", "fan")


def normal_r(rho):
    """Return Pearson's r of the bivariate normal that has Spearman's rho."""
    return 2 * math.sin(math.pi * rho / 6)


def draw_pairs(rng, rho, n, distribution, ties):
    """Return x and y of n architectures.

    "normal": bivariate normal. "heavy": bivariate t with 3 degrees of freedom, where both
    extremes come together. "fan": y is noisier where x is large, as errors are. With ties,
    values are rounded to about seven different ones.
    """
    r = normal_r(rho)
    first, noise = rng.standard_normal((2, n))
    second = math.sqrt(1 - r * r) * noise
    if distribution == "fan":
        second = second * np.exp(0.7 * first)
    x, y = first, r * first + second
    if distribution == "heavy":
        scale = np.sqrt(rng.chisquare(3, n) / 3)
        x, y = x / scale, y / scale
    return (np.round(x), np.round(y)) if ties else (x, y)


def true_rho(rho, distribution, ties):
    """Return the rho that n tends to."""
    x, y = draw_pairs(np.random.default_rng(99), rho, 400_000, distribution, ties)
    return stats.spearmanr(x, y).statistic


def coverage(interval, rho, n, distribution, ties, trials, seed=1):
    """Return how often `interval(x, y)` holds the true rho."""
    true = true_rho(rho, distribution, ties)
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(trials):
        low, high = interval(*draw_pairs(rng, rho, n, distribution, ties))
        held += low <= true <= high
    return held / trials


def draw_triple(rng, rho, between, n, distribution, ties):
    """Return two proxies with the same true rho with the target, and the target."""
    r, c = normal_r(rho), normal_r(between)
    root = np.linalg.cholesky(np.array([[1, c, r], [c, 1, r], [r, r, 1]]))
    values = root @ rng.standard_normal((3, n))
    if distribution == "heavy":
        values = values / np.sqrt(rng.chisquare(3, n) / 3)
    elif distribution == "fan":
        values[:2] += 0.7 * rng.standard_normal((2, n)) * np.exp(0.7 * values[2])
    return np.round(values) if ties else values
