"""A pool of worker processes that end with the one that started them.

Workers are new processes of this interpreter, not forks: what a fork inherits (threads, open
archives, a GPU) does not matter, and a script without a main guard may use them. A worker
leaves at once when its connection ends, however the parent did, and holds the descriptors it
was given (a lock) until then.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from pycls.errors import PyclsError

# Tasks in a worker's hands: the next one waits there while the parent is busy.
_TASKS_AHEAD = 2
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


def run_tasks(
    work: Callable[[Any], Any],
    tasks: Iterable[tuple[int, Any]],
    workers: int,
    inherit: Sequence[int] = (),
) -> Generator[tuple[int, Any]]:
    """Do tasks in worker processes, or here where one worker is asked.

    Args:
        work: what to do; goes to each worker once, pickled.
        tasks: numbers and arguments, taken as workers become free.
        workers: how many processes.
        inherit: descriptors that the workers hold open.

    Yields:
        The number and the result of a task, in the order they finish.

    Raises:
        PyclsError: a worker was killed; or what the work raised.
        OSError: as the work raised it.
    """
    if workers <= 1:
        for number, argument in tasks:
            yield number, work(argument)
        return
    with contextlib.closing(_Pool(work, workers, inherit)) as pool:
        yield from pool.run(iter(tasks))


class _Pool:
    def __init__(self, work: Callable[[Any], Any], workers: int, inherit: Sequence[int]) -> None:
        self._processes: dict[Connection, subprocess.Popen[bytes]] = {}
        message = pickle.dumps(work)
        try:
            for _ in range(workers):
                connection, process = _start_worker(inherit)
                self._processes[connection] = process
            for connection, process in self._processes.items():
                with _telling_death(process):
                    connection.send_bytes(message)
        except BaseException:
            self.close()
            raise

    def run(self, tasks: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        waiting = dict.fromkeys(self._processes, 0)
        for connection in list(self._processes) * _TASKS_AHEAD:
            waiting[connection] += self._send_next(connection, tasks)
        while any(waiting.values()):
            for ready in wait([connection for connection, count in waiting.items() if count]):
                assert isinstance(ready, Connection)
                with _telling_death(self._processes[ready]):
                    number, result, error = ready.recv()
                if error is not None:
                    raise error
                waiting[ready] -= 1
                waiting[ready] += self._send_next(ready, tasks)
                yield number, result

    def _send_next(self, connection: Connection, tasks: Iterator[tuple[int, Any]]) -> int:
        task = next(tasks, None)
        if task is None:
            return 0
        with _telling_death(self._processes[connection]):
            connection.send(task)
        return 1

    def close(self) -> None:
        for connection in self._processes:
            connection.close()
        for process in self._processes.values():
            process.kill()
            process.wait()


def _start_worker(inherit: Sequence[int]) -> tuple[Connection, "subprocess.Popen[bytes]"]:
    ours, theirs = Pipe()
    # The package may have been found through a path that only this process knows.
    root = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "pycls.datasets.preparation.worker_pool", str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONPATH": path},
        pass_fds=(theirs.fileno(), *inherit),
    )
    theirs.close()
    return ours, process


@contextlib.contextmanager
def _telling_death(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError):
        code = process.wait()
        how, hint = f"with exit code {code}", ""
        if code < 0:
            how = f"by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += " (out of memory?)"
            hint = ", and with fewer --workers needs less memory"
        raise PyclsError(
            f"a worker process was ended {how}; the same command goes on where it was{hint}"
        ) from None


def serve(descriptor: int) -> None:
    """Be a worker: do the tasks that come through a connection until it ends."""
    # Ctrl-C goes to the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, arrived), daemon=True).start()
    work: Callable[[Any], Any] = pickle.loads(arrived.get())  # noqa: S301 - from our parent
    while True:
        number, argument = pickle.loads(arrived.get())  # noqa: S301
        result = None
        error: Exception | None = None
        try:
            result = work(argument)
        except (PyclsError, OSError) as explained:
            error = explained
        except Exception:
            error = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
        try:
            connection.send((number, result, error))
        except ConnectionError:
            os._exit(0)


def _receive(connection: Connection, arrived: "queue.SimpleQueue[bytes]") -> None:
    """Take in what comes, so that the parent never waits; leave with the parent."""
    while True:
        try:
            arrived.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
