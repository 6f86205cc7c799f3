"""The client of Slurm, by its own commands: limits, partitions, submission, queue, and ends."""

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from pycls.errors import ConfigError
from pycls.slurm.commands import SlurmError, SlurmUnreachableError, ask, sbatch
from pycls.slurm.options import LaunchOptions
from pycls.slurm.records import (
    ENDED_FORMAT,
    QUEUE_FORMAT,
    Limits,
    Partition,
    QueuedJob,
    read_accounted,
    read_config,
    read_ended,
    read_partitions,
    read_queue,
)
from pycls.yaml_sections import near_miss

_IDS_OF_A_CALL = 200
_GONE = ("Invalid job id", "already completing or completed", "Job/step already")


class Slurm:
    """Slurm's commands on this machine.

    Args:
        patience_s: how long a command is tried again while the controller does not answer.
        connect: whether to ask at once if the controller answers.
        required: whether its commands have to be on this machine.
        user: whose jobs are looked at, by number; None: those of who asks.

    Raises:
        SlurmError: there is no Slurm here, or the controller does not answer.
    """

    def __init__(
        self,
        patience_s: float = 20.0,
        connect: bool = True,
        required: bool = True,
        user: int | None = None,
    ) -> None:
        self._patience_s = patience_s
        self._user = os.getuid() if user is None else user
        if required and shutil.which("sbatch") is None:
            raise SlurmError(
                "no Slurm on this machine (sbatch is not on the PATH); set LAUNCH.MODE local to "
                "train here, or log in to the cluster"
            )
        if connect:
            self._wait_for_controller()

    def _wait_for_controller(self) -> None:
        """Ask whether a controller is there, which tells at once where a request would wait."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                if " is UP" in ask("scontrol", "ping", patience_s=0):
                    return
                said = "no controller is up"
            except SlurmError as error:
                said = error.said
            if time.monotonic() >= deadline:
                raise SlurmUnreachableError(
                    f"Slurm's controller does not answer ({said.split(';')[0]}); try again in a "
                    "while, ask the administrator, or set LAUNCH.MODE local to train here",
                    said,
                )
            time.sleep(1.0)

    def _ask(self, command: str, *arguments: str) -> str:
        return ask(command, *arguments, patience_s=self._patience_s)

    # ------------------------------------------------------------ the cluster

    @cached_property
    def _config(self) -> dict[str, str]:
        return read_config(self._ask("scontrol", "show", "config"))

    def limits(self) -> Limits:
        """Return what the cluster allows."""
        config = self._config
        size = int(config.get("MaxArraySize", "1001"))
        tasks = re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", ""))
        return Limits(
            max_array_size=max(1, min(size, int(tasks[1])) if tasks else size),
            max_jobs=int(config.get("MaxJobCount", "10000")),
            accounting="none" not in config.get("AccountingStorageType", "none"),
        )

    def partitions(self) -> dict[str, Partition]:
        """Return the partitions by name."""
        return read_partitions(self._ask("scontrol", "--all", "--oneliner", "show", "partition"))

    def check_request(self, options: LaunchOptions) -> None:
        """Refuse a partition or a time limit with which jobs would wait for ever.

        All else is for sbatch to say, which knows accounts, nodes and limits.

        Raises:
            ConfigError: names the key and what there is.
        """
        known = self.partitions()
        where = options.where("LAUNCH", "PARTITION")
        named = options.partition or os.environ.get("SBATCH_PARTITION", "")
        names = [name.strip() for name in named.split(",") if name.strip()]
        names = names or [name for name, each in known.items() if each.is_default]
        listed = ", ".join(map(_describe, known.values())) or "none"
        if not names:
            raise ConfigError(
                f"{where} is not given, and this cluster has no default partition; name one of: "
                f"{listed}"
            )
        for name in names:
            if name not in known:
                raise ConfigError(
                    f"{where}: there is no partition '{name}'; {near_miss(name, known)}there are: "
                    f"{listed}"
                )
        up = [known[name] for name in names if known[name].is_up]
        if not up:
            raise ConfigError(
                f"{where}: partition {', '.join(names)} is down, so jobs would not start; choose "
                f"another or ask the administrator; there are: {listed}"
            )
        _check_time(options, up)

    # ------------------------------------------------------------ jobs

    def submit(self, script: str | os.PathLike[str]) -> int:
        """Submit a batch script; return the number of the job or array.

        Raises:
            SubmissionRefusedError: nothing was submitted; the message is sbatch's.
            SlurmUnreachableError: nothing was submitted.
            SubmissionUnknownError: nobody answered, and it may have been submitted.
        """
        text = Path(script).read_text(encoding="utf-8")
        return sbatch(os.fspath(script), text, self._patience_s)

    def jobs(self) -> list[QueuedJob]:
        """Return the user's jobs that have not ended, elements of arrays one by one.

        One call of squeue, however many there are.
        """
        # squeue itself waits for a controller that is gone for as long as half a minute.
        self._wait_for_controller()
        text = self._ask(
            "squeue", "--noheader", "--array", "--all", f"--user={self._user}",
            f"--format={QUEUE_FORMAT}",
        )  # fmt: skip
        return read_queue(text)

    def cancel(self, ids: Iterable[int | str]) -> None:
        """Take jobs out of the queue, or stop them; those that have ended are passed over.

        Args:
            ids: of arrays (123), elements ("123_4") and jobs.
        """
        for part in _parts([str(each) for each in ids]):
            try:
                self._ask("scancel", *part)
            except SlurmUnreachableError:
                raise
            except SlurmError as error:
                if not any(text in error.said for text in _GONE):
                    raise

    def requeue(self, job: int | str) -> None:
        """Put a running job, 123 or "123_4", back into the queue; its processes are killed."""
        try:
            self._ask("scontrol", "requeue", str(job))
        except SlurmError as error:
            if "pending execution" not in error.said:  # it is there already
                raise

    def release(self, job: int | str, **changes: str) -> None:
        """Let a job, or all elements of an array, start that somebody holds or that are to wait.

        Args:
            job: 123 or "123_4".
            changes: what else to change of it, as `scontrol update` calls it.
        """
        # A node refuses a job that went back to the queue in the same second, and Slurm fails it.
        words = [f"{name}={value}" for name, value in {"StartTime": "now+2", **changes}.items()]
        for command in (["update", f"JobId={job}", *words], ["release", str(job)]):
            try:
                self._ask("scontrol", *command)
            except SlurmUnreachableError:
                raise
            except SlurmError:
                # Of elements of an array some may run, or have ended; the others were changed.
                continue

    def set_throttle(self, array_id: int, throttle: int) -> bool:
        """Say how many jobs of an array may run at a time; return whether it is still there."""
        try:
            self._ask("scontrol", "update", f"JobId={array_id}", f"ArrayTaskThrottle={throttle}")
        except SlurmError as error:
            if any(text in error.said for text in _GONE):
                return False
            raise
        return True

    def end_states(self, jobs: Iterable[int | str]) -> dict[str, str]:
        """Return how jobs ended, in Slurm's words; those of which it is known.

        The controller knows for some minutes (MinJobAge), and `sacct`, where accounting is on,
        after some seconds and for long.

        Args:
            jobs: numbers, or "123_4".
        """
        wanted = [str(job) for job in jobs]
        if not wanted:
            return {}
        found = read_ended(self._ask(
            "squeue", "--noheader", "--array", "--all", "--states=all",
            f"--user={self._user}", f"--Format={ENDED_FORMAT}",
        ))  # fmt: skip
        missing = [job for job in wanted if job not in found]
        if missing and self.limits().accounting:
            found |= self._ask_accounting(missing)
        return {job: found[job] for job in wanted if job in found}

    def _ask_accounting(self, jobs: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in _parts(list(dict.fromkeys(job.split("_")[0] for job in jobs))):
            try:
                text = self._ask(
                    "sacct", "--allocations", "--noheader", "--parsable2",
                    "--format=JobID,State", f"--jobs={','.join(part)}",
                )  # fmt: skip
            except SlurmError:
                return found  # nothing may depend on accounting
            found |= read_accounted(text)
        return found


class AbsentSlurm(Slurm):
    """A cluster of the usual size that has no jobs, to look at a launch where there is no Slurm."""

    def __init__(self) -> None:
        """Take what Slurm's own defaults are."""
        super().__init__(connect=False, required=False)

    def limits(self) -> Limits:
        """Return Slurm's defaults."""
        return Limits(max_array_size=1001, max_jobs=10_000, accounting=False)

    def check_request(self, options: LaunchOptions) -> None:
        """Check nothing: which partitions there are is for the cluster to say."""

    def jobs(self) -> list[QueuedJob]:
        """Return no jobs."""
        return []

    def end_states(self, jobs: Iterable[int | str]) -> dict[str, str]:
        """Return nothing."""
        return {}


def _check_time(options: LaunchOptions, partitions: Sequence[Partition]) -> None:
    """Refuse a time limit above that of all partitions; a QOS may allow more than they do."""
    longest = [each.max_minutes for each in partitions]
    if options.qos or os.environ.get("SBATCH_QOS") or None in longest:
        return
    most = max(minutes for minutes in longest if minutes is not None)
    if options.time_limit > most:
        names = ", ".join(each.name for each in partitions)
        raise ConfigError(
            f"{options.where('LAUNCH', 'TIME_LIMIT')} is {options.time_limit} minutes, but "
            f"partition {names} allows {most}; set it to {most} or less (runs that take longer "
            "go on in the next job)"
        )


def _describe(partition: Partition) -> str:
    notes = ["default"] if partition.is_default else []
    notes += [] if partition.is_up else ["down"]
    notes += [] if partition.max_minutes is None else [f"up to {partition.max_minutes} minutes"]
    return f"{partition.name} ({', '.join(notes)})" if notes else partition.name


def _parts(ids: list[str]) -> Iterator[list[str]]:
    for i in range(0, len(ids), _IDS_OF_A_CALL):
        yield ids[i : i + _IDS_OF_A_CALL]
