"""How runs are launched: the LAUNCH keys of a sweep file, or of a study file's `launch`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pycls.errors import ConfigError
from pycls.sweep.sweep_cfg import merge_given, merge_overrides
from pycls.sweep.sweep_keys import KEYS, defaults

SECTION = "LAUNCH"
LARGEST_SIGNAL_BEFORE_S = 65_535  # sbatch's

# pycls's modes that train nothing, and the tools that do what they did there.
_OTHER_MODES = {
    "test": "tools/test_net.py tests a trained network",
    "time": "tools/time_net.py measures a network's speed",
    "scale": "tools/model_info.py --scale scales a network up",
    "info": "tools/model_info.py tells what a network costs",
}
_DEFAULT_SIGNAL_BEFORE_S = 120
_GPU_GRES = re.compile(r"(?:gres[/:])?gpu(?::[A-Za-z][^:=(]*)?(?:[:=](\d+))?(?:\(.*\))?")

Where = Callable[..., str]


def _key_name(*keys: str | int) -> str:
    return ".".join(map(str, keys))


@dataclass(frozen=True)
class LaunchOptions:
    """The LAUNCH keys; docs/formats.md says what each means.

    Attributes:
        mode: "train" or "slurm": on Slurm; "local": on this machine.
        num_gpus: GPUs of a run; 0: a CPU job.
        gpus_per_node: a run with more GPUs takes several nodes.
        runs_per_gpu: runs at once on one GPU, or in one CPU job.
        runs_per_job: runs of a job, or "auto".
        parallel_jobs: jobs of a launch that run at a time.
        max_jobs: jobs of a launch in the queue at a time; 0: what the cluster allows.
        max_retry: how often a failed run is tried again.
        time_limit: of a job, in minutes.
        signal_before: seconds before the limit at which a job is told, or "auto"; see
            :attr:`signal_before_s`.
        cpus_per_gpu: CPU cores for each GPU; of a CPU job: its cores.
        mem_per_gpu: GB for each GPU; of a CPU job: its memory; 0: not asked for.
        gpu_type: a constraint on nodes.
        gres: asked for in place of GPUs by their number.
        partition: where jobs go; "": the cluster's default.
        account: who pays.
        qos: quality of service.
        comment: goes with each job.
        setup: shell commands before Python starts.
        conda_env: folder of the environment whose Python runs the jobs.
        python: shell command in place of the interpreter.
        follow_up: whether a small job looks after the others.
        sbatch: further options of sbatch, {long name: value; True: without one}.
        where: names a key's place for a message, given ("LAUNCH", key).
    """

    mode: str
    num_gpus: int
    gpus_per_node: int
    runs_per_gpu: int
    runs_per_job: int | str
    parallel_jobs: int
    max_jobs: int
    max_retry: int
    time_limit: int
    signal_before: int | str
    cpus_per_gpu: int
    mem_per_gpu: float
    gpu_type: str
    gres: str
    partition: str
    account: str
    qos: str
    comment: str
    setup: Sequence[str]
    conda_env: str
    python: str
    follow_up: bool
    sbatch: Mapping[str, Any]
    where: Where = field(default=_key_name, compare=False, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether runs are trained on this machine, without Slurm."""
        return self.mode == "local"

    @property
    def nodes(self) -> int:
        """Number of nodes of a job."""
        return max(1, self.num_gpus // self.gpus_per_node)

    @property
    def gpus_of_node(self) -> int:
        """Number of GPUs that a job has on each of its nodes; 0: a CPU job."""
        return self.num_gpus // self.nodes

    @property
    def cpus_of_node(self) -> int:
        """Number of CPU cores that a job has on each of its nodes."""
        return self.cpus_per_gpu * max(1, self.gpus_of_node)

    @property
    def mem_of_node(self) -> float:
        """Memory that a job has on each of its nodes, in GB; 0: not asked for."""
        return self.mem_per_gpu * max(1, self.gpus_of_node)

    @property
    def signal_before_s(self) -> int:
        """How long before its time limit a job is told, in seconds.

        Unless it is given: 120, but no more than a quarter of the limit.
        """
        if isinstance(self.signal_before, int):
            return self.signal_before
        return min(_DEFAULT_SIGNAL_BEFORE_S, self.time_limit * 60 // 4)

    @property
    def run_overrides(self) -> list[str]:
        """Keys and values that a run's configuration gets beside its file."""
        return ["NUM_GPUS", str(self.num_gpus)] if self.num_gpus > 1 else []

    def to_dict(self) -> dict[str, Any]:
        """Return {key as in a file: value} that :meth:`from_dict` and JSON take."""
        values = {name.upper(): getattr(self, name) for name in _names()}
        return {**values, "SETUP": list(self.setup), "SBATCH": dict(self.sbatch)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LaunchOptions":
        """Return the options that :meth:`to_dict` gave; keys that it lacks have their defaults.

        Raises:
            ConfigError: a key is unknown, or a value cannot be used.
        """
        return read_options(values, _key_name, together=False)


def _names() -> list[str]:
    return [f.name for f in fields(LaunchOptions) if f.name != "where"]


def read_options(
    section: Mapping[Any, Any],
    where: Where,
    *,
    name: str = SECTION,
    defaults_here: Mapping[str, Any] | None = None,
    together: bool = True,
) -> LaunchOptions:
    """Read a section of LAUNCH keys, every value checked.

    Args:
        section: what the file says.
        where: names a key's place for a message, given `name` and the key.
        name: what the section is called there.
        defaults_here: {key: default} where it is not that of a sweep file.
        together: whether to check that all go together; not where :func:`override` follows.

    Raises:
        ConfigError: names file, line, key, value and what was expected.
    """
    values = {**defaults()[SECTION], **(defaults_here or {})}
    merge_given(values, section, KEYS[SECTION], where, (name,))
    options = _make(values, lambda _, *keys: where(name, *keys))
    if together:
        check_options(options)
    return options


def override(options: LaunchOptions, words: Sequence[Any] = ()) -> LaunchOptions:
    """Return options with some keys changed, and check that all go together.

    Args:
        options: what a file says.
        words: keys and values in turn, as on a command line: ``["LAUNCH.PARTITION", "debug"]``.

    Raises:
        ConfigError: a key is unknown, a value cannot be used, or some contradict each other.
    """
    values = {SECTION: options.to_dict()}
    given = merge_overrides(values, words, {SECTION: KEYS[SECTION]})

    def where(*keys: str | int) -> str:
        key = _key_name(*keys)
        return f"command line: {key}" if key in given else options.where(*keys)

    changed = _make(values[SECTION], where)
    check_options(changed)
    return changed


def _make(values: Mapping[str, Any], where: Where) -> LaunchOptions:
    return LaunchOptions(**{name: values[name.upper()] for name in _names()}, where=where)


def check_options(options: LaunchOptions) -> None:
    """Check that a launch can be made with these options: what single keys do not show.

    Raises:
        ConfigError: names the keys that contradict each other, and what to do.
    """
    _check_mode(options)
    _check_size(options)
    _check_signal(options)
    if options.conda_env and options.python:
        raise ConfigError(
            f"{_place(options, 'PYTHON')}: CONDA_ENV and PYTHON both say which Python runs the "
            'jobs; set one of them to ""'
        )
    gpus = gpus_of_gres(options.gres)
    if gpus is not None and gpus != options.gpus_of_node:
        raise ConfigError(
            f"{_place(options, 'GRES')} is '{options.gres}', {gpus} GPUs a node, but NUM_GPUS "
            f"{options.num_gpus} with GPUS_PER_NODE {options.gpus_per_node} means "
            f"{options.gpus_of_node} a node; make them the same"
        )


def gpus_of_gres(gres: str) -> int | None:
    """Return the GPUs that a GRES asks for on each node; None where it does not speak of any."""
    found = [_GPU_GRES.fullmatch(part.strip()) for part in re.split(r",(?![^(]*\))", gres)]
    counts = [int(match[1] or 1) for match in found if match]
    return sum(counts) if counts else None


def _place(options: LaunchOptions, key: str) -> str:
    return options.where(SECTION, key)


def _check_mode(options: LaunchOptions) -> None:
    if options.mode in _OTHER_MODES:
        raise ConfigError(
            f"{_place(options, 'MODE')} is '{options.mode}', which trains nothing, so it is not "
            f"launched here: {_OTHER_MODES[options.mode]}; to train, set it to train (on Slurm) "
            "or local (on this machine)"
        )


def _check_size(options: LaunchOptions) -> None:
    """Check GPUs and runs of a job."""
    if options.num_gpus > options.gpus_per_node and options.num_gpus % options.gpus_per_node:
        raise ConfigError(
            f"{_place(options, 'NUM_GPUS')} is {options.num_gpus}; more than GPUS_PER_NODE, "
            f"{options.gpus_per_node}, take several nodes and must be a multiple of it"
        )
    if options.runs_per_gpu > 1 and options.num_gpus > 1:
        raise ConfigError(
            f"{_place(options, 'RUNS_PER_GPU')} is {options.runs_per_gpu}, but each run has "
            f"{options.num_gpus} GPUs of its own (NUM_GPUS); expected 1"
        )
    if options.nodes > 1 and options.runs_per_job not in ("auto", 1):
        raise ConfigError(
            f"{_place(options, 'RUNS_PER_JOB')} is {options.runs_per_job}, but a run that takes "
            f"{options.nodes} nodes is a job of its own; expected 1 or auto"
        )


def _check_signal(options: LaunchOptions) -> None:
    limit_s = options.time_limit * 60
    if options.signal_before_s * 2 >= limit_s:
        raise ConfigError(
            f"{_place(options, 'SIGNAL_BEFORE')} is {options.signal_before} seconds; expected "
            f"less than half of the time limit (TIME_LIMIT {options.time_limit} minutes), so "
            f"at most {(limit_s - 1) // 2}, or auto"
        )
    if options.signal_before_s > LARGEST_SIGNAL_BEFORE_S:
        raise ConfigError(
            f"{_place(options, 'SIGNAL_BEFORE')} is {options.signal_before} seconds; expected at "
            f"most {LARGEST_SIGNAL_BEFORE_S}, the most that sbatch takes"
        )
