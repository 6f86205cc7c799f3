"""All keys of a sweep file, with their defaults (pycls 5719de6) and what they may be.

pycls's defaults of LAUNCH.PARTITION ("learnfair") and LAUNCH.GPU_TYPE ("volta") name the cluster
it was written on; here they are "", the cluster's own partition and any GPU.
"""

import math
from collections.abc import Mapping
from typing import Any

from pycls.checked_keys import (
    Key,
    check_flag,
    check_mapping,
    check_text,
    check_texts,
    count_from,
    defaults_of,
    is_number,
    is_whole,
    one_of,
)
from pycls.schema import MOST_NETWORKS
from pycls.slurm.options import LAUNCH_KEYS


def defaults() -> dict[str, Any]:
    """Return all keys with their defaults, nested, free to be changed."""
    return defaults_of(KEYS)


def _range(value: Any) -> str:
    """Check a closed range; [0, 0] stands for none."""
    numbers = isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
    if not numbers or any(math.isnan(bound) or bound < 0 for bound in value):
        return "expected two numbers of 0 or more, [lowest, highest] ([0, 0]: no bounds)"
    if value[0] > value[1]:
        return (
            f"the bounds are the wrong way round; write [{value[1]}, {value[0]}] "
            "(no upper bound: .inf)"
        )
    return ""


def _stages(value: Any) -> str:
    whole = isinstance(value, list) and len(value) == 2 and all(map(is_whole, value))
    if not whole or value[0] < 1:
        return "expected two whole numbers of 1 or more, [fewest, most]"
    if value[0] > value[1]:
        return f"the numbers are the wrong way round; write [{value[1]}, {value[0]}]"
    return ""


def _filters(value: Any) -> str:
    """Check {name: [low, value, high]}."""
    for name, limits in value.items() if isinstance(value, Mapping) else [("", None)]:
        ok = isinstance(limits, list) and len(limits) == 3 and all(map(is_number, limits))
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
    "NAME": Key("", check_text),  # the folder below ROOT_DIR; may hold slashes
    "DESC": Key("", check_text),
    "ROOT_DIR": Key("", check_text),  # "": studies
    "SWEEP_CFG_FILE": Key("", check_text),  # no effect
    "NUM_PROC": Key(0, count_from(0)),  # no effect on the result: one process is enough
    "SETUP": {
        "NUM_CONFIGS": Key(0, count_from(0, MOST_NETWORKS)),  # 0: all of POPULATION or CONFIGS
        "NUM_SAMPLES": Key(1_000_000, count_from(1)),  # give up after so many draws
        "RNG_SEED": Key(0, count_from(0)),
        "CHUNK_SIZE": Key(5000, count_from(1)),  # no effect on the result
        "BASE_CFG": Key({}, check_mapping),
        "SAMPLERS": Key({}, _samplers),
        "POPULATION": Key("", check_text),  # a CSV of architectures, one a run
        "CONFIGS": Key([], _configs),  # hand-written configurations over BASE_CFG, one a run
        "CONSTRAINTS": {
            "CX": {name: Key([0, 0], _range) for name in ("FLOPS", "PARAMS", "ACTS")},
            "REGNET": {"NUM_STAGES": Key(DEFAULT_STAGES, _stages)},
            "EXPRESSIONS": Key([], check_texts),
        },
    },
    "LAUNCH": LAUNCH_KEYS,
    "COLLECT": {"CHECKPOINTS_KEEP": Key("last", one_of("all", "last", "none"))},
    "ANALYZE": {
        "METRICS": Key([], check_texts),
        "COMPLEXITY": Key(["flops", "params", "acts"], check_texts),
        "EXTRA_SWEEP_NAMES": Key([], check_texts),
        "PLOT_METRIC_VALUES": Key(True, check_flag),
        "PLOT_METRIC_TRENDS": Key(True, check_flag),
        "PLOT_COMPLEXITY_VALUES": Key(True, check_flag),
        "PLOT_COMPLEXITY_TRENDS": Key(True, check_flag),
        "PLOT_CURVES_BEST": Key(0, count_from(0)),
        "PLOT_CURVES_WORST": Key(0, count_from(0)),
        "PLOT_MODELS_BEST": Key(0, count_from(0)),
        "PLOT_MODELS_WORST": Key(0, count_from(0)),
        "PRE_FILTERS": Key({}, _filters),
        "SPLIT_FILTERS": Key({}, _split_filters),
    },
}

# Of these, single keys can be given on the command line.
FREE_SECTIONS = ("SETUP.BASE_CFG.",)
