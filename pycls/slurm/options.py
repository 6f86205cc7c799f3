"""The LAUNCH keys of a sweep file, or of `launch` in a study file: how runs are launched."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from pycls.checked_keys import (
    Check,
    Key,
    check_amount,
    check_auto_or_count,
    check_flag,
    check_line,
    count_from,
    defaults_of,
    is_number,
    merge_given,
    merge_overrides,
    one_of,
)
from pycls.errors import ConfigError

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
_FOLLOW_UP_MINUTES, _FOLLOW_UP_GB = 60, 4
_GPU_GRES = re.compile(r"(?:gres[/:])?gpu(?::[A-Za-z][^:=(]*)?(?:[:=](\d+))?(?:\(.*\))?")

Where = Callable[..., str]

# D-HH:MM:SS or HH:MM:SS, as Slurm writes it.
_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d+)(?::(\d+))?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhd])(?:in|ec|ours?|ays?)?", re.IGNORECASE)
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt])(?:i?b)?", re.IGNORECASE)


def _key_name(*keys: str | int) -> str:
    return ".".join(map(str, keys))


def _is_scalar(value: Any) -> bool:
    return is_number(value) or not check_line(value)


def _commands(value: Any) -> str:
    if not isinstance(value, list) or any(check_line(command) for command in value):
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


def _minutes(value: Any) -> str:
    """Check a time limit, and say what a time in Slurm's notation is in minutes."""
    problem = count_from(1)(value)
    if not problem:
        return ""
    found = _TIME.fullmatch(str(value))
    hint = ""
    if found and found[0]:
        days, *rest = (int(part or 0) for part in found.groups())
        hours, minutes, seconds = rest
        total = max(1, -(-(days * 86400 + hours * 3600 + minutes * 60 + seconds) // 60))
        hint = f"; write {total}"
    elif found := _DURATION.fullmatch(str(value)):
        each = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}[found[2].lower()]
        hint = f"; write {max(1, math.ceil(float(found[1]) * each))}"
    return f"{problem}, in minutes{hint}"


def _gigabytes(value: Any) -> str:
    """Check an amount of memory, and say what one with a unit is in gigabytes."""
    problem = check_amount(value)
    if not problem:
        return ""
    found = _MEMORY.fullmatch(str(value))
    hint = ""
    if found:
        power = {"k": -2, "m": -1, "g": 0, "t": 1}[found[2].lower()]
        hint = f"; write {float(found[1]) * 1024**power:g}"
    return f"{problem}, in gigabytes{hint}"


def _declare(
    default: Any,
    check: Check,
    mixed: bool = False,
    *,
    sbatch: str = "",
    unit: str = "",
    from_site: bool = False,
) -> Any:
    """Declare a key: the field of its value.

    Args:
        default: see :class:`~pycls.checked_keys.Key`, as for the next two.
        check: what is wrong with a value.
        mixed: whether a word of a command line is YAML although the default is a text.
        sbatch: the option of sbatch, by its long name, whose value this is; "": none.
        unit: of the value, where that is not what the option's name says.
        from_site: whether the option's SBATCH_ variable, which a site or a user may have set,
            holds where the key is empty.
    """
    metadata = {"key": Key(default, check, mixed), "sbatch": sbatch, "from_site": from_site}
    return field(metadata={**metadata, "unit": f", in {unit}" if unit else ""})


@dataclass(frozen=True)
class LaunchOptions:
    """The LAUNCH keys, each declared here and nowhere else; docs/formats.md says what each means.

    Attributes:
        where: names a key's place for a message, given ("LAUNCH", key).
    """

    # "train" or "slurm": on Slurm; "local": on this machine
    mode: str = _declare(
        "train", one_of("train", "test", "time", "scale", "info", "slurm", "local")
    )
    num_gpus: int = _declare(1, count_from(0))  # GPUs of a run; 0: a CPU job
    gpus_per_node: int = _declare(8, count_from(1))  # a run with more GPUs takes several nodes
    runs_per_gpu: int = _declare(1, count_from(1))  # runs at once on one GPU, or in one CPU job
    # runs of a job, or "auto"
    runs_per_job: int | str = _declare("auto", check_auto_or_count, mixed=True)
    parallel_jobs: int = _declare(128, count_from(1))  # jobs of a launch that run at a time
    # jobs of a launch in the queue at a time; 0: what the cluster allows
    max_jobs: int = _declare(0, count_from(0))
    max_retry: int = _declare(3, count_from(0))  # how often a failed run is tried again
    time_limit: int = _declare(4200, _minutes, sbatch="time", unit="minutes")  # of a job
    # seconds before the limit at which a job gets a signal, or "auto"; see :attr:`signal_before_s`
    signal_before: int | str = _declare("auto", check_auto_or_count, mixed=True)
    # CPU cores for each GPU; of a CPU job: its cores
    cpus_per_gpu: int = _declare(10, count_from(1))
    # GB for each GPU; of a CPU job: its memory; 0: not asked for
    mem_per_gpu: float = _declare(60, _gigabytes)
    # a feature that nodes must have
    gpu_type: str = _declare("", check_line, sbatch="constraint", from_site=True)
    gres: str = _declare("", check_line, sbatch="gres")  # in place of GPUs by their number
    # where jobs go; "": the cluster's default
    partition: str = _declare("", check_line, sbatch="partition", from_site=True)
    account: str = _declare("", check_line, sbatch="account", from_site=True)  # who pays
    qos: str = _declare("", check_line, sbatch="qos", from_site=True)  # quality of service
    comment: str = _declare("", check_line, sbatch="comment")  # goes with each job
    setup: Sequence[str] = _declare([], _commands)  # shell commands before Python starts
    # folder of the environment whose Python runs the jobs
    conda_env: str = _declare("", check_line)
    python: str = _declare("", check_line)  # shell command in place of the interpreter
    # a folder of the node's own disk for copies of prepared sets; with variables, as $TMPDIR
    stage: str = _declare("", check_line)
    # an archive (tar) of the environment, unpacked once on each node's own disk
    environment: str = _declare("", check_line)
    # seconds before a job that met a fault of the storage starts again; the second time four times
    retry_delay: int = _declare(120, count_from(0))
    # how long a run may go through no batch, at least, before it is ended; 0: for ever
    hang_minutes: float = _declare(10, check_amount)
    follow_up: bool = _declare(True, check_flag)  # whether a small job looks after the others
    # that job's own; "" and 0: as those of the others, at most 4 GB and 60 minutes
    follow_up_partition: str = _declare("", check_line)
    follow_up_qos: str = _declare("", check_line)
    follow_up_mem: float = _declare(0, _gigabytes)
    follow_up_time: int = _declare(0, count_from(0))
    # further options of sbatch, {long name: value; True: without one}
    sbatch: Mapping[str, Any] = _declare({}, _sbatch_options)
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
        """How long before its time limit a job gets its signal, in seconds.

        Unless it is given: 120, but no more than a quarter of the limit.
        """
        if isinstance(self.signal_before, int):
            return self.signal_before
        return min(_DEFAULT_SIGNAL_BEFORE_S, self.time_limit * 60 // 4)

    @property
    def of_follow_up(self) -> "LaunchOptions":
        """The options of the job that looks after the others, which needs little."""

        def where(*keys: str | int) -> str:
            own = {"PARTITION": "FOLLOW_UP_PARTITION", "TIME_LIMIT": "FOLLOW_UP_TIME"}
            name = own.get(str(keys[-1]), "")
            is_own = bool(name and getattr(self, name.lower()))
            return self.where(*keys[:-1], name if is_own else keys[-1])

        return replace(
            self, num_gpus=0, runs_per_gpu=1, cpus_per_gpu=1, gpu_type="", gres="",
            signal_before="auto",
            mem_per_gpu=self.follow_up_mem or min(self.mem_per_gpu, _FOLLOW_UP_GB),
            time_limit=self.follow_up_time or min(self.time_limit, _FOLLOW_UP_MINUTES),
            partition=self.follow_up_partition or self.partition,
            qos=self.follow_up_qos or self.qos,
            sbatch={k: value for k, value in self.sbatch.items() if k != "exclusive"},
            where=where,
        )  # fmt: skip

    @property
    def run_overrides(self) -> list[str]:
        """Keys and values that a run's configuration gets beside its file.

        What is launched has no terminal, and its results are read from its log: that is in the
        run's folder, whatever LOG_DEST says.
        """
        gpus = ["NUM_GPUS", str(self.num_gpus)] if self.num_gpus > 1 else []
        return ["LOG_DEST", "file", *gpus]

    @property
    def given_to_sbatch(self) -> dict[str, Any]:
        """Options of sbatch, by their long names, that single keys give; without empty ones."""
        given = {f.metadata["sbatch"]: getattr(self, f.name) for f in _GIVEN_TO_SBATCH}
        return {name: value for name, value in given.items() if value != ""}

    def to_dict(self) -> dict[str, Any]:
        """Return {key as in a file: value} that :meth:`from_dict` and JSON take."""
        values = {key: getattr(self, key.lower()) for key in LAUNCH_KEYS}
        return {**values, "SETUP": list(self.setup), "SBATCH": dict(self.sbatch)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LaunchOptions":
        """Return the options that :meth:`to_dict` gave; keys that it lacks have their defaults.

        Raises:
            ConfigError: a key is unknown, or a value cannot be used.
        """
        return read_options(values, _key_name, together=False)


# {key as in a file: its default and check}
LAUNCH_KEYS: dict[str, Key] = {
    f.name.upper(): f.metadata["key"] for f in fields(LaunchOptions) if f.metadata
}

_GIVEN_TO_SBATCH = [f for f in fields(LaunchOptions) if f.metadata.get("sbatch")]
_SIZE = "it follows from NUM_GPUS, GPUS_PER_NODE, CPUS_PER_GPU and MEM_PER_GPU (or give GRES)"
_FIXED = "how jobs are run depends on it, so it cannot be changed"
# Options of sbatch that other keys of LAUNCH, or the launcher itself, decide.
OWN_SBATCH: dict[str, str] = {
    **{
        f.metadata["sbatch"]: f"give {f.name.upper()}{f.metadata['unit']}"
        for f in _GIVEN_TO_SBATCH
    },
    "signal": "give SIGNAL_BEFORE, in seconds",
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
# Those of them whose SBATCH_ variables are the site's or the user's to set.
SITE_SBATCH = [f.metadata["sbatch"] for f in _GIVEN_TO_SBATCH if f.metadata["from_site"]]


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
    values = {**defaults_of(LAUNCH_KEYS), **(defaults_here or {})}
    merge_given(values, section, LAUNCH_KEYS, where, (name,))
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
    given = merge_overrides(values, words, {SECTION: LAUNCH_KEYS})

    def where(*keys: str | int) -> str:
        key = _key_name(*keys)
        return f"command line: {key}" if key in given else options.where(*keys)

    changed = _make(values[SECTION], where)
    check_options(changed)
    return changed


def _make(values: Mapping[str, Any], where: Where) -> LaunchOptions:
    return LaunchOptions(**{key.lower(): values[key] for key in LAUNCH_KEYS}, where=where)


def check_options(options: LaunchOptions) -> None:
    """Check that a launch can be made with these options: what single keys do not show.

    Raises:
        ConfigError: names the keys that contradict each other, and what to do.
    """
    for problem in _contradictions(options):
        raise ConfigError(problem)


def gpus_of_gres(gres: str) -> int | None:
    """Return the GPUs that a GRES asks for on each node; None where it does not speak of any."""
    found = [_GPU_GRES.fullmatch(part.strip()) for part in re.split(r",(?![^(]*\))", gres)]
    counts = [int(match[1] or 1) for match in found if match]
    return sum(counts) if counts else None


def _contradictions(options: LaunchOptions) -> Iterator[str]:
    """Yield what is wrong with keys that do not go together."""
    place = partial(options.where, SECTION)
    if options.mode in _OTHER_MODES:
        yield (
            f"{place('MODE')} is '{options.mode}', which trains nothing, so it is not "
            f"launched here: {_OTHER_MODES[options.mode]}; to train, set it to train (on Slurm) "
            "or local (on this machine)"
        )
    if options.num_gpus > options.gpus_per_node and options.num_gpus % options.gpus_per_node:
        yield (
            f"{place('NUM_GPUS')} is {options.num_gpus}; more than GPUS_PER_NODE, "
            f"{options.gpus_per_node}, take several nodes and must be a multiple of it"
        )
    if options.runs_per_gpu > 1 and options.num_gpus > 1:
        yield (
            f"{place('RUNS_PER_GPU')} is {options.runs_per_gpu}, but each run has "
            f"{options.num_gpus} GPUs of its own (NUM_GPUS); expected 1"
        )
    if options.nodes > 1 and options.runs_per_job not in ("auto", 1):
        yield (
            f"{place('RUNS_PER_JOB')} is {options.runs_per_job}, but a run that takes "
            f"{options.nodes} nodes is a job of its own; expected 1 or auto"
        )
    limit_s = options.time_limit * 60
    if options.signal_before_s * 2 >= limit_s:
        yield (
            f"{place('SIGNAL_BEFORE')} is {options.signal_before} seconds; expected "
            f"less than half of the time limit (TIME_LIMIT {options.time_limit} minutes), so "
            f"at most {(limit_s - 1) // 2}, or auto"
        )
    if options.signal_before_s > LARGEST_SIGNAL_BEFORE_S:
        yield (
            f"{place('SIGNAL_BEFORE')} is {options.signal_before} seconds; expected at "
            f"most {LARGEST_SIGNAL_BEFORE_S}, the most that sbatch takes"
        )
    if options.environment and options.python:
        yield (
            f"{place('ENVIRONMENT')}: ENVIRONMENT and PYTHON both say which Python runs the jobs; "
            'set one of them to ""'
        )
    if options.conda_env and options.python:
        yield (
            f"{place('PYTHON')}: CONDA_ENV and PYTHON both say which Python runs the "
            'jobs; set one of them to ""'
        )
    gpus = gpus_of_gres(options.gres)
    if gpus is not None and gpus != options.gpus_of_node:
        yield (
            f"{place('GRES')} is '{options.gres}', {gpus} GPUs a node, but NUM_GPUS "
            f"{options.num_gpus} with GPUS_PER_NODE {options.gpus_per_node} means "
            f"{options.gpus_of_node} a node; make them the same"
        )
