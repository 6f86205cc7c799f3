"""Rank correlation with its uncertainty, error distributions, and what a proxy costs.

Pairs are architectures: entry i of every vector belongs to architecture i, and NaN marks
an architecture without an error on that data set. This module is the front of those that
do the work: correlation (rho, tau-b, r), intervals, dependent (two rhos compared), partial,
multiple (many p-values), noise (how high rho can be), distribution, sample_size, selection
(regret, random search).
"""

from pycls.analysis.correlation import (
    Correlation,
    Estimate,
    fisher_interval,
    kendall,
    pearson,
    spearman,
    spearman_p_value,
)
from pycls.analysis.dependent import Comparison, Difference, compare_rhos, rho_difference
from pycls.analysis.distribution import EdfBand, edf, edf_band, spread
from pycls.analysis.intervals import spearman_interval
from pycls.analysis.multiple import adjust_p_values
from pycls.analysis.noise import (
    Ceiling,
    NoiseVariance,
    noise_ceiling,
    reliability,
    repeat_variance,
)
from pycls.analysis.pairs import MIN_PAIRS
from pycls.analysis.partial import partial_spearman
from pycls.analysis.sample_size import (
    architectures_for_width,
    architectures_to_tell_apart,
    interval_width,
)
from pycls.analysis.selection import Regret, random_search, regret

__all__ = [
    "MIN_PAIRS",
    "Ceiling",
    "Comparison",
    "Correlation",
    "Difference",
    "EdfBand",
    "Estimate",
    "NoiseVariance",
    "Regret",
    "adjust_p_values",
    "architectures_for_width",
    "architectures_to_tell_apart",
    "compare_rhos",
    "edf",
    "edf_band",
    "fisher_interval",
    "interval_width",
    "kendall",
    "noise_ceiling",
    "partial_spearman",
    "pearson",
    "random_search",
    "regret",
    "reliability",
    "repeat_variance",
    "rho_difference",
    "spearman",
    "spearman_interval",
    "spearman_p_value",
    "spread",
]
