"""Which figures the report has, what they are called, and how each is drawn."""

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from pycls.analysis.figures import population
from pycls.analysis.figures.training import curves_figure
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.wording import RHO

Plan = dict[str, tuple[str, str, Callable[[], Figure]]]


def plan_population_figures(
    errors: pd.DataFrame,
    architectures: pd.DataFrame,
    repeats: pd.DataFrame,
    curves: Mapping[str, Curves],
    study: Study,
) -> Plan:
    """Return name -> title, caption and how to draw it, for the figures there is data for.

    Args:
        errors: architectures x data sets, in percent.
        architectures: as from :func:`pycls.analysis.inputs.results_csv.architecture_table`.
        repeats: as from :func:`pycls.analysis.inputs.results_csv.repeat_runs`.
        curves: as from :func:`pycls.analysis.inputs.curves_csv.population_curves`.
        study: for names and roles.
    """
    if errors.empty:
        return {}
    planned = _plan_scatter(errors, study)
    rho = _rho_sentence()
    for column, name in (("cum_depth", "depth"), ("cum_width", "width")):
        planned[name] = (
            f"Error and cumulative {name}",
            f"Test error against cumulative {name}, the sum of the stages' {name}s, per data "
            f"set. {rho}",
            partial(population.structure_figure, errors, architectures, study, column),
        )
    planned["edf"] = (
        "Error distributions",
        "Fraction of architectures whose test error is at most the value on the horizontal "
        "axis, per data set; the orange line marks the median. Scales differ; here and in the "
        "other figures, errors of which the largest is more than twice the 90th percentile have "
        "a logarithmic axis.",
        lambda: population.edf_figure(errors, study),
    )
    if curves:
        planned["curves"] = (
            "Errors during training",
            "Median error of the population by epoch: on the test side after each epoch, with "
            "the 10th to 90th percentile as a band, and on the training images while training.",
            lambda: curves_figure(dict(curves), study),
        )
    if len(repeats):
        planned["noise"] = (
            "Population and repeats",
            "Test errors of the population and of one architecture retrained under several "
            "seeds. Black: median and 10th to 90th percentile, whose difference is the spread.",
            lambda: population.noise_figure(errors, repeats, study),
        )
    return planned


def _plan_scatter(errors: pd.DataFrame, study: Study) -> Plan:
    """Plan the scatter plots of targets and members against reference and members."""
    if study.reference is None:
        return {}
    reference, rho = study.dataset_title(study.reference), _rho_sentence()
    coloured = (
        "In each panel the lowest errors on the vertical axis are orange (pointing down) and the "
        "highest red (pointing up): 10 of 100 or more architectures, a tenth of fewer, here "
        f"{population.highlighted(len(errors))} of {len(errors)}."
    )
    planned: Plan = {}
    if study.targets:
        planned["reference"] = (
            f"Targets against {reference}",
            f"Test error on each target against {reference}, a point per architecture. {rho} "
            f"{coloured}",
            lambda: population.reference_figure(errors, study),
        )
    if study.targets and study.members():
        planned["member"] = (
            "Targets against their closest family member",
            "Test error on each target against the family member closest in class count. "
            f"{rho} {coloured}",
            lambda: population.member_figure(errors, study),
        )
    if study.members():
        planned["family"] = (
            f"Family members against {reference}",
            f"Test error on each family member against {reference}. {rho} {coloured}",
            lambda: population.family_figure(errors, study),
        )
    return planned


def _rho_sentence() -> str:
    return f"Above each panel: Spearman's {RHO} with its 95 % interval, n architectures, p-value."
