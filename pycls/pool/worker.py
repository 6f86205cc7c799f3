"""The program of a worker process: it trains the runs that it is given.

Started by :mod:`pycls.pool.worker_process` as ``python -m pycls.pool.worker``.
Each line on standard input is a JSON list of jobs, of which several are trainings to be done
together. Standard output has {"state": "ready"} once, then "imported" where what a job needs is
there, and one line a job, with its "id": "done", "failed" (with "reason", "fresh" where the process
should not be used again, which the last answer of a list says for all of it, and "final" where
another try would fail of the same), "busy" (another process has the run) or "fatal" (all runs would
fail of it, for good or, by its "fault", on this node, or while the storage is as it is). A signal
to stop ends the process with exit code 75, what it was at being saved. So does the end of standard
input, with exit code 0, wherever it is: the driver is gone then (what is being written is written
atomically, so nothing is lost).
"""

import contextlib
import itertools
import json
import os
import queue
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from yacs.config import CfgNode

from pycls.errors import (
    ConfigError,
    LeaseHeldError,
    LeaseLostError,
    PyclsError,
    RunError,
    RunInterruptedError,
    explain_os_error,
    find_environment_error,
    find_storage_error,
    tells_of_storage,
)
from pycls.pool.failure_reason import describe_failure
from pycls.pool.node_check import NodeError, failed_to_import, prove_node
from pycls.pool.signals import EarlySignals, leave
from pycls.pool.srun_step import SrunStep
from pycls.pool.worker_process import CORES_VARIABLE, NODE, STORAGE, TRAIN
from pycls.pulse import beats
from pycls.registry import import_object
from pycls.schema import ERR_FILE, LOG_FILE

_ANSWERING = threading.Lock()


def main() -> None:
    """Answer jobs until standard input ends."""
    _take_cores()  # before there are threads, which are bound as the one that starts them
    early = EarlySignals()
    early.take()
    answers = _take_standard_output()
    lists: queue.SimpleQueue[list[dict[str, Any]]] = queue.SimpleQueue()
    step = SrunStep(early)
    threading.Thread(target=_read_jobs, args=(lists, step), daemon=True).start()
    warnings.formatwarning = lambda message, *args, **kwargs: f"warning: {message}\n"
    at_work: set[str] = set()
    _answer(answers, {"state": "ready"})
    threading.Thread(target=_show_signs, args=(answers, at_work), daemon=True).start()
    while True:
        with early.leaving():
            jobs = lists.get()
        at_work.update(job["out_dir"] for job in jobs)
        if len(jobs) == 1:
            answer = {"id": jobs[0]["id"], **_run_job(jobs[0], early, step, answers)}
            at_work.clear()
            _answer(answers, answer)
            continue
        for answer in _run_together(jobs, early, answers):
            _answer(answers, answer)
        at_work.clear()


def _show_signs(answers: TextIO, at_work: set[str]) -> None:
    """Say once a second that a training goes on, as long as it does; its folder is in `at_work`.

    Of one in other processes (several GPUs, srun) its log tells, looked at every ten seconds.
    """
    before, sizes = beats(), dict[str, int]()
    for second in itertools.count():
        time.sleep(1.0)
        now = beats()
        is_alive = now != before
        before = now
        if not is_alive and second % 10 == 0:
            last, sizes = sizes, {path: _size(path) for path in map(_log_of, list(at_work))}
            is_alive = any(last.get(path, size) != size for path, size in sizes.items())
        if is_alive and at_work:
            _answer(answers, {"state": "alive"})


def _log_of(out_dir: str) -> str:
    return f"{out_dir}/{LOG_FILE}"


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _take_cores() -> None:
    named = os.environ.get(CORES_VARIABLE)
    if named and hasattr(os, "sched_setaffinity"):
        # A core may have been taken from the machine since; a run is right on any.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {int(core) for core in named.split(",")})


def _take_standard_output() -> TextIO:
    """Keep standard output for answers; whatever else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, answer: dict[str, Any]) -> None:
    try:
        with _ANSWERING:  # one at a time, of two threads
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    except OSError:
        os._exit(0)  # the driver is gone


def _read_jobs(lists: "queue.SimpleQueue[list[dict[str, Any]]]", step: SrunStep) -> None:
    for line in sys.stdin:
        lists.put(json.loads(line))
    step.terminate()
    os._exit(0)


def _run_job(
    job: dict[str, Any], early: EarlySignals, step: SrunStep, answers: TextIO
) -> dict[str, Any]:
    """Do a job and say what came of it."""
    try:
        with _errors_to_log(job):
            if job["srun"]:
                step.train(job)
            else:
                _call_task(job, early, answers)
    except BaseException as error:
        return _judge(error, early)
    return {"state": "done"}


def _call_task(job: Mapping[str, Any], early: EarlySignals, answers: TextIO) -> None:
    task = import_object(job["task"])
    cfg = _load(job, early, answers)
    task(cfg)


def _load(job: Mapping[str, Any], early: EarlySignals, answers: TextIO) -> CfgNode:
    from pycls.core.config.load import load_cfg

    cfg = load_cfg(job["cfg"], job["overrides"])
    if job["task"] == TRAIN:
        prove_node(cfg.DEVICE, job["gpus"])
    _answer(answers, {"state": "imported"})
    if early.name:
        leave()
    return cfg


def _run_together(
    jobs: list[dict[str, Any]], early: EarlySignals, answers: TextIO
) -> Iterator[dict[str, Any]]:
    """Train several networks together and say what came of each, as soon as it is known."""
    from pycls.core.training_launch import train_several

    left, fresh, stopped = len(jobs), False, False

    def answer(number: int, outcome: object) -> dict[str, Any]:
        nonlocal left, fresh
        left -= 1
        said = {"state": "done"}
        if isinstance(outcome, Exception):
            said = _judge(outcome, early)
        fresh = fresh or bool(said.get("fresh"))
        return {**said, "id": jobs[number]["id"], "fresh": fresh and not left}

    loaded: dict[int, CfgNode] = {}
    for number, job in enumerate(jobs):
        try:
            with _errors_to_log(job):
                loaded[number] = _load(job, early, answers)
        except Exception as error:
            yield answer(number, error)
    numbers = list(loaded)
    ended = train_several(list(loaded.values()), lambda index: _errors_to_log(jobs[numbers[index]]))
    for index, outcome in ended:
        if isinstance(outcome, Exception) and (
            early.name or isinstance(outcome, RunInterruptedError)
        ):
            stopped = True  # the others have yet to save their state
        else:
            yield answer(numbers[index], outcome)
    if stopped:
        leave()


def _judge(error: BaseException, early: EarlySignals) -> dict[str, Any]:
    """Return the answer to a job that raised an error; leave where that was a signal's doing."""
    passing = find_storage_error(error)
    if passing is not None:
        return {"state": "fatal", "reason": explain_os_error(passing), "fault": STORAGE}
    cause = find_environment_error(error) if not isinstance(error, PyclsError) else None
    if cause is not None:
        # A missing permission concerns every run, not this one.
        return {"state": "fatal", "reason": explain_os_error(cause)}
    if isinstance(error, NodeError) or failed_to_import(error):
        return {"state": "fatal", "reason": describe_failure(error), "fault": NODE}
    if isinstance(error, RunError) and tells_of_storage(str(error)):
        return {"state": "fatal", "reason": str(error), "fault": STORAGE}
    if isinstance(error, LeaseHeldError | LeaseLostError):
        return {"state": "busy", "reason": str(error)}
    code = getattr(error, "code", 1) if isinstance(error, SystemExit) else None
    stopped = RunInterruptedError.exit_code
    # After a signal, processes of a training end in many ways.
    if isinstance(error, RunInterruptedError) or code == stopped or early.name:
        leave()
    reason = f"it left with exit code {code}" if code is not None else describe_failure(error)
    # Other errors than ours may leave PyTorch, or a GPU, unusable.
    fresh = not isinstance(error, PyclsError)
    final = isinstance(error, ConfigError)  # it would fail of the same wherever it is tried
    return {"state": "failed", "reason": reason, "fresh": fresh, "final": final}


@contextlib.contextmanager
def _errors_to_log(job: Mapping[str, Any]) -> Iterator[None]:
    """Send standard error, of C libraries too, to the run's own log; with the traceback.

    Only trainings have a folder of ours; other tasks write what they like where they like.
    """
    saved = None
    if job["task"] == TRAIN or job["srun"]:
        out_dir = Path(job["out_dir"])
        out_dir.mkdir(parents=True, exist_ok=True)
        sys.stderr.flush()
        saved = os.dup(2)
        with (out_dir / ERR_FILE).open("a") as file:
            os.dup2(file.fileno(), 2)
    try:
        yield
    except Exception as error:
        if not isinstance(error, PyclsError):
            traceback.print_exc()
        raise
    finally:
        if saved is not None:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


if __name__ == "__main__":
    main()
