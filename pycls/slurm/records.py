"""What Slurm's commands print, read into plain values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Control characters between fields and jobs: names of jobs may hold anything printable.
_FIELD, _JOB = "\x1f", "\x1e"
QUEUE_FORMAT = _JOB + _FIELD.join(
    ("%F", "%K", "%A", "%T", "%r", "%N", "%S", "%P", "%j"),
)
ENDED_FORMAT = ":|,".join(("ArrayJobID", "ArrayTaskID", "State", "exit_code")) + ":|"
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
        version: of Slurm.
        cluster: its name.
        accounting: whether `sacct` can tell how jobs ended.
    """

    max_array_size: int
    max_jobs: int
    version: str
    cluster: str
    accounting: bool


@dataclass(frozen=True)
class Partition:
    """A partition.

    Attributes:
        name: its name.
        is_default: whether jobs without a partition go there.
        max_minutes: the longest time limit; None: any.
        is_up: whether jobs are taken and started.
        nodes: number of nodes.
    """

    name: str
    is_default: bool
    max_minutes: int | None
    is_up: bool
    nodes: int


@dataclass(frozen=True)
class QueuedJob:
    """A job, or an element of an array, that Slurm has in its queue or on nodes.

    Attributes:
        array_id: the array's number; of a job outside of arrays, its own.
        index: the element's; None outside of arrays.
        job_id: the job's own number; an element that waits has the array's.
        name: what it was called when it was submitted.
        state: "PENDING", "RUNNING", "COMPLETING" and so on.
        reason: why it waits.
        nodes: where it runs.
        start: when it was started, or is expected to; ISO 8601, local time; "" unknown.
        partition: where it is.
    """

    array_id: int
    index: int | None
    job_id: int
    name: str
    state: str
    reason: str
    nodes: str
    start: str
    partition: str

    @property
    def job_name(self) -> str:
        """Return what Slurm's commands call it: "123_4", or "123" outside of arrays."""
        return str(self.array_id) if self.index is None else f"{self.array_id}_{self.index}"


@dataclass(frozen=True)
class EndState:
    """How a job ended.

    Attributes:
        state: "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL" and so on.
        exit_code: as a shell tells it: 128 + n after signal n.
    """

    state: str
    exit_code: int


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
                nodes=int(words.get("TotalNodes", "0")),
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
    array_id, index, job_id, state, reason, nodes, start, partition, name = (
        part.removesuffix("\n").split(_FIELD, 8)
    )  # fmt: skip
    return QueuedJob(
        array_id=int(array_id),
        index=int(index) if index.isdigit() else None,
        job_id=int(job_id),
        name=name,
        state=state,
        reason="" if reason == "None" else reason,
        nodes=nodes,
        start="" if start == "N/A" else start,
        partition=partition,
    )


def read_ended(text: str) -> dict[str, EndState]:
    """Return {"123_4": how it ended} of what squeue prints in ENDED_FORMAT."""
    found = {}
    for line in text.splitlines():
        array_id, index, state, status = (word.strip() for word in line.split("|")[:4])
        if state in _ENDED:
            name = f"{array_id}_{index}" if index.isdigit() else array_id
            found[name] = EndState(state, _exit_code(int(status) >> 8, int(status) & 0x7F))
    return found


def read_accounted(text: str) -> dict[str, EndState]:
    """Return {"123_4": how it ended} of what sacct prints: JobID|State|ExitCode."""
    found: dict[str, EndState] = {}
    for line in text.splitlines():
        name, state, codes = line.split("|")[:3]
        state = state.split()[0] if state else ""  # "CANCELLED by 1000"
        if state in _ENDED:
            code, signal_number = (int(number) for number in codes.split(":"))
            end = EndState(state, _exit_code(code, signal_number))
            found |= dict.fromkeys(_expand(name), end)
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


def _exit_code(code: int, signal_number: int) -> int:
    return 128 + signal_number if signal_number else code
