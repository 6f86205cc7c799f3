"""What a choice comes to: the network to take, how good it is, what it gained, and how sure it was.

Choices are made on the validation side. The test side is looked at once for what was trained in the
end, so that the error there is an honest one, and its interval holds.
"""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.analysis.choosing.alike import alikeness, carried_share, draw_errors
from pycls.analysis.choosing.optimism import expected_optimism
from pycls.analysis.inputs.choice_folder import ChoiceRecord, load_choice
from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.statistics.error_interval import wilson_interval
from pycls.analysis.statistics.pairs import MIN_PAIRS
from pycls.analysis.statistics.selection import random_search

_REDRAWS = 1000
_TO_COMPARE = 8  # networks


def make_answer(
    folder: str | os.PathLike[str],
    titles: Mapping[str, str],
    data: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the answer of a choice whose final networks have been tested, as plain values.

    Args:
        folder: the choice's.
        titles: {contestant: title}, in order.
        data: what the answer says of the data set; "validation_images" are needed.
        counts: {contestant: flops and params}.

    Returns:
        "chosen", the architecture that the search chose; "taken", the contestant with the lowest
        mean validation error, and of its runs the one with the lowest; "contestants"; "gains" of it
        over each other one on the test side, in points with a 95 % interval; "searched_error", by
        which the search chose; "rungs"; "optimism";
        "last_doubling". Numbers that are not defined are None.
    """
    record = load_choice(folder)
    contestants = [_contestant(record, name, titles[name], counts[name]) for name in titles]
    contestants = [each for each in contestants if each["seeds"]]
    taken = min(contestants, key=lambda each: each["validation_error"])
    run = min(
        (run for run in record.runs if run["contestant"] == taken["name"]),
        key=lambda run: run["validation_error"],
    )
    place = record.runs.index(run)
    images, validation_images = record.wrong.shape[1], int(data["validation_images"])
    optimism = optimism_of(record, validation_images, images)
    low, high = wilson_interval(run["test_error"], images)
    return _plain(
        {
            "data": dict(data),
            "metric": {"top1": "top-1", "top5": "top-5"}[record.metric],
            "strategy": _strategy(record),
            "plan": {k: v for k, v in record.plan.items() if k != "asked"},
            "chosen": record.decisions[-1]["kept"][0],
            "searched_error": _searched_error(record),
            "taken": {
                **{key: taken[key] for key in ("name", "title", "arch", "flops", "params")},
                **{key: run[key] for key in ("run", "seed", "weights", "validation_error")},
                "test": {
                    "images": images,
                    "wrong": int(record.wrong[place].sum()),
                    "error": run["test_error"],
                    "interval": [low, high],
                },
            },
            "contestants": contestants,
            "gains": [
                {"over": each["name"], **_gain(record, taken["name"], each["name"])}
                for each in contestants
                if each is not taken
            ],
            "rungs": _rungs(record, validation_images, _or(optimism["alike"], 0.0)),
            "optimism": optimism,
            "last_doubling": _last_doubling(record),
        }
    )


def _searched_error(record: ChoiceRecord) -> float:
    """Return the validation error by which the search chose, in percent; NaN without training."""
    last = record.decisions[-1]
    return float(last["values"][last["kept"][0]]) if last.get("epochs") else math.nan


def _contestant(
    record: ChoiceRecord, name: str, title: str, counts: Mapping[str, Any]
) -> dict[str, Any]:
    runs = [run for run in record.runs if run["contestant"] == name]
    validation = [run["validation_error"] for run in runs]
    test = [run["test_error"] for run in runs]
    return {
        "name": name,
        "title": title,
        "arch": runs[0]["arch"] if runs else "",
        "flops": counts.get("flops"),
        "params": counts.get("params"),
        "seeds": [run["seed"] for run in runs],
        "validation_errors": validation,
        "validation_error": float(np.mean(validation)) if runs else math.nan,
        "test_errors": test,
        "test_error": float(np.mean(test)) if runs else math.nan,
        "test_sd": float(np.std(test, ddof=1)) if len(test) > 1 else math.nan,
    }


def _gain(record: ChoiceRecord, taken: str, other: str) -> dict[str, Any]:
    """Return by how many points the taken one's mean test error is lower, with an interval.

    Two sources of chance are added: the test images, of which both err on the same (each image's
    difference counts), and the seeds (Welch).
    """
    from scipy.special import stdtrit

    sides = []
    for name in (taken, other):
        rows = [i for i, run in enumerate(record.runs) if run["contestant"] == name]
        sides.append(record.wrong[rows].astype(float))
    by_image = sides[1].mean(axis=0) - sides[0].mean(axis=0)
    images = len(by_image)
    of_images = float(by_image.var(ddof=1)) / images if images > 1 else math.nan
    parts = [(float(s.mean(axis=1).var(ddof=1)) / len(s), len(s) - 1) for s in sides if len(s) > 1]
    if len(parts) < 2:
        return {"points": 100 * float(by_image.mean()), "interval": [math.nan, math.nan]}
    of_seeds = sum(variance for variance, _ in parts)
    squares = sum(variance**2 / freedom for variance, freedom in parts)
    total = of_images + of_seeds
    # Satterthwaite, the images being many.
    freedom = total**2 / (squares + of_images**2 / (images - 1)) if total > 0 else 1.0
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(total)
    middle = float(by_image.mean())
    return {"points": 100 * middle, "interval": [100 * (middle - half), 100 * (middle + half)]}


def _strategy(record: ChoiceRecord) -> str:
    """Return how it was chosen, in words."""
    plan, decisions = record.plan, record.decisions
    by = {"score": f"the zero-cost score {decisions[0].get('score')}"}.get(decisions[0]["stage"])
    filtered = plan["filter"] or {}
    if "num_classes" in filtered:
        by = f"trainings on {filtered['num_classes']} of the classes"
    name = {
        "random": "random search",
        "halving": "successive halving",
        "score": "a zero-cost score",
        "reference": "the results on a reference",
    }[plan["strategy"]]
    if plan["strategy"] == "score":
        return str(by)
    return f"{name} after a filter by {by}" if by and plan["filter"] else name


def _rungs(record: ChoiceRecord, images: int, alike: float) -> list[dict[str, Any]]:
    """Return how sure each stage's ranking was that was made by training on the set."""
    trained = [each for each in record.decisions if each.get("epochs")]
    rungs = []
    for place, rung in enumerate(trained):
        after = trained[place + 1]["values"] if place + 1 < len(trained) else {}
        both = [arch for arch in rung["values"] if arch in after]
        found = spearman([rung["values"][a] for a in both], [after[a] for a in both])
        winner = record.decisions[-1]["kept"][0]
        rungs.append(
            {
                "stage": rung["stage"],
                "epochs": rung["epochs"],
                "trained": len(rung["values"]),
                "failed": list(rung.get("failed", [])),
                "kept": len(rung["kept"]),
                "best": rung["kept"][0],
                "lowest_error": min(rung["values"].values()),
                "rho": found.rho,
                "rho_interval": [found.ci_low, found.ci_high],
                "rho_n": len(both) if len(both) >= MIN_PAIRS else 0,
                "kept_again": _kept_again(rung, winner, images, alike),
            }
        )
    return rungs


def _kept_again(rung: Mapping[str, Any], winner: str, images: int, alike: float) -> float:
    """Return how often a stage would keep the winner again on other validation images.

    The errors are taken for true ones.
    """
    values: dict[str, float] = rung["values"]
    if winner not in values:
        return math.nan
    shares = np.array([list(values.values())]) / 100
    (drawn,) = draw_errors(np.random.default_rng(0), shares, images, alike, _REDRAWS)
    own = drawn[:, [list(values).index(winner)]]
    better, equal = (drawn < own).sum(axis=1), (drawn == own).sum(axis=1)
    # Of equal ones any is kept.
    room: NDArray[np.float64] = np.clip((len(rung["kept"]) - better) / equal, 0.0, 1.0)
    return float(room.mean())


def optimism_of(
    record: ChoiceRecord, images: int, test_images: int, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """Return how much too low the error is by which a choice takes its network, on average.

    Args:
        record: the choice.
        images: of its validation side.
        test_images: of the test side.
        seed: of the draws of images.
        draws: how many those are.

    Returns:
        "candidates" (of those trained on all classes), "validation" (points on that side), "test"
        (points that it would have been, had the choice been made on the test side), "alike" and
        "carried", see :func:`how_alike`; where that is not known, both are upper bounds.
    """
    rungs = [place for place, each in enumerate(record.decisions) if each["stage"] == "rung"]
    alike, carried = how_alike([record.answers[place] for place in rungs])
    said: dict[str, Any] = {"candidates": 0, "alike": alike, "carried": carried}
    if not rungs:
        return said | {"validation": math.nan, "test": math.nan}
    stages = [record.decisions[place]["values"] for place in rungs]
    errors = [[stage.get(arch, math.nan) for arch in stages[0]] for stage in stages]
    known = (_or(alike, 0.0), _or(carried, 1.0))
    return said | {
        "candidates": len(stages[0]),
        "validation": expected_optimism(errors, images, *known, seed=seed, draws=draws),
        "test": expected_optimism(errors, images, *known, test_images, seed, draws),
    }


def how_alike(answers: Sequence[Mapping[str, NDArray[np.bool_]]]) -> tuple[float, float]:
    """Return how alike networks err, and how far luck is carried on from stage to stage.

    Two networks do not tell how alike they err: the last stages are looked at, as far back as it
    takes to have eight.

    Args:
        answers: of each stage, {architecture: which images are wrong, (images,)}.

    Returns:
        See :func:`pycls.analysis.choosing.alike.alikeness` and
        :func:`pycls.analysis.choosing.alike.carried_share`; NaN: not known.
    """
    latest: dict[str, NDArray[np.bool_]] = {}
    for stage in reversed(answers):
        if len(latest) < _TO_COMPARE:
            latest = {**stage, **latest}
    alike = alikeness(np.array(list(latest.values())))
    went_on = []
    for before, after in itertools.pairwise(answers):
        both = [arch for arch in after if arch in before]
        if both:
            went_on.append((_rows(before, both), _rows(after, both)))
    return alike, carried_share(went_on, _or(alike, 0.0))


def _rows(answers: Mapping[str, NDArray[np.bool_]], archs: list[str]) -> NDArray[np.bool_]:
    return np.array([answers[arch] for arch in archs])


def _or(value: float, unknown: float) -> float:
    return unknown if math.isnan(value) else value


def _last_doubling(record: ChoiceRecord) -> dict[str, Any]:
    """Return what the last doubling of the candidates brought at the first rung, on average."""
    trained = [each for each in record.decisions if each.get("epochs")]
    if not trained or len(trained[0]["values"]) < MIN_PAIRS:
        return {"candidates": 0, "epochs": 0, "points": math.nan}
    values = list(trained[0]["values"].values())
    n = len(values)
    half = float(random_search(values, [n // 2])["mean"].iloc[0])
    return {"candidates": n, "epochs": trained[0]["epochs"], "points": half - min(values)}


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it: numbers rounded to 12 digits, undefined ones None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value
