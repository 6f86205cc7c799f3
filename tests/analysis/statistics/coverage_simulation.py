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


# Noise of a population of errors with a standard deviation of 3, in points: the same for all, in
# proportion to the error, larger for good architectures, and large for a few.
NOISES = {
    "even": lambda rng, mu: np.ones(mu.shape),
    "proportional": lambda rng, mu: 0.05 * (20 + 3 * mu),
    "good ones": lambda rng, mu: 0.8 * np.exp(-0.5 * mu),
    "unstable": lambda rng, mu: np.where(rng.random(mu.shape) < 0.05, 8.0, 0.7),
}
UNSTABLE = ((8.0, 0.7), (4.0, 0.5), (8.0, 0.3), (15.0, 1.0), (5.0, 1.0))  # noise of them, of others


def unstable(share, size, usual):
    """Return noise that is large for a share of the architectures."""
    return lambda rng, mu: np.where(rng.random(mu.shape) < share, size, usual)


def trained(rng, mu, spread, times, shape="normal"):
    """Return (n, times) errors of trainings with noise of a standard deviation of `spread`."""
    noise = {
        "normal": lambda: rng.standard_normal((len(mu), times)),
        "heavy": lambda: rng.standard_t(3, (len(mu), times)) / math.sqrt(3),
        "skewed": lambda: rng.standard_exponential((len(mu), times)) - 1,
    }[shape]()
    return 20 + 3 * mu[:, None] + spread[:, None] * noise


def with_outliers(rng, rho, n, share):
    """Return x and y, and which of them failed on y and are best on x."""
    x, y = draw_pairs(rng, rho, n, "normal", False)
    wrong = rng.random(n) < share
    x[wrong], y[wrong] = rng.normal(-4, 0.3, wrong.sum()), rng.normal(6, 0.3, wrong.sum())
    return x, y, wrong


def draw_families(rng, rho, families):
    """Return x, y and families of about ten members, which share most of both errors."""
    r = normal_r(rho)
    of = np.repeat(np.arange(families), np.maximum(1, rng.poisson(10, families)))
    shared, own = rng.standard_normal((2, families))[:, of], rng.standard_normal((2, len(of)))
    x, e = 0.8 * shared + 0.6 * own
    return x, r * x + math.sqrt(1 - r * r) * e, of


def draw_proxy(rng, rho, n, shape):
    """Return a proxy and a target, noisier where the proxy is low in a "fan"."""
    x, noise = rng.standard_normal((2, n))
    spread = np.exp(-0.7 * x) if shape == "fan" else 1.0
    return x, rho * x + math.sqrt(1 - rho**2) * spread * noise


def draw_three(rng, rho_a, rho_b, between, n):
    """Return two proxies and a target of a trivariate normal with these rhos."""
    a, b, c = (normal_r(rho) for rho in (rho_a, rho_b, between))
    root = np.linalg.cholesky(np.array([[1, c, a], [c, 1, b], [a, b, 1]]))
    return root @ rng.standard_normal((3, n))


TARGETS = {  # rhos of data sets: nine at a time, of which one is held out
    "the model's": lambda rng: np.tanh(rng.normal(0.4, 0.5, 9)),
    "heavy tails": lambda rng: np.tanh(0.4 + 0.4 * rng.standard_t(3, 9)),
    "two kinds": lambda rng: np.tanh(rng.choice([-0.3, 1.0], 9) + rng.normal(0, 0.2, 9)),
}
