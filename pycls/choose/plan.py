"""The plan of a choice: what its budget pays for, fixed when it is set up.

Hours of a GPU become trainings here, once, by the estimated cost of one; what is carried out then
depends on no clock.
"""

import math
from typing import Any

from pycls.choose.options import ChooseOptions
from pycls.errors import ConfigError
from pycls.halving import plan_halving
from pycls.study.plan import run_seconds, speed_finder
from pycls.study.study import StudyFolder


def make_plan(options: ChooseOptions, study: StudyFolder) -> dict[str, Any]:
    """Return the plan, as plain values.

    Args:
        options: how to choose.
        study: of the data set that is chosen for, with the whole population.

    Returns:
        "trainings" and "gpu_hours" (the budget, the one not given estimated), "epochs" of a
        training, "candidates", "filter" (of a class subset: the architectures trained on it, and
        what that costs in trainings), "rungs" (epochs and architectures of each) and
        "search_trainings", what they cost; "final_trainings".

    Raises:
        ConfigError: the budget does not pay for the final trainings and one beside them.
    """
    dataset = study.spec.datasets[options.data]
    epochs, available = study.epochs(dataset), len(study.population)
    speed = speed_finder(study)(dataset)
    hours = run_seconds(study, dataset, speed) / 3600
    trainings = options.trainings or options.gpu_hours / hours
    # The reference's best stands beside the chosen, unless that is what was chosen.
    beside = options.reference is not None and options.strategy != "reference"
    contestants = len(options.finals) + beside
    finals = contestants * len(options.seeds)
    left = trainings - finals
    least = 2 if options.strategy in ("random", "halving") else 0
    if left < least:
        raise ConfigError(
            f"{study.spec.where('choose')}: the budget is {trainings:.3g} trainings, and "
            f"{contestants} networks are trained under {len(options.seeds)} seeds in the end, "
            f"which leaves {left:.3g} to choose by; give at least {finals + max(4, least)}, or "
            "fewer 'seeds' or 'baselines'"
        )
    filtered, left_after, thinned = _plan_filter(options, study, available, left)
    rungs, cost = _plan_rungs(options, epochs, thinned, left_after)
    if least and not rungs:
        raise ConfigError(
            f"{study.spec.where('choose')}: after the filter {left_after:.3g} trainings are left, "
            "which pay for none; give a larger budget"
        )
    return {
        "data": options.data,
        "strategy": options.strategy,
        "trainings": trainings,
        "gpu_hours": trainings * hours,
        "images_per_second": speed.images_per_second,
        "images_per_second_from": speed.source,
        "epochs": epochs,
        "population": available,
        "candidates": thinned,
        "filter": filtered,
        "rungs": rungs,
        "search_trainings": left - left_after + cost,
        "final_trainings": finals,
        "seeds": list(options.seeds),
        "asked": _asked(options),
    }


def require_same(plan: dict[str, Any], options: ChooseOptions, where: str) -> None:
    """Refuse to go on with a choice whose file has been changed since.

    Raises:
        ConfigError: names what was changed.
    """
    now, before = _asked(options), plan["asked"]
    changed = [
        f"{key} {before.get(key)!r} -> {now[key]!r}" for key in now if before.get(key) != now[key]
    ]
    if changed:
        raise ConfigError(
            f"{where}: the choice was begun with other keys: {'; '.join(changed)}. Take the change "
            "back, or choose another folder with --out"
        )


def _asked(options: ChooseOptions) -> dict[str, Any]:
    """Return what the section asks, as JSON holds it."""
    filtered = options.filter
    reference = options.reference
    return {
        "data": options.data,
        "strategy": options.strategy,
        "score": options.score,
        "filter": None if filtered is None else vars(filtered),
        "reference": None if reference is None else reference.sweep,
        "trainings": options.trainings,
        "gpu_hours": options.gpu_hours,
        "seeds": list(options.seeds),
        "baselines": list(options.baselines),
        "networks": list(options.networks),
    }


def _plan_filter(
    options: ChooseOptions, study: StudyFolder, available: int, budget: float
) -> tuple[dict[str, Any] | None, float, int]:
    """Return the filter, what it leaves of the budget, and the candidates that it leaves."""
    filtered = options.filter
    if filtered is None:
        return None, budget, available
    if filtered.score:
        kept = max(1, int(available * filtered.keep))
        return {"score": filtered.score, "keep": filtered.keep}, budget, kept
    classes = study.data.facts(study.spec.datasets[options.data]).num_classes
    if filtered.num_classes >= classes:
        raise ConfigError(
            f"{study.spec.where('choose', 'filter', 'num_classes')} is {filtered.num_classes}; the "
            f"set has {classes} classes, so expected fewer"
        )
    share = filtered.num_classes / classes
    # Half of the budget at most: what is kept is to be trained on all classes.
    count = min(available, int(budget / 2 / share))
    if count < 2:
        raise ConfigError(
            f"{study.spec.where('choose', 'filter')}: half of {budget:.3g} trainings pays for "
            f"{count} on {filtered.num_classes} of {classes} classes; give a larger budget, or "
            "fewer classes"
        )
    kept = max(1, math.ceil(count * filtered.keep))
    plan = {"num_classes": filtered.num_classes, "keep": filtered.keep, "archs": count}
    return plan, budget - count * share, kept


def _plan_rungs(
    options: ChooseOptions, epochs: int, available: int, budget: float
) -> tuple[list[dict[str, int]], float]:
    """Return epochs and architectures of each rung, and what they cost in trainings."""
    if options.strategy == "halving":
        places, sizes, cost = plan_halving(range(1, epochs + 1), available, budget)
        rungs = [{"epochs": p + 1, "archs": n} for p, n in zip(places, sizes, strict=False)]
        return rungs, cost
    count = min(available, int(budget))
    # One alone, the best by a ranking, need not be trained to be chosen.
    if count < 2:
        return [], 0.0
    return [{"epochs": epochs, "archs": count}], float(count)
