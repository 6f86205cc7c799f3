"""Rank correlation with its uncertainty, error distributions, and what a proxy costs.

Pairs are architectures: entry i of every vector belongs to architecture i, and NaN marks
an architecture without an error on that data set.
"""

from pycls.front_door import front_door

__getattr__, __all__ = front_door(
    __name__,
    {
        "Correlation": "pycls.analysis.statistics.correlation",
        "Estimate": "pycls.analysis.statistics.correlation",
        "kendall": "pycls.analysis.statistics.correlation",
        "pearson": "pycls.analysis.statistics.correlation",
        "spearman": "pycls.analysis.statistics.correlation",
        "spearman_p_value": "pycls.analysis.statistics.correlation",
        "Comparison": "pycls.analysis.statistics.dependent",
        "Difference": "pycls.analysis.statistics.dependent",
        "compare_rhos": "pycls.analysis.statistics.dependent",
        "rho_difference": "pycls.analysis.statistics.dependent",
        "EdfBand": "pycls.analysis.statistics.distribution",
        "edf": "pycls.analysis.statistics.distribution",
        "edf_band": "pycls.analysis.statistics.distribution",
        "spread": "pycls.analysis.statistics.distribution",
        "fisher_interval": "pycls.analysis.statistics.intervals",
        "spearman_interval": "pycls.analysis.statistics.intervals",
        "adjust_p_values": "pycls.analysis.statistics.multiple",
        "Ceiling": "pycls.analysis.statistics.noise",
        "NoiseVariance": "pycls.analysis.statistics.noise",
        "noise_ceiling": "pycls.analysis.statistics.noise",
        "reliability": "pycls.analysis.statistics.noise",
        "repeat_variance": "pycls.analysis.statistics.noise",
        "MIN_PAIRS": "pycls.analysis.statistics.pairs",
        "partial_spearman": "pycls.analysis.statistics.partial",
        "architectures_for_width": "pycls.analysis.statistics.sample_size",
        "architectures_to_tell_apart": "pycls.analysis.statistics.sample_size",
        "interval_width": "pycls.analysis.statistics.sample_size",
        "Regret": "pycls.analysis.statistics.selection",
        "random_search": "pycls.analysis.statistics.selection",
        "regret": "pycls.analysis.statistics.selection",
    },
)
