"""The chi-square test of draws against the probabilities that they should have."""

import numpy as np
from scipy import stats


def chi_square_p(drawn, values, probabilities):
    """Return the p-value; values with fewer than 10 draws expected are gathered."""
    drawn, values = np.asarray(drawn).ravel(), np.asarray(values)
    index = np.searchsorted(values, drawn)
    assert (values[np.minimum(index, len(values) - 1)] == drawn).all(), "a value that cannot be"
    observed = np.bincount(index, minlength=len(values))
    return chi_square_of_counts(observed, np.asarray(probabilities) * len(drawn))


def chi_square_of_counts(observed, expected):
    """Return the p-value of counts, neighbours gathered until 10 are expected of each."""
    groups = np.floor(np.cumsum(expected) / 10 - 1e-9)
    groups = np.unique(np.minimum(groups, max(groups[-1] - 1, 0)), return_inverse=True)[1]
    observed, expected = (np.bincount(groups, weights=each) for each in (observed, expected))
    if len(observed) == 1:
        return 1.0
    return stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue


def random_words(count, bits=64, seed=0):
    """Return uniform words of 32 or 64 bits."""
    kind = np.uint64 if bits == 64 else np.uint32
    return np.random.default_rng(seed).integers(0, 2**bits, count, dtype=kind)
