"""A worker process: trains the runs it is told, one after another.

Started by :mod:`pycls.sweep.launch.local` as ``python -m pycls.sweep.launch.worker``. Each
line on standard input is a JSON object {"cfg": FILE, "out_dir": FOLDER}; each line on
standard output is the answer {"ok": true} or {"ok": false, "reason": ..., "fatal": ...}.
The end of standard input means that the driver is gone: the worker leaves at once,
wherever it is (what it was writing is written atomically, so nothing is lost).
"""

import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, TextIO


def main() -> None:
    """Answer jobs until standard input ends."""
    # Ctrl-C reaches the whole process group; the driver decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _take_standard_output()
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    while True:
        answer = _run_job(jobs.get())
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _take_standard_output() -> TextIO:
    """Keep standard output for answers; whatever else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _read_jobs(jobs: "queue.SimpleQueue[dict[str, Any]]") -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(0)


def _run_job(job: dict[str, Any]) -> dict[str, Any]:
    from pycls.errors import (
        PyclsError,
        RunInterruptedError,
        explain_os_error,
        find_environment_error,
    )

    out_dir = Path(job["out_dir"])
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with _StandardErrorTo(out_dir / "stderr.log"):
            try:
                _train(job)
            except Exception as error:
                if not isinstance(error, PyclsError):
                    traceback.print_exc()
                raise
    except RunInterruptedError as error:
        # A signal asked this process to leave: its run goes on in another one.
        sys.exit(error.exit_code)
    except PyclsError as error:
        return {"ok": False, "reason": str(error), "fatal": False}
    except Exception as error:
        cause = find_environment_error(error)
        if cause is not None:
            # A full disk or a missing permission concerns every run, not this one.
            return {"ok": False, "reason": explain_os_error(cause), "fatal": True}
        return {"ok": False, "reason": f"{type(error).__name__}: {error}", "fatal": False}
    return {"ok": True}


def _train(job: dict[str, Any]) -> None:
    from pycls.core.config import load_cfg
    from pycls.core.training_launch import train

    train(load_cfg(job["cfg"]))


class _StandardErrorTo:
    """Sends standard error, of C libraries too, to a file for a while."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        sys.stderr.flush()
        self._saved = os.dup(2)
        with self._path.open("a") as file:
            os.dup2(file.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()
        os.dup2(self._saved, 2)
        os.close(self._saved)


if __name__ == "__main__":
    main()
