#!/usr/bin/env python3
"""How often intervals and tests hold what they say: the tables of docs/statistics.md.

Each row is a kind of statistic under some shape of errors; a setting is a sample size, a rho and so
on. Printed is the range over the settings of the share, in percent, of simulated samples in which
the interval holds the truth (or the test finds what it should). Leaves with code 1 where a row is
outside the bounds that are asked of it.

Example: python dev/coverage.py --trials 1000 --only noise
"""

import argparse
import itertools
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "analysis" / "statistics"))  # the simulation of the tests

import coverage_simulation as sim  # noqa: E402

from pycls.analysis import statistics as st  # noqa: E402
from pycls.analysis.choosing.new_target import predict_rho  # noqa: E402
from pycls.analysis.statistics.averages import average, paired_influence  # noqa: E402
from pycls.cores import usable_cores  # noqa: E402

Trial = Callable[[np.random.Generator], "bool | None"]  # None: a sample that does not count
RHOS = (0.0, 0.5, 0.9)


@dataclass(frozen=True)
class Row:
    """A row of the table: trials of several settings, and the bounds asked of all, in percent."""

    group: str
    what: str
    settings: str
    trials: tuple[Trial, ...]
    low: float = 93.0
    high: float = 97.0


def intervals() -> Iterator[Row]:
    """Rho of two data sets."""
    for method, shape, n in itertools.product(
        ("influence", "fisher"), sim.DISTRIBUTIONS, sim.SIZES
    ):

        def trial(rho: float, ties: bool, n: int = n, shape: str = shape, method: str = method):
            true = sim.true_rho(rho, shape, ties)

            def held(rng):
                pair = sim.draw_pairs(rng, rho, n, shape, ties)
                low, high = st.spearman_interval(*pair, method)
                return low <= true <= high

            return held

        cases = tuple(trial(rho, ties) for rho in RHOS for ties in (False, True))
        asked = (93.0, 97.5) if method == "influence" else (0.0, 100.0)
        yield Row("intervals", f"{method}, {shape}", f"n of {n}", cases, *asked)


def comparisons() -> Iterator[Row]:
    """Differences found where there are none."""
    pairs = ((0.0, 0.7), (0.5, 0.3), (0.5, 0.8), (0.9, 0.95))
    kinds = {
        "test": lambda found: found.p_value <= 0.05,
        "interval without 0": lambda found: not found.ci_low <= 0 <= found.ci_high,
    }
    for kind, shape, n in itertools.product(kinds, sim.DISTRIBUTIONS, sim.SIZES):

        def trial(rhos: tuple[float, float], ties: bool, n: int = n, shape: str = shape, kind=kind):
            def found(rng):
                return kinds[kind](st.compare_rhos(*sim.draw_triple(rng, *rhos, n, shape, ties)))

            return found

        cases = tuple(trial(rhos, ties) for rhos in pairs for ties in (False, True))
        asked = (2.0, 7.0) if kind == "test" else (1.0, 7.0)
        yield Row("comparisons", f"falsely differ, {kind}", f"{shape}, n of {n}", cases, *asked)


def power() -> Iterator[Row]:
    """Differences found with as many architectures as `architectures_to_tell_apart` says."""
    wishes = (
        ("rho up to 0.8", ((0.3, 0.6, 0.5), (0.4, 0.6, 0.6), (0.7, 0.8, 0.9), (0.2, -0.4, 0.1))),
        ("rho of 0.9 and more", ((0.9, 0.95, 0.9), (0.95, 0.98, 0.95), (0.9, 0.98, 0.9))),
        ("under 20", ((0.2, 0.95, 0.2), (0.5, 0.97, 0.5), (-0.6, 0.8, -0.5), (0.9, 0.99, 0.9))),
    )
    for name, many in wishes:

        def trial(rhos: tuple[float, float, float]):
            n = st.architectures_to_tell_apart(*rhos)
            print(f"  {rhos}: {n} architectures", file=sys.stderr)

            def found(rng):
                return st.compare_rhos(*sim.draw_three(rng, *rhos, n)).p_value <= 0.05

            return found

        yield Row("power", "a difference is found", name, tuple(map(trial, many)), 76.0, 90.0)


def shares() -> Iterator[Row]:
    """The share of the design space that beats the chosen."""

    def trial(rho: float, k: int, n: int, shape: str):
        draws = sim.draw_proxy(np.random.default_rng(5), rho, 200_000, shape)
        space = np.sort(draws[1])

        def held(rng):
            found = st.regret(*sim.draw_proxy(rng, rho, n, shape), k)
            share = np.searchsorted(space, found.chosen_best) / len(space)
            return found.better_low <= share <= found.better_high

        return held

    cases = tuple(
        trial(*case)
        for case in itertools.product(
            (0.0, 0.5, 0.9, 1.0), (1, 10), (24, 100, 500), ("even", "fan")
        )
    )
    settings = "n of 24, 100, 500; k of 1, 10; rho 0 to 1; even noise and a fan"
    yield Row("regret", "share that beats the chosen", settings, cases, 93.0, 100.0)


def noise() -> Iterator[Row]:
    """Rho between two trainings of 500 architectures, of which some were repeated."""

    def trial(noise, repeated: int, times: int, shape: str = "normal"):
        many = np.random.default_rng(1).standard_normal(400_000)
        rng = np.random.default_rng(2)
        true = st.spearman(*sim.trained(rng, many, noise(rng, many), 2, shape).T).rho

        def held(rng):
            mu = rng.standard_normal(500)
            runs = sim.trained(rng, mu, noise(rng, mu), times, shape)
            runs[repeated:, 1:] = math.nan
            found = st.training_agreement(runs, runs[:, 0])
            return None if found.reason else found.ci_low <= true <= found.ci_high

        return held

    steady = [sim.NOISES[name] for name in ("even", "proportional", "good ones")]
    few = [sim.unstable(0.05, *sizes) for sizes in sim.UNSTABLE]
    other = [sim.unstable(share, 8.0, 0.7) for share in (0.02, 0.03, 0.07, 0.1)]
    growing = [lambda rng, mu: 0.6 * np.exp(0.6 * mu), lambda rng, mu: 0.3 + 0.7 * mu**2]
    sizes = [lambda rng, mu: np.ones(mu.shape), lambda rng, mu: 3.0 * np.ones(mu.shape)]
    named, kinds = (93.0, 97.0), (91.0, 99.0)
    rows = (
        ("even, proportional, good ones noisier", steady, "normal", named),
        ("5 % unstable, of five kinds", few, "normal", named),
        ("2, 3, 7 and 10 % unstable", other, "normal", kinds),
        ("bad ones noisier, both ends noisier", growing, "normal", kinds),
        ("heavy tails, a third of the spread and as large", sizes, "heavy", kinds),
        ("skewed, a third of the spread and as large", sizes, "skewed", kinds),
    )
    for repeated, times in ((100, 2), (200, 2), (100, 3), (60, 2)):
        what = f"rho between two trainings, {repeated} repeated, {times} trainings"
        for text, noises, shape, asked in rows:
            cases = tuple(trial(noise, repeated, times, shape) for noise in noises)
            yield Row("noise", what, text, cases, *(asked if repeated >= 100 else (89.0, 99.0)))


def corrected() -> Iterator[Row]:
    """Rho without noise, of 300 architectures of which 100 were trained three times."""

    def trial(name: str):
        def draw(rng, n: int, times: int):
            r = sim.normal_r(0.6)
            mu_x, other = rng.standard_normal((2, n))
            mu_y = r * mu_x + math.sqrt(1 - r * r) * other
            return [sim.trained(rng, mu, sim.NOISES[name](rng, mu), times) for mu in (mu_x, mu_y)]

        rng = np.random.default_rng(4)
        ranks = [np.argsort(np.argsort(side, axis=0), axis=0) for side in draw(rng, 20_000, 100)]
        true = np.corrcoef(*(side.mean(axis=1) for side in ranks))[0, 1]

        def held(rng):
            x, y = draw(rng, 300, 3)
            x[100:, 1:] = y[100:, 1:] = math.nan
            found = st.corrected_rho(x[:, 0], y[:, 0], x, y)
            return None if found.reason else found.corrected_low <= true <= found.corrected_high

        return held

    for name in sim.NOISES:
        yield Row("corrected", "rho corrected for noise", name, (trial(name),), 92.0, 99.0)


def outliers() -> Iterator[Row]:
    """Rho of samples with outliers: the interval holds it, or one of them is named."""

    def trial(rho: float, n: int, share: float):
        many = sim.with_outliers(np.random.default_rng(5), rho, 400_000, share)
        true = st.spearman(*many[:2]).rho

        def right(rng):
            x, y, wrong = sim.with_outliers(rng, rho, n, share)
            if not wrong.any():
                return None
            low, high = st.spearman_interval(x, y)
            return low <= true <= high or bool(wrong[st.outliers(x, y)].any())

        return right

    cases = tuple(
        trial(*case) for case in itertools.product((0.5, 0.9), (24, 50, 99), (0.03, 0.05))
    )
    settings = "3 and 5 % outliers; n of 24, 50, 99; rho of 0.5, 0.9"
    yield Row("outliers", "held, or an outlier is named", settings, cases, 93.0, 100.0)
    for shape in sim.DISTRIBUTIONS:

        def named(rho: float, n: int, ties: bool, shape: str = shape):
            return lambda rng: len(st.outliers(*sim.draw_pairs(rng, rho, n, shape, ties))) > 0

        cases = tuple(
            named(*case) for case in itertools.product(RHOS, (24, 50, 100), (False, True))
        )
        settings = f"{shape}; n of 24, 50, 100; rho 0 to 0.9"
        yield Row("outliers", "falsely named", settings, cases, 0.0, 5.5)


def families() -> Iterator[Row]:
    """Rho of architectures in families of about ten."""
    for rho, given in itertools.product((0.0, 0.6, 0.9), (True, False)):

        def trial(count: int, rho: float = rho, given: bool = given):
            def held(rng):
                x, y, of = sim.draw_families(rng, rho, count)
                found = st.spearman(x, y, families=of if given else None)
                return found.ci_low <= rho <= found.ci_high

            return held

        what = "families of about ten" + ("" if given else ", not given")
        asked = (92.0, 98.5) if given else (0.0, 100.0)
        yield Row(
            "families", what, f"10, 30, 60; rho {rho:g}", (*map(trial, (10, 30, 60)),), *asked
        )


def averages() -> Iterator[Row]:
    """Mean rho of eight targets: over architectures for these, over data sets for all such."""

    def draw(rng, n: int, rhos):
        x = rng.standard_normal(n)
        for rho in rhos:
            r = sim.normal_r(rho)
            yield paired_influence(x, r * x + math.sqrt(1 - r * r) * rng.standard_normal(n))

    def over_architectures(n: int):
        known = (0.0, 0.1, 0.3, 0.5, 0.5, 0.6, 0.8, -0.4)

        def held(rng):
            found = average(*zip(*draw(rng, n, known), strict=True))
            return found.ci_low <= np.mean(known) <= found.ci_high

        return held

    def over_sets(n: int):
        def held(rng):
            rhos = rng.uniform(-0.4, 0.9, 8)
            found = average(*zip(*draw(rng, n, rhos), strict=True))
            return found.sets_low <= 0.25 <= found.sets_high

        return held

    for name, make in (("architectures", over_architectures), ("data sets", over_sets)):
        cases = tuple(map(make, (24, 100, 500)))
        yield Row("averages", f"mean of eight targets, over {name}", "n of 24, 100, 500", cases)

    def equivalent(n: int, rho: float):
        def found(rng):
            low, high = st.spearman_interval(*sim.draw_pairs(rng, rho, n, "normal", False))
            return low > -0.1 and high < 0.1

        return found

    cases = tuple(equivalent(n, 0.1) for n in (500, 1500))
    yield Row(
        "averages",
        "falsely said: size of rho below 0.1",
        "rho 0.1; n of 500, 1500",
        cases,
        0.0,
        5.0,
    )


def new_targets() -> Iterator[Row]:
    """The rho of a ninth data set, predicted from eight."""
    for name, draw in sim.TARGETS.items():

        def held(rng, draw=draw):
            *known, new = draw(rng)
            found = predict_rho(known)
            return found.ci_low <= new <= found.ci_high

        asked = (90.0, 98.0) if name == "the model's" else (0.0, 100.0)
        yield Row("new targets", "a new target, from eight", name, (held,), *asked)


GROUPS = {
    "noise": noise,
    "power": power,
    "corrected": corrected,
    "averages": averages,
    "new targets": new_targets,
    "outliers": outliers,
    "regret": shares,
    "families": families,
    "comparisons": comparisons,
    "intervals": intervals,
}


_setting: Callable[[int], float]  # of the row in work, for the processes forked for it


def shown(row: Row, trials: int, jobs: int) -> list[float]:
    """Return the share of trials of each setting that came out true, in percent."""

    def setting(place: int) -> float:
        rng, trial = np.random.default_rng(100 + place), row.trials[place]
        results = [result for _ in range(trials) if (result := trial(rng)) is not None]
        return 100 * float(np.mean(results))

    global _setting
    _setting = setting
    places = range(len(row.trials))
    with multiprocessing.get_context("fork").Pool(min(jobs, len(places))) as pool:
        return pool.map(_run, places, chunksize=1)


def _run(place: int) -> float:
    return _setting(place)


def main() -> int:
    """Simulate, and print a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000, help="samples of each setting")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--jobs", type=int, default=usable_cores(), help="processes")
    args = parser.parse_args()
    # Three standard errors of one setting, at 95 %.
    allowance = 300 * math.sqrt(0.95 * 0.05 / args.trials)
    missed = 0
    print(f"{args.trials} samples of each setting\n\n| what | settings | % |\n|---|---|---|")
    for group in args.only:
        start = time.perf_counter()
        for row in GROUPS[group]():
            found = shown(row, args.trials, args.jobs)
            fits = row.low - allowance <= min(found) and max(found) <= row.high + allowance
            missed += not fits
            low, high = (f"{value:.1f}" for value in (min(found), max(found)))
            text = low if len(found) == 1 else f"{low} to {high}"
            mark = "" if fits else f" **asked: {row.low:g} to {row.high:g}**"
            print(f"| {row.what} | {row.settings} | {text}{mark} |", flush=True)
        print(f"{group}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
