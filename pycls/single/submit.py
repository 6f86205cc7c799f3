"""The submission of a single training or test, and the wait for what its run's record says."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yacs.config import CfgNode

from pycls.core.config.load import cfg_hash, cfg_to_dict, dump_cfg, layer_cfg
from pycls.core.inputs import find_missing, open_side
from pycls.core.runs.record import read_record
from pycls.errors import ConfigError, DataError, RunError
from pycls.launch.snapshot import pack_snapshot, snapshot_code
from pycls.schema import LOG_FILE
from pycls.single.modes import EXECUTORS
from pycls.slurm.batch_script import environment_lines, python_in_script, shares
from pycls.slurm.client import Slurm
from pycls.slurm.commands import SlurmUnreachableError, refusal, submission_environment
from pycls.slurm.options import LAUNCH_KEYS, SECTION, LaunchOptions, read_options

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job

FOLDER = "submitit"
_POLL_S = 5.0
# For so long another machine's last words may not be seen here yet.
_SETTLING_S = 10.0
_OFTEN = 1_000_000  # the run's own record says when it is done, not a count of time-outs


def submit(cfg: CfgNode, task: str) -> dict[str, Any] | None:
    """Submit a training or test as LAUNCH.MODE says, and wait where it is to be waited for.

    Each job has a folder, `OUT_DIR/submitit/JOB`, with its script, its output and submitit's files.

    Args:
        cfg: the configuration; LAUNCH.MODE is one of EXECUTORS.
        task: "train" or "test".

    Returns:
        The record of a training that was waited for (LAUNCH.WAIT, or not on Slurm), or that had
        ended before; else None.

    Raises:
        ConfigError: the job cannot be as LAUNCH says, or a job has the run already.
        DataError: data or first weights are missing.
        SlurmError: there is no Slurm, or it refuses.
        RunError: what was waited for failed, or is gone.
    """
    cluster = EXECUTORS[cfg.LAUNCH.MODE]
    options = _options(cfg)
    folder = _folder(cfg)
    _require_inputs(cfg, task)
    before = read_record(cfg.OUT_DIR) or {}
    if task == "train" and _is_done(cfg, before):
        return before
    slurm = Slurm() if cluster == "slurm" else None
    if slurm is not None:
        slurm.check_request(options)
        _require_no_job(folder, slurm, cfg)
    if cluster != "debug":
        # It has no terminal, and the log is where results are read from.
        cfg = layer_cfg([("configuration", cfg_to_dict(cfg))], ["LOG_DEST", "file"])
    try:
        return _carry_out(cfg, task, cluster, options, folder, slurm, before)
    finally:
        with contextlib.suppress(OSError):
            (folder / "%j").rmdir()  # submitit's, of no job


def _carry_out(
    cfg: CfgNode, task: str, cluster: str, options: LaunchOptions, folder: Path,
    slurm: Slurm | None, before: dict[str, Any],
) -> dict[str, Any] | None:  # fmt: skip
    job = _submit(cfg, task, cluster, options, folder)
    if cluster == "debug":
        error = job.exception()
        if error is not None:
            raise error
        return read_record(cfg.OUT_DIR) if task == "train" else None
    print(_submitted(cfg, task, job), flush=True)
    if slurm is not None and not (cfg.LAUNCH.WAIT and task == "train"):
        return None
    return _wait(cfg, task, job, slurm, before)


def _options(cfg: CfgNode) -> LaunchOptions:
    """Return the LAUNCH keys of a configuration as those of a launch, with its defaults."""
    given = {key: value for key, value in cfg.LAUNCH.items() if key in LAUNCH_KEYS}
    given.pop("MODE")
    given["GPUS_PER_NODE"] = cfg.MAX_GPUS_PER_NODE
    given["NUM_GPUS"] = cfg.NUM_GPUS
    if cfg.DEVICE == "cpu":
        processes = max(1, cfg.NUM_GPUS)
        given["NUM_GPUS"] = 0
        given["CPUS_PER_GPU"] *= processes
        given["MEM_PER_GPU"] *= processes
    return read_options(given, lambda *keys: ".".join(map(str, keys)), name=SECTION)


def _folder(cfg: CfgNode) -> Path:
    """Return where jobs have their folders; submitit and sbatch read some characters as theirs."""
    folder = Path(cfg.OUT_DIR).absolute() / FOLDER
    if not str(folder).isprintable() or "%" in str(folder) or "\\" in str(folder):
        raise ConfigError(
            f"OUT_DIR {cfg.OUT_DIR!r}: a job's files cannot be in a folder with %, a backslash or "
            "a control character in its path; choose another"
        )
    return folder


def _require_inputs(cfg: CfgNode, task: str) -> None:
    if task == "train":
        missing = find_missing(cfg, "configuration")
        if missing:
            raise DataError(f"nothing was submitted: {'; '.join(missing)}")
        return
    open_side(cfg, "TEST")
    if not cfg.TEST.WEIGHTS:
        raise ConfigError("TEST.WEIGHTS is empty; name a checkpoint")


def _is_done(cfg: CfgNode, record: dict[str, Any]) -> bool:
    log = Path(cfg.OUT_DIR) / LOG_FILE
    return (
        record.get("status") == "done" and record.get("config_hash") == cfg_hash(cfg)
    ) and log.is_file()


def _require_no_job(folder: Path, slurm: Slurm, cfg: CfgNode) -> None:
    """Refuse to submit a second job for a folder; each has a folder named after its number."""
    queue = {job.job_name: job.state for job in slurm.jobs()}
    places = folder.iterdir() if folder.is_dir() else ()
    for place in places:
        if place.name in queue:
            raise ConfigError(
                f"job {place.name} has OUT_DIR {cfg.OUT_DIR} ({queue[place.name].lower()}), so "
                f"nothing was submitted; 'scancel {place.name}' takes it out of the queue"
            )


def _submit(
    cfg: CfgNode, task: str, cluster: str, options: LaunchOptions, folder: Path
) -> "Job[Any]":
    import submitit

    from pycls.single.job import SingleJob

    code = snapshot_code(folder / "code") if cluster != "debug" else None
    if code is not None and options.environment:
        pack_snapshot(code)
    given = {"slurm_python": python_in_script(options)} if cluster == "slurm" else {}
    executor = submitit.AutoExecutor(
        folder / "%j", cluster=cluster, slurm_max_num_timeout=_OFTEN, local_max_num_timeout=_OFTEN,
        **given,
    )  # fmt: skip
    _give_parameters(executor, cfg, options, code)
    out_dir = str(Path(cfg.OUT_DIR).absolute()) if task == "train" else ""
    call = SingleJob(task, dump_cfg(cfg), out_dir, cluster, 60.0 * options.time_limit)
    with _environment(options, code):
        try:
            return executor.submit(call)
        except submitit.core.utils.FailedJobError as error:
            said = re.sub(r"(?m)^sbatch: (?:error: )?", "", str(error)).strip()
            raise refusal("; ".join(said.splitlines()[-3:])) from error


def _give_parameters(
    executor: "AutoExecutor", cfg: CfgNode, options: LaunchOptions, code: Path | None
) -> None:
    launch = cfg.LAUNCH
    mail = {"mail_user": launch.EMAIL, "mail_type": "END,FAIL"} if launch.EMAIL else {}
    named = {
        "partition": options.partition, "account": options.account, "qos": options.qos,
        "constraint": options.gpu_type, "gres": options.gres, "comment": options.comment, **mail,
    }  # fmt: skip
    asked = shares(options)
    of_slurm = {
        **{name: value for name, value in {**asked, **named}.items() if value},
        "signal_delay_s": options.signal_before_s,
        "setup": [*options.setup, *environment_lines(options, code)],
        # srun does not take it from the job.
        "srun_args": [f"--cpus-per-task={asked['cpus_per_task']}"],
        "additional_parameters": {"requeue": True},
    }
    executor.update_parameters(
        name=launch.NAME,
        timeout_min=options.time_limit,
        gpus_per_node=options.gpus_of_node,
        **{f"slurm_{name}": value for name, value in of_slurm.items()},
    )


@contextlib.contextmanager
def _environment(options: LaunchOptions, code: Path | None) -> Iterator[None]:
    """Have what is submitted meanwhile find the code, and nothing stand above what is asked."""
    before = dict(os.environ)
    text = "\n".join(f"#SBATCH --{name}" for name in options.given_to_sbatch)
    for name in set(before) - set(submission_environment(before, text)):
        del os.environ[name]
    if code is not None:
        paths = [str(code), before.get("PYTHONPATH", "")]
        os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONSAFEPATH": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _submitted(cfg: CfgNode, task: str, job: "Job[Any]") -> str:
    if task == "test":
        return f"submitted as job {job.job_id}; what it prints: {job.paths.stdout}"
    return (
        f"submitted as job {job.job_id}; its log: {Path(cfg.OUT_DIR) / LOG_FILE}, its output: "
        f"{job.paths.stdout} and .err; how it ended stands in {Path(cfg.OUT_DIR) / 'run.json'}"
    )


def _wait(
    cfg: CfgNode, task: str, job: "Job[Any]", slurm: Slurm | None, before: dict[str, Any]
) -> dict[str, Any] | None:
    """Wait for the end of a run by its record, and no longer than there is a job for it."""
    gone_since = None
    while True:
        record = read_record(cfg.OUT_DIR) or {}
        is_new = task == "train" and record != before
        is_done = is_new and record.get("status") == "done"
        if is_done and slurm is not None:
            return record
        is_there = _is_there(job, slurm)
        if is_done and not is_there:
            return record
        if is_new and record.get("status") == "failed" and not is_there:
            raise RunError(f"job {job.job_id} failed: {record.get('reason')}; {job.paths.stderr}")
        if is_there:
            gone_since = None
        elif task == "test":
            print(job.stdout(), end="")
            return None
        else:
            gone_since = gone_since or time.monotonic()
            if slurm is None or time.monotonic() - gone_since > _SETTLING_S:
                said = record.get("reason") or "its run has not begun"
                raise RunError(
                    f"job {job.job_id} is gone before its run was done ({said}); what it printed: "
                    f"{job.paths.stderr}; the same command goes on where it was"
                )
        time.sleep(0.2 if slurm is None else _POLL_S if is_there else 1.0)


def _is_there(job: "Job[Any]", slurm: Slurm | None) -> bool:
    if slurm is None:
        return not job.done()
    try:
        return job.job_id in {each.job_name for each in slurm.jobs()}
    except SlurmUnreachableError:
        return True  # nobody knows, and it may come back
