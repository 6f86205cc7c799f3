"""Statistics of populations: rank correlation and its uncertainty, error distributions, regret.

Pairs are architectures: entry i of every vector belongs to architecture i, and NaN marks
an architecture without an error on that data set.
"""

from pycls.front_door import front_door

_NAMES = {
    "averages": "Average average paired_influence",
    "correlation": "Correlation Estimate kendall pearson spearman spearman_p_value",
    "dependent": "Difference compare_rhos",
    "distribution": "EdfBand edf edf_band spread",
    "families": "families_by_name",
    "intervals": "fisher_interval spearman_interval",
    "multiple": "adjust_p_values",
    "noise": "Agreement Ceiling NoiseVariance corrected_rho noise_ceiling reliability "
    "repeat_variance training_agreement",
    "one_out": "leave_one_out",
    "apart": "outliers",
    "pairs": "MIN_PAIRS",
    "partial": "partial_spearman",
    "sample_size": "architectures_for_width architectures_to_tell_apart interval_width",
    "selection": "Regret random_search regret",
}
__getattr__, __all__ = front_door(
    __name__,
    {name: f"{__name__}.{module}" for module, names in _NAMES.items() for name in names.split()},
)
