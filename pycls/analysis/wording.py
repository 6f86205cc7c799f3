"""Wording of numbers and correlations, for labels and for the report's sentences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pycls.analysis.statistics.correlation import Correlation
from pycls.analysis.statistics.dependent import Difference
from pycls.analysis.statistics.pairs import MIN_PAIRS

RHO = "\N{GREEK SMALL LETTER RHO}"
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"  # stands for a number there is none of
_UNDEFINED = "undefined"
_NEAR_ONE = 0.985  # |rho| that two decimals would call 0.99 or 1.00
MAX_TIED = 0.02  # share of pairs of architectures with the same error, from which it is said
NEGLIGIBLE = 0.1  # a rho, or a difference of rhos, within this is as good as none


def number(value: float, decimals: int | None = None) -> str:
    """Return a number for people: fixed decimals, or three significant digits.

    A real minus sign, no exponent, no "-0.00"; a dash for NaN.
    """
    if not math.isfinite(value):
        return DASH
    if decimals is None:
        magnitude = math.floor(math.log10(abs(value))) if value else 0
        decimals = min(3, max(0, 2 - magnitude))
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def count(amount: int, singular: str, plural: str | None = None) -> str:
    """Return an amount with its noun, such as "1 run" or "3 runs"."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}"


def listing(items: Sequence[str]) -> str:
    """Return items as "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def p_text(p_value: float) -> str:
    """Return a p-value as "p = 0.012" or "p < 0.001"."""
    if not math.isfinite(p_value):
        return f"p {DASH}"
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def interval_text(low: float, high: float) -> str:
    """Return an interval as "[0.10, 0.52]"; a dash where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"[{number(low, 2)}, {number(high, 2)}]"


def p_cell(p_value: float) -> str:
    """Return a p-value as a table's cell: "0.012" or "< 0.001"."""
    return p_text(p_value).removeprefix("p ").removeprefix("= ")


def rho_number(value: float) -> str:
    """Return a rho with two decimals, near 1 with three."""
    return number(value, 3 if abs(value) >= _NEAR_ONE else 2)


def rho_interval(low: float, high: float) -> str:
    """Return the interval of a rho, or of a difference of two, near 1 with three decimals."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"[{rho_number(low)}, {rho_number(high)}]"


def rho_estimate(value: float, low: float, high: float) -> str:
    """Return a rho with its interval, or without it where there is none."""
    interval = rho_interval(low, high)
    return rho_number(value) + (f" {interval}" if interval != DASH else "")


def ties_text(shares: Sequence[str]) -> str:
    """Return in a sentence how many pairs are tied; `shares` such as "12 % on Digits"."""
    return (
        f"Pairs of architectures with the same error: {listing(shares)}. Ties make each {RHO} with "
        "these sets coarser."
    )


def estimate_text(value: float, low: float, high: float, decimals: int = 2) -> str:
    """Return a number with its interval, or without it where there is none."""
    interval = interval_text(low, high)
    return number(value, decimals) + (f" {interval}" if interval != DASH else "")


def percent_text(share: float, low: float, high: float) -> str:
    """Return a share with its limits, where it has any, in percent, such as "1.2 [0.4, 2.9]"."""
    if math.isnan(low) and math.isnan(high):
        return number(100 * share, 1)
    limits = f"[{number(100 * low, 1)}, {number(100 * high, 1)}]"
    return f"{number(100 * share, 1)} {limits}"


def correlation_lines(correlation: Correlation) -> list[str]:
    """Return rho with interval, and n with p, as the two lines above a panel."""
    if math.isnan(correlation.rho):
        return [f"{RHO} {_UNDEFINED}", f"n = {correlation.n}"]
    interval = rho_interval(correlation.ci_low, correlation.ci_high)
    return [
        f"{RHO} = {rho_number(correlation.rho)} {interval}",
        f"n = {correlation.n}, {p_text(correlation.p_value)}",
    ]


def correlation_text(correlation: Correlation) -> str:
    """Return a correlation within a sentence, with interval, n and p."""
    if math.isnan(correlation.rho):
        return f"{RHO} is {_UNDEFINED} (n = {correlation.n}: {why_undefined(correlation.n)})"
    return (
        f"{RHO} = {rho_number(correlation.rho)} (95 % interval "
        f"{rho_interval(correlation.ci_low, correlation.ci_high)}, n = {correlation.n}, "
        f"{p_text(correlation.p_value)})"
    )


def why_undefined(n: int) -> str:
    """Return the reason why a rho of n pairs is undefined."""
    if n < MIN_PAIRS:
        return f"at least {MIN_PAIRS} architectures with both values are needed"
    return "all values of one side are equal"


def relation(correlation: Correlation, x_title: str, y_title: str) -> str:
    """Return what a correlation of errors shows, judged by its interval alone."""
    value = correlation_text(correlation)
    if math.isnan(correlation.rho):
        return f"Whether {x_title} predicts {y_title} cannot be said: {value}."
    if correlation.ci_low > 0 or correlation.ci_high < 0:
        direction = "lower" if correlation.ci_low > 0 else "higher"
        return (
            f"Architectures with lower error on {x_title} tend to have {direction} error on "
            f"{y_title}: {value}."
        )
    if negligible(correlation.ci_low, correlation.ci_high):
        return (
            f"{x_title} says next to nothing about {y_title}: |{RHO}| < {NEGLIGIBLE} by the whole "
            f"interval; {value}."
        )
    return (
        f"The interval includes zero, so these runs do not show whether {x_title} and {y_title} "
        f"rank architectures alike or in opposite order: {value}."
    )


def negligible(low: float, high: float) -> bool:
    """Say whether an interval shows that a rho, or a difference of rhos, is as good as none."""
    return low > -NEGLIGIBLE and high < NEGLIGIBLE


def difference_relation(difference: Difference, member_title: str, reference_title: str) -> str:
    """Return how the rho with a member compares, judged by the difference's interval alone."""
    if math.isnan(difference.difference):
        return (
            f"The {RHO} with {member_title} and with {reference_title} cannot be compared "
            f"(n = {difference.n})."
        )
    value = (
        f"difference {number(difference.difference, 2)}, 95 % interval "
        f"{interval_text(difference.ci_low, difference.ci_high)}, n = {difference.n}, "
        f"{p_text(difference.p_value)}"
    )
    if difference.ci_low > 0 or difference.ci_high < 0:
        direction = "higher" if difference.ci_low > 0 else "lower"
        return f"With {member_title} {RHO} is {direction} than with {reference_title} ({value})."
    if negligible(difference.ci_low, difference.ci_high):
        return (
            f"{RHO} with {member_title} and with {reference_title} differ by less than "
            f"{NEGLIGIBLE} by the whole interval ({value})."
        )
    return (
        f"These runs do not show whether {RHO} is higher with {member_title} or with "
        f"{reference_title} ({value})."
    )


def summary(
    with_reference: Sequence[Correlation], differences: Sequence[Difference], reference_title: str
) -> list[str]:
    """Return the answer over all targets in a sentence or two, judged by the intervals alone.

    Args:
        with_reference: rho of each target with the reference.
        differences: for each target, rho with the closest member less rho with the
            reference; empty where the study has no family.
        reference_title: name of the reference.
    """
    total = len(with_reference)
    if not total:
        return ["The study names no targets, so there is nothing to predict."]
    targets = "the one target" if total == 1 else f"the {total} targets"
    if all(math.isnan(entry.rho) for entry in with_reference):
        return [
            f"How well {reference_title} predicts the ranking of architectures on {targets} "
            "cannot be said: there are too few errors, or they do not differ."
        ]
    signs = _signs([(entry.rho, entry.ci_low, entry.ci_high) for entry in with_reference])
    text = (
        f"Of {targets}, the rank correlation {RHO} with {reference_title} is "
        f"{_tally(signs, 'positive', 'negative', 'not distinguishable from zero')}, judged by "
        "its 95 % interval."
    )
    signs = _signs([(entry.difference, entry.ci_low, entry.ci_high) for entry in differences])
    if not any(signs[:3]):
        return [text]
    return [
        text,
        f"Compared with that, {RHO} with the family member closest in class count is "
        f"{_tally(signs, 'higher', 'lower', 'not distinguishably different')}, judged by the "
        "95 % interval of the difference.",
    ]


def ends_text(rhos: Mapping[str, Correlation], reference_title: str) -> str:
    """Return which targets are predicted best and worst, in a sentence; empty for fewer than two.

    Args:
        rhos: name of the target -> its rho with the reference.
        reference_title: name of the reference.
    """
    known = [(found.rho, name, found) for name, found in rhos.items() if math.isfinite(found.rho)]
    if len(known) < 2:
        return ""
    ends = []
    for value, name, found in (max(known), min(known)):
        ends.append(f"{name} ({rho_estimate(value, found.ci_low, found.ci_high)})")
    return f"{reference_title} agrees most with {ends[0]} and least with {ends[1]}."


def lost_text(lost: Sequence[float], at_random: Sequence[float], reference_title: str) -> str:
    """Return what choosing on the reference costs, in a sentence; empty where nothing is known.

    Args:
        lost: of each target, points of error that the reference's best is behind the target's.
        at_random: the same of an architecture drawn at random.
        reference_title: name of the reference.
    """
    pairs = [(a, b) for a, b in zip(lost, at_random, strict=True) if math.isfinite(a)]
    if not pairs:
        return ""
    middle, chance = (number(float(np.median(side)), 2) for side in zip(*pairs, strict=True))
    better = sum(a < b for a, b in pairs)
    return (
        f"Taking the architecture that is best on {reference_title} loses {middle} points of error "
        f"on the target in the median, where one drawn at random loses {chance}; it is better than "
        f"random on {better} of {len(pairs)}."
    )


def average_text(row: Mapping[Any, Any], reference_title: str) -> str:
    """Return the mean rhos over the targets in a sentence; empty where there are not two.

    Args:
        row: the average's, of :func:`pycls.analysis.tables.study_tables.rho_table`.
        reference_title: name of the reference.
    """
    targets = int(row["num_averaged"])
    if targets < 2 or math.isnan(row["rho_reference"]):
        return ""
    text = (
        f"On average over {count(targets, 'target')}, {RHO} is {rho_number(row['rho_reference'])} "
        f"with {reference_title}"
    )
    if math.isnan(row["rho_member"]):
        return f"{text} ({_average_intervals(row, '_reference')})."
    return (
        f"{text} and {rho_number(row['rho_member'])} with the closest family member, a difference "
        f"of {number(row['difference'], 2)} ({_average_intervals(row, '_difference')})."
    )


def _average_intervals(row: Mapping[Any, Any], suffix: str) -> str:
    architectures, sets = (
        rho_interval(row[f"{kind}_low{suffix}"], row[f"{kind}_high{suffix}"])
        for kind in ("ci", "sets")
    )
    text = f"95 % interval over architectures {architectures}"
    return text if sets == DASH else f"{text}, over data sets {sets}"


def _signs(estimates: Sequence[tuple[float, float, float]]) -> tuple[int, int, int, int]:
    """Count estimates with an interval above zero, below it, neither, and undefined ones."""
    undefined = sum(math.isnan(value) for value, _, _ in estimates)
    above = sum(low > 0 for _, low, _ in estimates)
    below = sum(high < 0 for _, _, high in estimates)
    return above, below, len(estimates) - above - below - undefined, undefined


def _tally(signs: tuple[int, int, int, int], above: str, below: str, neither: str) -> str:
    words = (above, below, neither, "undefined")
    return listing(
        [f"{word} for {amount}" for word, amount in zip(words, signs, strict=True) if amount]
    )
