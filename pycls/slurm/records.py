"""Readers of what Slurm's commands print."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pycls.slurm.job_shell import COMMENT_MARK

# Control characters between fields and jobs: names of jobs may hold anything printable.
_FIELD, _JOB = "\x1f", "\x1e"
QUEUE_FORMAT = _JOB + _FIELD.join(("%F", "%K", "%T", "%r", "%N", "%k", "%j"))
ENDED_FORMAT = ":|,".join(("ArrayJobID", "ArrayTaskID", "State")) + ":|"
_ENDED = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
        "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What the cluster allows.

    Attributes:
        max_array_size: jobs of an array.
        max_jobs: jobs that the controller holds, of all users.
        accounting: whether `sacct` can tell how jobs ended.
    """

    max_array_size: int
    max_jobs: int
    accounting: bool


@dataclass(frozen=True)
class Partition:
    """A partition.

    Attributes:
        name: its name.
        is_default: whether jobs without a partition go there.
        max_minutes: the longest time limit; None: any.
        is_up: whether jobs are taken and started.
    """

    name: str
    is_default: bool
    max_minutes: int | None
    is_up: bool


@dataclass(frozen=True)
class QueuedJob:
    """A job, or an element of an array, that Slurm has in its queue or on nodes.

    Attributes:
        array_id: the array's number; of a job outside of arrays, its own.
        index: the element's; None outside of arrays.
        name: what it was called when it was submitted.
        state: "PENDING", "RUNNING", "COMPLETING" and so on.
        reason: why it waits.
        nodes: where it runs.
        fault: what our own batch script notes of it in Slurm's comment.
    """

    array_id: int
    index: int | None
    name: str
    state: str
    reason: str
    nodes: str
    fault: str = ""

    @property
    def is_held(self) -> bool:
        """Whether it starts only when it is released."""
        return self.state == "REQUEUE_HOLD" or "held" in self.reason.lower()

    @property
    def job_name(self) -> str:
        """Return what Slurm's commands call it: "123_4", or "123" outside of arrays."""
        return str(self.array_id) if self.index is None else f"{self.array_id}_{self.index}"


def read_partitions(text: str) -> dict[str, Partition]:
    """Return the partitions, by name, that scontrol prints, one a line."""
    found = {}
    for line in text.splitlines():
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "PartitionName" in words:
            name = words["PartitionName"]
            found[name] = Partition(
                name,
                is_default=words.get("Default") == "YES",
                max_minutes=_minutes(words.get("MaxTime", "UNLIMITED")),
                is_up=words.get("State") == "UP",
            )
    return found


def read_config(text: str) -> dict[str, str]:
    """Return the settings that `scontrol show config` prints."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _minutes(text: str) -> int | None:
    """Return the minutes of a time limit: "1-00:00:00", "02:00:00", "UNLIMITED"."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return (24 * days + hours) * 60 + minutes


def read_queue(text: str) -> list[QueuedJob]:
    """Return the jobs that squeue prints in QUEUE_FORMAT."""
    return [_read_job(part) for part in text.split(_JOB)[1:]]


def _read_job(part: str) -> QueuedJob:
    array_id, index, state, reason, nodes, comment, name = part.removesuffix("\n").split(_FIELD, 6)
    return QueuedJob(
        array_id=int(array_id),
        index=int(index) if index.isdigit() else None,
        name=name,
        state=state,
        reason="" if reason == "None" else reason,
        nodes=nodes,
        fault=comment.partition(COMMENT_MARK)[2].strip(),
    )


def read_ended(text: str) -> dict[str, str]:
    """Return {"123_4": how it ended} of what squeue prints in ENDED_FORMAT."""
    found = {}
    for line in text.splitlines():
        array_id, index, state = (word.strip() for word in line.split("|")[:3])
        if state in _ENDED:
            found[f"{array_id}_{index}" if index.isdigit() else array_id] = state
    return found


def read_accounted(text: str) -> dict[str, str]:
    """Return {"123_4": how it ended} of what sacct prints: JobID|State."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, state = line.split("|")[:2]
        state = state.split()[0] if state else ""  # "CANCELLED by 1000"
        if state in _ENDED:
            found |= dict.fromkeys(_expand(name), state)
    return found


def _expand(name: str) -> Iterator[str]:
    """Yield the elements of "123_[0-2,5%3]"; other names as they are."""
    match = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", name)
    if match is None:
        yield name
        return
    for part in match[2].split(","):
        first, _, last = part.partition("-")
        for index in range(int(first), int(last or first) + 1):
            yield f"{match[1]}_{index}"
