"""Every key of a sweep file with its default and what it may be (defaults: pycls 5719de6)."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Check = Callable[[Any], str]


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        default: its value where the file does not say.
        check: returns what is wrong with a value and what was expected, or "".
    """

    default: Any
    check: Check


def defaults() -> dict[str, Any]:
    """Return all keys with their defaults, nested, free to be changed."""
    return _defaults(KEYS)


def _defaults(known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: copy.deepcopy(inner.default) if isinstance(inner, Key) else _defaults(inner)
        for key, inner in known.items()
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "expected a text; put it in quotes"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "expected True or False"


def _count(least: int) -> Check:
    def check(value: Any) -> str:
        if _is_whole(value) and value >= least:
            return ""
        hint = ""
        if isinstance(value, float) and value.is_integer() and value >= least:
            hint = f"; write {int(value)}"
        return f"expected a whole number of {least} or more{hint}"

    return check


def _choice(*choices: str) -> Check:
    return lambda value: "" if value in choices else f"allowed: {', '.join(choices)}"


def _texts(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ""
    return "expected a list of texts, such as [a, b]"


def _mapping(value: Any) -> str:
    return "" if isinstance(value, Mapping) else "expected keys and values"


def _range(value: Any) -> str:
    """Check a closed range; [0, 0] stands for none."""
    numbers = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
    if not numbers or any(math.isnan(bound) or bound < 0 for bound in value):
        return "expected two numbers of 0 or more, [lowest, highest] ([0, 0]: no bounds)"
    if value[0] > value[1]:
        return (
            f"the bounds are the wrong way round; write [{value[1]}, {value[0]}] "
            "(no upper bound: .inf)"
        )
    return ""


def _stages(value: Any) -> str:
    whole = isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value))
    if not whole or value[0] < 1:
        return "expected two whole numbers of 1 or more, [fewest, most]"
    if value[0] > value[1]:
        return f"the numbers are the wrong way round; write [{value[1]}, {value[0]}]"
    return ""


def _filters(value: Any) -> str:
    """Check {name: [low, value, high]}."""
    for name, limits in value.items() if isinstance(value, Mapping) else [("", None)]:
        ok = isinstance(limits, list) and len(limits) == 3 and all(map(_is_number, limits))
        if not ok or not isinstance(name, str):
            return "expected names with three numbers each, such as {done: [0, 1, 1]}"
    return ""


def _split_filters(value: Any) -> str:
    if isinstance(value, Mapping):
        for name, filters in value.items():
            problem = _filters(filters)
            if problem:
                return f"{name}: {problem}"
        return ""
    return "expected names with filters each, such as {short: {done: [0, 1, 1]}}"


def _samplers(value: Any) -> str:
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return ""
    return "expected a sampler (TYPE and so on) for each configuration key"


def _configs(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str | Mapping) for item in value):
        return ""
    return "expected a list of YAML files, patterns such as nets/*.yaml, or configuration keys"


DEFAULT_STAGES = [4, 4]

# {key: Key, or section}
KEYS: dict[str, Any] = {
    "NAME": Key("", _text),  # the folder below ROOT_DIR; may hold slashes
    "DESC": Key("", _text),
    "ROOT_DIR": Key("", _text),  # "": studies
    "SWEEP_CFG_FILE": Key("", _text),  # no effect
    "NUM_PROC": Key(0, _count(0)),  # no effect on the result: one process is enough
    "SETUP": {
        "NUM_CONFIGS": Key(0, _count(0)),  # 0: all of POPULATION or CONFIGS
        "NUM_SAMPLES": Key(1_000_000, _count(1)),  # give up after so many draws
        "RNG_SEED": Key(0, _count(0)),
        "CHUNK_SIZE": Key(5000, _count(1)),  # no effect on the result
        "BASE_CFG": Key({}, _mapping),
        "SAMPLERS": Key({}, _samplers),
        "POPULATION": Key("", _text),  # a CSV of architectures, one a run
        "CONFIGS": Key([], _configs),  # hand-written configurations over BASE_CFG, one a run
        "CONSTRAINTS": {
            "CX": {name: Key([0, 0], _range) for name in ("FLOPS", "PARAMS", "ACTS")},
            "REGNET": {"NUM_STAGES": Key(DEFAULT_STAGES, _stages)},
            "EXPRESSIONS": Key([], _texts),
        },
    },
    "LAUNCH": {
        "MODE": Key("train", _choice("train", "test", "time", "scale", "info")),
        "NUM_GPUS": Key(1, _count(0)),
        "PARALLEL_JOBS": Key(128, _count(1)),
        "MAX_RETRY": Key(3, _count(0)),
        "TIME_LIMIT": Key(4200, _count(1)),  # minutes
        "CPUS_PER_GPU": Key(10, _count(1)),
        "MEM_PER_GPU": Key(60, _count(1)),  # GB
        "GPU_TYPE": Key("volta", _text),
        "PARTITION": Key("learnfair", _text),
        "COMMENT": Key("", _text),
        "CONDA_ENV": Key("", _text),
    },
    "COLLECT": {"CHECKPOINTS_KEEP": Key("last", _choice("all", "last", "none"))},
    "ANALYZE": {
        "METRICS": Key([], _texts),
        "COMPLEXITY": Key(["flops", "params", "acts"], _texts),
        "EXTRA_SWEEP_NAMES": Key([], _texts),
        "PLOT_METRIC_VALUES": Key(True, _flag),
        "PLOT_METRIC_TRENDS": Key(True, _flag),
        "PLOT_COMPLEXITY_VALUES": Key(True, _flag),
        "PLOT_COMPLEXITY_TRENDS": Key(True, _flag),
        "PLOT_CURVES_BEST": Key(0, _count(0)),
        "PLOT_CURVES_WORST": Key(0, _count(0)),
        "PLOT_MODELS_BEST": Key(0, _count(0)),
        "PLOT_MODELS_WORST": Key(0, _count(0)),
        "PRE_FILTERS": Key({}, _filters),
        "SPLIT_FILTERS": Key({}, _split_filters),
    },
}

# Of these, single keys can be given on the command line.
FREE_SECTIONS = ("SETUP.BASE_CFG.",)
