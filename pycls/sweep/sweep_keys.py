"""Every key of a sweep file with its default and what it may be (defaults: pycls 5719de6).

pycls's defaults of LAUNCH.PARTITION ("learnfair") and LAUNCH.GPU_TYPE ("volta") name the cluster
it was written on; here they are "", the cluster's own partition and any GPU.
"""

import copy
import math
import re
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
        mixed: whether a word of a command line is YAML although the default is a text.
    """

    default: Any
    check: Check
    mixed: bool = False


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


def _auto_or_count(value: Any) -> str:
    problem = _count(1)(value)
    return f"{problem}, or auto" if problem and value != "auto" else ""


def _amount(value: Any) -> str:
    good = _is_number(value) and 0 <= value < math.inf
    return "" if good else "expected a number of 0 or more"


def _line(value: Any) -> str:
    """Check a text that goes into a batch script or a table: no line breaks or the like."""
    if not isinstance(value, str):
        return _text(value)
    return "" if value.isprintable() else "expected one line, without control characters"


def _commands(value: Any) -> str:
    if not isinstance(value, list) or any(_line(command) for command in value):
        return "expected a list of shell commands of one line each, such as [module load cuda]"
    if any(command.lstrip().startswith("#SBATCH") for command in value):
        return "options of sbatch are no commands; give them as LAUNCH.SBATCH"
    return ""


def _sbatch_options(value: Any) -> str:
    """Check {long name of an option of sbatch: its value}."""
    if not isinstance(value, Mapping):
        return "expected options of sbatch by name, such as {reservation: mine, exclusive: True}"
    for name, content in value.items():
        known = name.lstrip("-").replace("_", "-").lower() if isinstance(name, str) else ""
        if not re.fullmatch(r"[a-z][a-z0-9-]+", known):
            return f"{name!r} is no long name of an option of sbatch, such as reservation"
        # sbatch takes an option by the beginning of its name as well.
        ours = [option for option in OWN_SBATCH if option.startswith(known)]
        if ours:
            return f"{name} is not for SBATCH; {OWN_SBATCH[min(ours, key=len)]}"
        if known != name:
            return f"{name!r} is no long name of an option of sbatch; write {known}"
        if content is not True and (isinstance(content, bool) or not _is_scalar(content)):
            return f"{name} is {content!r}; expected a text, a number, or True for an option alone"
    return ""


def _is_scalar(value: Any) -> bool:
    return _is_number(value) or not _line(value)


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

_SIZE = "it follows from NUM_GPUS, GPUS_PER_NODE, CPUS_PER_GPU and MEM_PER_GPU (or give GRES)"
_FIXED = "how jobs are run depends on it, so it cannot be changed"
# Options of sbatch that other keys of LAUNCH, or the launcher itself, decide.
OWN_SBATCH: dict[str, str] = {
    "account": "give ACCOUNT", "comment": "give COMMENT", "constraint": "give GPU_TYPE",
    "gres": "give GRES", "partition": "give PARTITION", "qos": "give QOS",
    "time": "give TIME_LIMIT, in minutes", "signal": "give SIGNAL_BEFORE, in seconds",
    **dict.fromkeys(
        (
            "cpus-per-gpu", "cpus-per-task", "gpus", "gpus-per-node", "gpus-per-socket",
            "gpus-per-task", "mem", "mem-per-cpu", "mem-per-gpu", "nodes", "ntasks",
            "ntasks-per-core", "ntasks-per-gpu", "ntasks-per-node", "ntasks-per-socket",
        ),
        _SIZE,
    ),
    **dict.fromkeys(
        (
            "array", "chdir", "clusters", "dependency", "error", "help", "job-name",
            "no-requeue", "open-mode", "output", "parsable", "quiet", "requeue", "test-only",
            "usage", "verbose", "version", "wait", "wrap",
        ),
        _FIXED,
    ),
}  # fmt: skip

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
    "LAUNCH": {  # docs/formats.md says what each means
        "MODE": Key("train", _choice("train", "test", "time", "scale", "info", "slurm", "local")),
        "NUM_GPUS": Key(1, _count(0)),
        "GPUS_PER_NODE": Key(8, _count(1)),
        "RUNS_PER_GPU": Key(1, _count(1)),
        "RUNS_PER_JOB": Key("auto", _auto_or_count, mixed=True),
        "PARALLEL_JOBS": Key(128, _count(1)),
        "MAX_JOBS": Key(0, _count(0)),
        "MAX_RETRY": Key(3, _count(0)),
        "TIME_LIMIT": Key(4200, _count(1)),  # minutes
        "SIGNAL_BEFORE": Key("auto", _auto_or_count, mixed=True),  # seconds
        "CPUS_PER_GPU": Key(10, _count(1)),
        "MEM_PER_GPU": Key(60, _amount),  # GB
        "GPU_TYPE": Key("", _line),
        "GRES": Key("", _line),
        "PARTITION": Key("", _line),
        "ACCOUNT": Key("", _line),
        "QOS": Key("", _line),
        "COMMENT": Key("", _line),
        "SETUP": Key([], _commands),
        "CONDA_ENV": Key("", _line),
        "PYTHON": Key("", _line),
        "FOLLOW_UP": Key(True, _flag),
        "SBATCH": Key({}, _sbatch_options),
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
