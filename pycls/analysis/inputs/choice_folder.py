"""The reader of what a choice left in its folder: plan, decisions, and answers on both sides."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.bits import unpack_bits
from pycls.errors import ConfigError
from pycls.schema import (
    CHOICE_DECISIONS,
    CHOICE_JSON,
    CHOICE_PLAN,
    CHOICE_TEST,
)


@dataclass(frozen=True)
class ChoiceRecord:
    """What a choice left.

    Attributes:
        plan: what the budget paid for.
        decisions: what each stage kept, and by which values.
        metric: "top1" or "top5".
        runs: each final run's contestant, arch, seed, weights, validation_error and test_error.
        wrong: bool, (runs, test images): which answers were wrong.
        answers: of each decision, {architecture: bool, (validation images,)}, likewise of what was
            trained for it; empty where that is not on record.
    """

    plan: dict[str, Any]
    decisions: list[dict[str, Any]]
    metric: str
    runs: list[dict[str, Any]]
    wrong: NDArray[np.bool_]
    answers: list[dict[str, NDArray[np.bool_]]]


def load_choice(folder: str | os.PathLike[str]) -> ChoiceRecord:
    """Read what a choice left in its folder.

    Raises:
        ConfigError: a file is missing or none of these.
    """
    folder = Path(folder)
    plan, decisions, test = (
        _read(folder / name) for name in (CHOICE_PLAN, CHOICE_DECISIONS, CHOICE_TEST)
    )
    runs = [{key: value for key, value in run.items() if key != "wrong"} for run in test["runs"]]
    try:
        wrong = np.array([unpack_bits(run["wrong"], test["images"]) for run in test["runs"]])
        answers = [
            {
                arch: unpack_bits(text, each["images"])
                for arch, text in each.get("wrong", {}).items()
            }
            for each in decisions
        ]
    except ValueError as error:
        raise ConfigError(
            f"{folder}: the answers in {CHOICE_DECISIONS} or {CHOICE_TEST} are damaged ({error}); "
            f"remove {CHOICE_TEST} and give 'choose' again, or begin in another folder"
        ) from None
    return ChoiceRecord(plan, decisions, test["metric"], runs, wrong, answers)


def load_answer(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read choice.json.

    Raises:
        ConfigError: it is missing or damaged.
    """
    return dict(_read(Path(folder) / CHOICE_JSON))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: missing; 'tools/study.py choose STUDY.yaml' goes on with the choice"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: damaged ({error}); remove it and give 'choose' again") from None
