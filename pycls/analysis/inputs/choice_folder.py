"""The reader of what a choice left in its folder: plan, decisions, and answers on both sides."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.schema import (
    CHOICE_DECISIONS,
    CHOICE_JSON,
    CHOICE_PLAN,
    CHOICE_TEST,
    CHOICE_VALIDATION,
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
        validation_wrong: the same of the search's last stage, on the validation side; rows of
            networks whose weights were gone are not there.
    """

    plan: dict[str, Any]
    decisions: list[dict[str, Any]]
    metric: str
    runs: list[dict[str, Any]]
    wrong: NDArray[np.bool_]
    validation_wrong: NDArray[np.bool_]


def load_choice(folder: str | os.PathLike[str]) -> ChoiceRecord:
    """Read what a choice left in its folder.

    Raises:
        ConfigError: a file is missing or none of these.
    """
    folder = Path(folder)
    plan, decisions, validation, test = (
        _read(folder / name)
        for name in (CHOICE_PLAN, CHOICE_DECISIONS, CHOICE_VALIDATION, CHOICE_TEST)
    )
    runs = [{key: value for key, value in run.items() if key != "wrong"} for run in test["runs"]]
    wrong, on_validation = _wrong_answers(test), _wrong_answers(validation)
    return ChoiceRecord(plan, decisions, test["metric"], runs, wrong, on_validation)


def _wrong_answers(side: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return the answers of a side's networks, (networks, images)."""
    packed = b"".join(bytes.fromhex(run["wrong"]) for run in side["runs"])
    rows = np.frombuffer(packed, np.uint8).reshape(len(side["runs"]), -(-side["images"] // 8))
    return np.unpackbits(rows, axis=1, count=side["images"]).astype(bool)


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
