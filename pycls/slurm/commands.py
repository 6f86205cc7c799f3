"""Calls of Slurm's commands: their environment, their time, and what their failures mean."""

import os
import re
import subprocess
import time
from collections.abc import Mapping

from pycls.errors import PyclsError
from pycls.slurm.options import OWN_SBATCH, SITE_SBATCH

# Slurm's commands try by themselves for MessageTimeout, 10 to 100 seconds. sbatch also waits for
# room in the queue, two minutes.
_TIMEOUT_S = 120.0
_SBATCH_TIMEOUT_S = 300.0
_PAUSE_S = 1.0

_NO_CONNECTION = ("(connect failure)", "Connection refused", "No route to host")
_NO_ANSWER = (
    *_NO_CONNECTION, "Unable to contact slurm controller", "timed out", "Zero Bytes were",
    "Unexpected message received", "Unspecified error", "Communication connection failure",
    "Transport endpoint is not connected", "Connection reset", "in standby mode",
)  # fmt: skip
_HINTS = (
    (r"Invalid account|account/partition", "set LAUNCH.ACCOUNT ('sacctmgr show associations "
     "user=$USER' lists yours), or another LAUNCH.PARTITION"),
    (r"Invalid qos", "set LAUNCH.QOS ('sacctmgr show qos' lists them)"),
    (r"Memory specification", "no node has so much; set LAUNCH.MEM_PER_GPU lower (0: not asked "
     "for)"),
    (r"node configuration is not available", "no node of the partition has what a job asks for; "
     "look at LAUNCH.NUM_GPUS, GPUS_PER_NODE, CPUS_PER_GPU, MEM_PER_GPU and GPU_TYPE ('sinfo -o "
     "\"%P %c %m %G %f\"' tells what nodes have)"),
    (r"Invalid feature", "set LAUNCH.GPU_TYPE to a feature of the nodes ('sinfo -o \"%P %f\"'), "
     "or to \"\""),
    (r"generic resource", "set LAUNCH.GRES as this cluster calls its GPUs ('sinfo -o \"%P %G\"'), "
     "or LAUNCH.NUM_GPUS 0 for jobs on CPUs"),
    (r"time limit is invalid", "set LAUNCH.TIME_LIMIT, in minutes, lower"),
    (r"MaxSubmitJob|MaxJobs|QOS policy|queue full|temporarily unable",
     "there are too many jobs in the queue; set LAUNCH.MAX_JOBS to what you may have there"),
    (r"job array specification", "set LAUNCH.MAX_JOBS to the array size that is allowed"),
    (r"[Rr]eservation", "look at LAUNCH.SBATCH"),
)  # fmt: skip
_FULL = re.compile(r"MaxSubmitJob|queue full|temporarily unable")

# sbatch's variables stand above what a script says.
_IN_A_SCRIPT = re.compile(r"^#SBATCH --([a-z0-9-]+)", re.MULTILINE)
_VARIABLES = {"array": "ARRAY_INX", "mem": "MEM_PER_NODE", "time": "TIMELIMIT"}
_OF_ALL_COMMANDS = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
_GPUS_OF_A_JOB = (
    "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
)  # fmt: skip
# How a user likes to see queues and nodes, and what would hide some of them.
_VIEWS = re.compile(r"(SQUEUE|SINFO|SACCT|SCANCEL|SCONTROL)_|SLURM_(TIME_FORMAT|BITSTR_LEN)$")


class SlurmError(PyclsError):
    """A command of Slurm that failed.

    Attributes:
        said: what it wrote to standard error.
    """

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


class SlurmUnreachableError(SlurmError):
    """The controller does not answer."""


class SubmissionRefusedError(SlurmError):
    """A job that was surely not submitted.

    Attributes:
        is_full: whether the queue had no room for it, so that it may be taken later.
    """

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message, said)
        self.is_full = _FULL.search(said) is not None


class SubmissionUnknownError(SlurmError):
    """A job that may have been submitted or not: the queue, looked at later, tells by its name."""


def ask(command: str, *arguments: str, patience_s: float) -> str:
    """Return what a command of Slurm prints; tried again, while nobody answers, for `patience_s`.

    Raises:
        SlurmUnreachableError: the controller does not answer.
        SlurmError: it failed for another reason.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            done = _run([command, *arguments], query_environment(os.environ), _TIMEOUT_S)
        except subprocess.TimeoutExpired:
            said = f"no answer in {_TIMEOUT_S:.0f} s"
            is_silence = True
        else:
            if done.returncode == 0:
                return done.stdout
            said = _words(done)
            is_silence = any(text in said for text in _NO_ANSWER)
        if not is_silence:
            raise SlurmError(f"{command} failed: {said}", said)
        _pause(deadline, command, said, "try again")


def sbatch(script: str, text: str, patience_s: float) -> int:
    """Submit a script, of which `text` is the content, once; return the job's number.

    It is tried again for `patience_s` seconds while the controller cannot be reached.

    Raises:
        SubmissionRefusedError: sbatch says that it cannot be.
        SlurmUnreachableError: nothing was submitted, as the controller cannot be reached.
        SubmissionUnknownError: it may have been submitted.
    """
    deadline = time.monotonic() + patience_s
    environment = submission_environment(os.environ, text)
    while True:
        try:
            done = _run(["sbatch", "--parsable", script], environment, _SBATCH_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise _unknown(f"sbatch gave no answer in {_SBATCH_TIMEOUT_S:.0f} s") from None
        said = _words(done)
        if done.returncode == 0:
            answer = done.stdout.strip().splitlines()[-1:] or [""]
            number = answer[0].split(";")[0]
            if number.isdigit():
                return int(number)
            raise _unknown(f"sbatch answered {answer[0]!r}")
        if not any(text in said for text in _NO_ANSWER):
            raise refusal(said)
        if not any(text in said for text in _NO_CONNECTION):
            raise _unknown(f"sbatch: {said}")
        _pause(deadline, "sbatch", said, "nothing was submitted; give the same command again")


def _pause(deadline: float, command: str, said: str, advice: str) -> None:
    """Wait a moment for the controller, or give up when it is time."""
    if time.monotonic() >= deadline:
        raise SlurmUnreachableError(
            f"Slurm's controller does not answer ({command}: {said}); {advice} in a while, and "
            "look at 'scontrol ping'",
            said,
        )
    time.sleep(_PAUSE_S)


def refusal(said: str) -> SubmissionRefusedError:
    """Return the error that sbatch's words are, with the keys to look at."""
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said)), "")
    return SubmissionRefusedError(f"sbatch refused: {said}{'; ' if hint else ''}{hint}", said)


def _unknown(what: str) -> SubmissionUnknownError:
    return SubmissionUnknownError(
        f"it is not known whether the jobs were submitted ({what}); give the same command again: "
        "it asks Slurm first, and submits what is missing",
        what,
    )


def _run(
    words: list[str], environment: Mapping[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            words, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=timeout_s,
            encoding="utf-8", errors="replace", env=environment,
        )  # fmt: skip
    except FileNotFoundError:
        raise SlurmError(f"there is no command {words[0]} on the PATH") from None


def _words(done: "subprocess.CompletedProcess[str]") -> str:
    """Return what a command said, in one line, without its own name before each."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    cleaned = [re.sub(r"^\w+: (error: )?", "", line).strip() for line in lines]
    return "; ".join(dict.fromkeys(filter(None, cleaned))) or f"exit code {done.returncode}"


def query_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Slurm's commands print what is expected, and all of it."""
    kept = {name: value for name, value in environ.items() if not _VIEWS.match(name)}
    return {**kept, "LC_ALL": "C"}


def submission_environment(environ: Mapping[str, str], script: str) -> dict[str, str]:
    """Return the environment that a script's text is submitted in, and that its jobs inherit.

    Left out: variables that would stand above what the script says, and, where this process is
    a job itself, what describes that job.
    """
    in_script = set(_IN_A_SCRIPT.findall(script))
    decided = in_script | {name for name in OWN_SBATCH if name not in SITE_SBATCH}
    dropped = {f"SBATCH_{_VARIABLES.get(n, n.upper().replace('-', '_'))}" for n in decided}
    if "SLURM_JOB_ID" in environ:
        dropped |= set(_GPUS_OF_A_JOB)
        dropped |= {n for n in environ if n.startswith("SLURM") and n not in _OF_ALL_COMMANDS}
    kept = {name: value for name, value in environ.items() if name not in dropped}
    if kept.get("PYTHONPATH"):
        # Each job puts its code before what it finds there; jobs that submit jobs add up.
        kept["PYTHONPATH"] = ":".join(dict.fromkeys(kept["PYTHONPATH"].split(":")))
    return kept
