"""Tables of a study on what to choose: proxies, the best few, early ends, several targets."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from pycls.analysis.choosing.early import COLUMNS as EARLY_COLUMNS
from pycls.analysis.choosing.early import early_table
from pycls.analysis.choosing.new_target import MIN_SETS, predict_rho
from pycls.analysis.choosing.race import race
from pycls.analysis.choosing.several import best_for_all, chosen_for_all
from pycls.analysis.choosing.top import top_agreement
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.results_csv import finished_runs, population_runs
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.apart import outliers
from pycls.analysis.statistics.correlation import correlation_columns, spearman
from pycls.analysis.statistics.proxies import closest_member
from pycls.analysis.tables.scores import score_candidates

COSTS = {"params": "more parameters", "flops": "more multiply-adds"}  # taken for better
_RACED = (1 / 8, 1 / 4)  # of a training
_PROPERTIES = {"num_classes": "class count", "train_images": "images", "im_size": "image size"}


def candidates_for(
    target: str,
    errors: pd.DataFrame,
    parameters: pd.DataFrame,
    scores: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, pd.Series]:
    """Return what could rank the architectures of a target without training on it.

    Returns:
        Name -> a value per architecture, low for those taken for good: the errors on each other
        data set, the negative costs in `COSTS` that differ, and zero-cost scores on the target,
        where there are some (data set -> architectures x scores).
    """
    found = {str(key): errors[key] for key in errors if key != target}
    found |= {COSTS[name]: -parameters[name] for name in COSTS if name in parameters}
    scored = (scores or {}).get(target)
    if scored is not None:  # of the costs there are those of the parameters already
        scored = scored.assign(**dict.fromkeys(set(COSTS) & set(parameters), math.nan))
    return found | score_candidates(scored)


def race_table(
    errors: pd.DataFrame,
    parameters: pd.DataFrame,
    study: Study,
    scores: Mapping[str, pd.DataFrame] | None = None,
    curves: Mapping[str, Curves] | None = None,
) -> pd.DataFrame:
    """Return :func:`pycls.analysis.choosing.race.race` for each target, in the column target.

    Candidates are those of :func:`candidates_for` and, where there are curves, the target's own
    errors after an eighth and a quarter of the training.
    """
    tables = []
    for key in study.targets:
        candidates = candidates_for(key, errors, parameters, scores)
        candidates |= _shorter((curves or {}).get(key), errors.index)
        tables.append(race(candidates, errors[key]).assign(target=key))
    if not tables:
        return pd.DataFrame()
    every = pd.concat(tables, ignore_index=True)
    return every[["target", *(name for name in every if name != "target")]]


def _shorter(curves: Curves | None, architectures: pd.Index) -> dict[str, pd.Series]:
    """Return name -> errors after the shares of a training in `_RACED`."""
    found = {}
    if curves is not None:
        last = int(curves.epochs[-1])
        for share in _RACED:
            places = np.flatnonzero(curves.epochs <= share * last)
            if len(places):
                name = f"the target's epoch {curves.epochs[places[-1]]} of {last}"
                found[name] = pd.Series(curves.test[:, places[-1]], architectures)
    return found


def prediction_table(
    errors: pd.DataFrame, study: Study, scores: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Return the rho that each proxy would show with a new target.

    Returns:
        A row per proxy (reference, family members, and zero-cost scores on the targets): proxy, n
        (targets it is learnt from), rho, ci_low, ci_high, error, and error_num_classes,
        error_train_images and error_im_size where the study has them; see
        :class:`pycls.analysis.choosing.new_target.Prediction`. Proxies with fewer than three
        targets are left out.
    """
    known = {
        proxy: {key: errors[proxy] for key in study.targets if key != proxy}
        for proxy in [study.require_reference(), *study.members()]
    }
    for key in study.targets:
        for name, values in score_candidates((scores or {}).get(key)).items():
            known.setdefault(name, {})[key] = values
    rows = []
    for proxy, by_target in known.items():
        targets = list(by_target)
        if len(targets) < MIN_SETS:
            continue
        rhos = [spearman(by_target[key], errors[key]).rho for key in targets]
        found = predict_rho(rhos, _properties(targets, study))
        row: dict[str, Any] = {"proxy": proxy, **asdict(found)}
        row |= {f"error_{name}": error for name, error in row.pop("errors").items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _properties(targets: list[str], study: Study) -> dict[str, list[float]]:
    found = {}
    for name in _PROPERTIES:
        numbers = [study.datasets[key].get(name) for key in targets]
        if all(isinstance(number, (int, float)) and number > 0 for number in numbers):
            found[name] = [math.log(number) for number in numbers if number]
    return found


def top_table(
    errors: pd.DataFrame, study: Study, scores: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Return the agreement among the best of each target with what could choose them.

    That is the reference, its closest member, and zero-cost scores on the target.

    Returns:
        A row per target and proxy: target, proxy, the numbers of
        :class:`pycls.analysis.choosing.top.Top`, and the columns of a correlation with the
        suffixes _by_proxy and _by_target.
    """
    rows = []
    for target in study.targets:
        proxies = {proxy: errors[proxy] for proxy in proxies_of(target, study)}
        for proxy, values in (proxies | score_candidates((scores or {}).get(target))).items():
            found = top_agreement(values, errors[target])
            numbers = asdict(found)
            for name in ("by_proxy", "by_target"):
                del numbers[name]
                numbers |= correlation_columns(getattr(found, name), f"_{name}")
            rows.append({"target": target, "proxy": proxy, **numbers})
    return pd.DataFrame(rows)


def proxies_of(target: str, study: Study) -> list[str]:
    """Return the reference and the family member closest to a target."""
    members = study.members()
    closest = [closest_member(study.num_classes(target), members)] if members else []
    return [study.require_reference(), *closest]


def early_tables(
    curves: Mapping[str, Curves],
    study: Study,
    hours: Mapping[str, float],
    results: pd.DataFrame,
    durations: pd.DataFrame,
) -> pd.DataFrame:
    """Return :func:`pycls.analysis.choosing.early.early_table` of each data set with curves.

    Args:
        curves: by data set.
        study: for the order of the sets.
        hours: data set -> hours that the training of the whole population took, where known.
        results: as from :func:`pycls.analysis.inputs.results_csv.load_results`.
        durations: runs of other durations, as from
            :func:`pycls.analysis.inputs.collection.duration_runs`.

    Returns:
        Its columns behind dataset; hours (of training until then, NaN where unknown); own: whether
        it is a training of that length by itself, not an epoch of a longer one.
    """
    tables = []
    for key in study.dataset_keys():
        if key in curves and len(curves[key].epochs) > 1:
            table = early_table(curves[key].epochs, curves[key].test)
            table.insert(0, "dataset", key)
            tables.append(table.assign(own=False))
        for short, shorter, long, longer in _durations(key, study, results, durations):
            pair = pd.DataFrame({"short": shorter, "long": longer}).dropna().to_numpy(dtype=float)
            table = early_table([short, long], pair)
            table.insert(0, "dataset", key)
            tables.append(table.assign(own=True))
    if not tables:
        return pd.DataFrame(columns=["dataset", *EARLY_COLUMNS, "own", "hours"])
    found = pd.concat(tables, ignore_index=True)
    return found.assign(hours=found["share_of_cost"] * found["dataset"].map(hours).astype(float))


def _durations(
    key: str, study: Study, results: pd.DataFrame, durations: pd.DataFrame
) -> Iterator[tuple[int, pd.Series, int, pd.Series]]:
    """Yield pairs of trainings of one data set that differ in their epochs, the shorter first."""
    own = durations[durations["of"] == key]
    if own.empty:
        return
    done = finished_runs(results)
    main = done[(done["dataset"] == key) & done["sweep"].isin(study.sweeps_of_role("main"))]
    for _, runs in own.groupby("control", sort=False):
        sides = [
            (int(side["epochs"].iloc[0]), side.drop_duplicates("arch").set_index("arch")["error"])
            for side in (main, runs)
            if len(side)
        ]
        (short, shorter), (long, longer) = min(sides, key=_epochs), max(sides, key=_epochs)
        if short < long:
            yield short, shorter, long, longer


def _epochs(side: tuple[int, pd.Series]) -> int:
    return side[0]


def training_hours(
    timings: pd.DataFrame | None, results: pd.DataFrame, study: Study
) -> dict[str, float]:
    """Return the hours that the population's runs on each data set took, where they are known.

    Args:
        timings: run and seconds; None where none were recorded.
        results: as from :func:`pycls.analysis.inputs.results_csv.load_results`.
        study: which sweeps are the population's.
    """
    if timings is None:
        return {}
    runs = population_runs(results, study)[["run", "dataset"]].merge(timings, on="run")
    sums = runs.groupby("dataset")["seconds"].sum() / 3600
    return {str(key): float(value) for key, value in sums.items() if value > 0}


def several_table(errors: pd.DataFrame, parameters: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return what to take for all targets at once, and how each proxy's first choice does.

    Returns:
        A row per choice: choice ("average", "worst case", or a candidate), and the columns of
        :func:`pycls.analysis.choosing.several.best_for_all`. Empty with fewer than two targets.
    """
    targets = [key for key in study.targets if errors[key].notna().any()]
    if len(targets) < 2:
        return pd.DataFrame()
    others = {
        name: values
        for name, values in candidates_for("", errors, parameters).items()
        if name not in targets
    }
    best = best_for_all(errors[targets]).rename(columns={"rule": "choice"})
    chosen = chosen_for_all(others, errors[targets]).rename(columns={"candidate": "choice"})
    return pd.concat([best, chosen], ignore_index=True)


def apart_table(errors: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the architectures that stand apart from all others, for each target and proxy.

    Returns:
        A row per target and proxy that has some: target, proxy, archs (names, with commas), rho,
        and rho_without (them).
    """
    rows = []
    for target in study.targets:
        for proxy in proxies_of(target, study):
            x, y = (errors[key].to_numpy(dtype=float) for key in (proxy, target))
            places = outliers(x, y)
            if len(places):
                rest = np.delete(np.arange(len(x)), places)
                names = ", ".join(str(errors.index[place]) for place in places)
                rhos = spearman(x, y).rho, spearman(x[rest], y[rest]).rho
                rows.append((target, proxy, names, *rhos))
    return pd.DataFrame(rows, columns=["target", "proxy", "archs", "rho", "rho_without"])
