"""The ledger of a launch: what was submitted to Slurm, and what became of each job.

Layout, below the folder of a study or sweep::

    launch/.lock                    held while jobs are submitted or cancelled
    launch/target.json              what is launched, for follow-up jobs
    launch/files/DIGEST/            its files as they were then
    launch/code/DIGEST/pycls/       the code that jobs run
    launch/0001/runs.txt            an array of jobs: the runs of each, a line a job
    launch/0001/plan.json           how they are trained; before it is submitted
    launch/0001/script.sh           its batch script
    launch/0001/submitted.json      its number in Slurm; after it was submitted
    launch/0001/void.json           it was not submitted, or was cancelled: its jobs do nothing
    launch/0001/jobs/00003.json     what the fourth job of the array is at, by itself
    launch/0001/*.log               what jobs print
    launch/faults/123_4.0.json      a start that found its node unfit to train: node, reason

A crash between plan.json and submitted.json leaves open whether Slurm has the array. Its name
holds a random word, so Slurm can be asked; and where the answer is no, void.json makes sure of
it, as a job reads the ledger before it does anything.
"""

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from pycls import files
from pycls.checked_keys import is_whole
from pycls.core.runs.record import utc_now
from pycls.errors import PyclsError
from pycls.schema import LAUNCH_FOLDER

GAVE_UP = "GAVE_UP"
_PLAN = "plan.json"
_RUNS = "runs.txt"
_PLACE = 12  # characters of each line of its table: where a job's line begins
_SUBMITTED = "submitted.json"
_VOID = "void.json"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class JobState:
    """What a job, an element of an array, says of itself.

    Attributes:
        state: "running"; "requeued" or "stopped" (by a signal: with or without going back to the
            queue by itself); "ended" (all of its runs are settled); "lost" (Slurm has it no
            more, and it never said how it ended).
        reason: why it is requeued, stopped or lost.
        job: its name in Slurm, "123_4".
        host: the machine.
        restarts: how often Slurm has started it again.
        started: when it was started last; ISO 8601, UTC.
        idle_starts: how often in a row it reached its time limit before a run could begin.
        end: how a lost job ended, in Slurm's word; "" where Slurm does not know. GAVE_UP of one
            that stopped as starting it again would not help.
        at_work: the runs that it was at when it last began one.
        proved: whether its node was found fit to train in this start.
    """

    state: str
    reason: str = ""
    job: str = ""
    host: str = ""
    restarts: int = 0
    started: str = ""
    idle_starts: int = 0
    end: str = ""
    at_work: Sequence[str] = ()
    proved: bool = False


class Submission:
    """One array of jobs.

    Args:
        path: its folder.
        plan: what is planned; None: as its folder says.
    """

    def __init__(self, path: Path, plan: dict[str, Any] | None = None) -> None:
        self.path = path
        if plan is not None:
            self.plan = plan

    @property
    def number(self) -> int:
        """Return its number in the ledger, from 1."""
        return int(self.path.name)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What was planned: runs, options, code."""
        try:
            plan = dict(json.loads((self.path / _PLAN).read_text(encoding="utf-8")))
            jobs = plan["jobs"] if "jobs" in plan else len(plan["chunks"])
            return {**plan, "name": plan["name"], "kind": plan["kind"], "jobs": int(jobs)}
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(_PLAN, error) from None

    def _damaged(self, name: str, error: Exception) -> PyclsError:
        return PyclsError(
            f"{self.path / name}: is damaged ({type(error).__name__}: {error}), so nobody "
            f"knows which runs its jobs have. Take those that Slurm has of it out of the queue "
            f"('squeue --me', and {self.script} says their name), rename the folder to "
            f"{self.path.name}.damaged, and launch again: runs that are done stay done"
        )

    @property
    def name(self) -> str:
        """Return the name of its jobs in Slurm, which no other array has."""
        return str(self.plan["name"])

    @property
    def jobs(self) -> int:
        """Return the number of its jobs."""
        return int(self.plan["jobs"])

    @cached_property
    def chunks(self) -> list[list[dict[str, str]]]:
        """Each job's runs: id, group, cfg, out_dir."""
        if "chunks" in self.plan:  # as version 0.3.0 wrote it
            return list(self.plan["chunks"])
        return self._read_runs(0, self.jobs)

    def chunk(self, index: int) -> list[dict[str, str]]:
        """Return the runs of one job, and read no more than that."""
        return self.chunks[index] if "chunks" in self.plan else self._read_runs(index, index + 1)[0]

    def _read_runs(self, begin: int, end: int) -> list[list[dict[str, str]]]:
        try:
            with (self.path / _RUNS).open("rb") as file:
                file.seek(_PLACE * begin)
                places = list(map(int, file.read(_PLACE * (end - begin + 1)).split()))
                file.seek(places[0])
                lines = file.read(places[-1] - places[0]).splitlines()
                found = [json.loads(line) for line in lines]
                if len(places) != end - begin + 1 or len(found) != end - begin:
                    raise ValueError(f"{len(found)} jobs where {end - begin} are expected")
                return found
        except (ValueError, IndexError, FileNotFoundError) as error:
            raise self._damaged(_RUNS, error) from None

    def write_runs(self, chunks: Sequence[Sequence[Mapping[str, str]]]) -> None:
        """Write the runs of each job so that a job need not read those of all."""
        lines = [json.dumps(chunk).encode() + b"\n" for chunk in chunks]
        begins = accumulate(map(len, lines), initial=_PLACE * (len(lines) + 1))
        table = "".join(f"{place:>{_PLACE - 1}}\n" for place in begins)
        files.write_bytes(self.path / _RUNS, table.encode() + b"".join(lines))

    @property
    def kind(self) -> str:
        """Return "runs", or "follow-up" for the job that looks after the others."""
        return str(self.plan["kind"])

    @property
    def script(self) -> Path:
        """Return its batch script."""
        return self.path / "script.sh"

    @property
    def job_id(self) -> int | None:
        """Return its number in Slurm; None where that is not known (yet, or any more)."""
        found = _read(self.path / _SUBMITTED)
        return int(found["job_id"]) if found and is_whole(found.get("job_id")) else None

    @property
    def throttle(self) -> int:
        """Return how many of its jobs Slurm runs at a time."""
        found = _read(self.path / _SUBMITTED) or {}
        return int(found.get("throttle", self.plan["throttle"]))

    def mark_submitted(self, job_id: int, throttle: int | None = None) -> None:
        """Note the array's number in Slurm, and a throttle that was changed."""
        throttle = self.throttle if throttle is None else throttle
        when = (_read(self.path / _SUBMITTED) or {}).get("when", utc_now())
        value = {"job_id": job_id, "throttle": throttle, "when": when}
        files.write_json(self.path / _SUBMITTED, value)

    @property
    def void(self) -> str:
        """Return why its jobs are to do nothing; "" where they are to work."""
        found = _read(self.path / _VOID)
        if found is None:
            # It is there, but cannot be read: what it says in any case.
            return "void" if (self.path / _VOID).is_file() else ""
        return str(found.get("reason", "void"))

    @property
    def was_cancelled(self) -> bool:
        """Say whether its jobs were cancelled by the tools."""
        return bool((_read(self.path / _VOID) or {}).get("cancelled"))

    def mark_void(self, reason: str, *, cancelled: bool = False) -> None:
        """Make its jobs do nothing from now on.

        Args:
            reason: why, for the reader.
            cancelled: whether it had been submitted, and somebody cancelled it.
        """
        value = {"reason": reason, "cancelled": cancelled, "when": utc_now()}
        files.write_json(self.path / _VOID, value)

    def job_states(self) -> dict[int, JobState]:
        """Return what its jobs say of themselves; those that have not begun say nothing."""
        found = {i: self.job_state(i) for i in _numbers(self.path / "jobs")}
        return {index: state for index, state in found.items() if state is not None}

    def job_state(self, index: int) -> JobState | None:
        """Return what a job says of itself; None: it has not begun."""
        found = _read(self._job_path(index))
        try:
            return None if found is None else JobState(**found)
        except TypeError:  # of another version
            return None

    def write_job_state(self, index: int, state: JobState) -> None:
        """Note what a job is at."""
        self._job_path(index).parent.mkdir(exist_ok=True)
        files.write_json(self._job_path(index), vars(state))

    def _job_path(self, index: int) -> Path:
        return self.path / "jobs" / f"{index:05d}.json"

    def log_path(self, index: int) -> Path:
        """Return the file that a job prints to."""
        return self.path / f"{self.job_id}_{index}.log"


class Ledger:
    """All arrays of a study or sweep.

    Args:
        folder: that of the study or sweep.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.root = self.folder / LAUNCH_FOLDER
        self._submissions: dict[int, Submission] = {}

    def lock(self, wait_s: float = 0.0) -> AbstractContextManager[int]:
        """Hold the ledger: who submits or cancels must.

        Raises:
            PyclsError: another process holds it for longer than `wait_s` seconds.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        purpose = f"submitting or cancelling jobs of {self.folder}"
        return files.exclusive_lock(self.root / ".lock", purpose, wait_s)

    @property
    def faults(self) -> Path:
        """Return the folder of faults of nodes; jobs write there."""
        return self.root / "faults"

    def bad_nodes(self) -> dict[str, dict[str, str]]:
        """Return {node: its last fault} of nodes that were found unfit, until that is forgotten.

        A fault holds "job", "node", "reason" and "when".
        """
        found = [_read(path) for path in self.faults.glob("*.json")]
        known = sorted((f for f in found if f), key=lambda fault: str(fault.get("when")))
        return {str(fault["node"]): fault for fault in known if fault.get("node")}

    def forget_faults(self) -> None:
        """Use again all nodes that were found unfit."""
        for path in self.faults.glob("*.json"):
            path.unlink(missing_ok=True)

    @property
    def owner(self) -> int:
        """Return the number of the user who launched."""
        return self.root.stat().st_uid

    @property
    def files(self) -> Path:
        """Return the folder of copies of the files of what is launched."""
        return self.root / "files"

    @property
    def code(self) -> Path:
        """Return the folder of code snapshots."""
        return self.root / "code"

    def submission(self, number: int) -> Submission:
        """Return an array by its number; what was planned is read once."""
        return self._submissions.setdefault(number, Submission(self.root / f"{number:04d}"))

    def submissions(self) -> list[Submission]:
        """Return all arrays that have a plan, the oldest first."""
        found = map(self.submission, _numbers(self.root))
        return [each for each in found if (each.path / _PLAN).is_file()]

    def add(
        self,
        title: str,
        chunks: Sequence[Sequence[Mapping[str, str]]],
        settings: Mapping[str, Any],
        kind: str = "runs",
    ) -> Submission:
        """Plan an array; the holder of the lock submits it then.

        Args:
            title: what its jobs are called, with a random word added.
            chunks: the runs of each job.
            settings: what else the plan holds: "throttle", and what the jobs need.
            kind: see :attr:`Submission.kind`.
        """
        submission = self.submission(max(_numbers(self.root), default=0) + 1)
        submission.path.mkdir()
        name = f"{job_title(title)}-{secrets.token_hex(4)}"
        plan = {"name": name, "kind": kind, "when": utc_now(), "jobs": len(chunks), **settings}
        try:
            submission.write_runs(chunks)
            files.write_text(submission.path / _PLAN, json.dumps(plan, indent=1) + "\n")
        except OSError:
            shutil.rmtree(submission.path)
            raise
        return submission


def job_title(title: str) -> str:
    """Return what the names of an array's jobs in Slurm begin with."""
    return _NOT_IN_NAMES.sub("-", title)[:60]


def _numbers(folder: Path) -> list[int]:
    """Return the numbers that files and folders in a folder are called after, in order."""
    try:
        return sorted(int(path.stem) for path in folder.iterdir() if path.stem.isdigit())
    except FileNotFoundError:
        return []


def _read(path: Path) -> dict[str, Any] | None:
    """Return a file's object; None where there is none, or it is damaged: Slurm is asked again."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
