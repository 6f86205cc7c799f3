"""Starts the processes of one training on this machine, and answers for them.

Each is a fresh interpreter (`python -m pycls.core.processes.launch_local`): a fork would inherit
the threads and GPU state of this one, and `multiprocessing` would close standard input, add a
process of its own and not say how a child died. A socket to each child carries the call to make
and what came of it; it closes with this process, however that ends, and the child then leaves.

No PyTorch here: the launching process only waits.
"""

import contextlib
import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pycls import errors
from pycls.core.processes.world import (
    LOOPBACK,
    MAX_LOCAL_PROCESSES,
    PeerLostError,
    World,
    find_world,
)
from pycls.core.runs.interruption import stop_signals_to
from pycls.errors import ConfigError, PyclsError, RunError

# After the first child failed, the others have: SETTLE_S to fail of it, or to write down how
# they ended; then SIGTERM and KILL_S more; then SIGKILL. After a signal was passed on they may
# be writing a checkpoint.
SETTLE_S = 2.0
SETTLE_AFTER_SIGNAL_S = 60.0
KILL_S = 5.0

_ORPHANED = 1
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def launch(function: Callable[..., Any], args: Sequence[Any], num_processes: int) -> Any:
    """Call a function in several new processes at once, and wait for them.

    Each calls ``function(world, *args)``. They have this process's standard streams, and get
    the SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 that it gets. One that fails takes the others down
    within seconds, and what it failed of is raised here: as if there had been one process.

    Args:
        function: of a module that can be imported.
        args: what JSON can hold.
        num_processes: 2 to 64.

    Returns:
        What the main process's call returned, which JSON must be able to hold.

    Raises:
        ConfigError: too many processes.
        PyclsError: as a child raised it: class, message and exit code.
        RunError: a child was killed, or ended without a report.
        RuntimeError: a child failed of a defect; with its traceback.
        SystemExit: a child left so (after a signal, perhaps); with its exit code.
    """
    if not 1 < num_processes <= MAX_LOCAL_PROCESSES:
        raise ConfigError(
            f"NUM_GPUS is {num_processes}; on one machine 2 to {MAX_LOCAL_PROCESSES} processes can "
            "be started. For more, start one task a GPU with srun or torchrun"
        )
    job = json.dumps(
        {
            "module": function.__module__,
            "function": function.__qualname__,
            "args": list(args),
            "path": sys.path,
        }
    )
    launcher = _Launcher(num_processes)
    with launcher.signals_passed_on():
        try:
            launcher.start(job)
            launcher.wait()
        finally:
            launcher.kill()
    return launcher.outcome()


@dataclass
class _Child:
    """A process that was started, and what is known of it."""

    rank: int
    process: subprocess.Popen[bytes]
    control: socket.socket
    received: bytearray = field(default_factory=bytearray)
    end_order: int = 0  # in which round of looking it was found to have ended
    ended_by_us: bool = False
    num_signals: int = 0  # that were passed on to it

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    @property
    def report(self) -> dict[str, Any]:
        line, end, _ = bytes(self.received).partition(b"\n")
        return json.loads(line) if end else {}

    def receive(self) -> bool:
        """Take in what the child sent; say whether more can come."""
        while True:
            try:
                data = self.control.recv(1 << 16)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self.received += data

    def deliver(self, signals: Sequence[int]) -> None:
        """Send the child those of a growing list of signals that it has not got yet."""
        while self.num_signals < len(signals):
            self.num_signals += 1
            self.process.send_signal(signals[self.num_signals - 1])


class _Launcher:
    """The children of one launch."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._children: list[_Child] = []
        self._signals: list[int] = []

    @contextlib.contextmanager
    def signals_passed_on(self) -> Iterator[None]:
        """Pass signals on to the children; only a main thread can, others leave them alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # What is ignored here (in the background of a shell, perhaps) the children ignore too.
        with stop_signals_to(self._pass_on):
            yield

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)
        self._deliver()

    def _deliver(self) -> None:
        for child in self._children:
            child.deliver(self._signals)

    def start(self, job: str) -> None:
        # Open before any child starts: nobody can take the port in between.
        with socket.create_server((LOOPBACK, 0)) as listener:
            for rank in range(self._size):
                self._start_child(rank, listener, job)
        self._deliver()  # what came before the last child did

    def _start_child(self, rank: int, listener: socket.socket, job: str) -> None:
        ours, theirs = socket.socketpair()
        environ = {
            **_child_environ(os.environ),
            "PYCLS_RANK": str(rank),
            "PYCLS_WORLD_SIZE": str(self._size),
            "PYCLS_PORT": str(listener.getsockname()[1]),
            "PYCLS_CONTROL_FD": str(theirs.fileno()),
        }
        descriptors = [theirs.fileno()]
        if rank == 0:
            environ["PYCLS_LISTEN_FD"] = str(listener.fileno())
            descriptors.append(listener.fileno())
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "pycls.core.processes.launch_local"],
                env=environ,
                pass_fds=descriptors,
                process_group=0,  # Ctrl-C comes by us, and only once
            )
        self._children.append(_Child(rank, process, ours))
        with contextlib.suppress(OSError):  # gone already: its exit code will tell
            ours.sendall(job.encode() + b"\n")
        ours.setblocking(False)

    def wait(self) -> None:
        """Return when no child is left; see to it that none is left alone for long."""
        look, give_up, kill = 0, None, None
        with selectors.DefaultSelector() as selector:
            for child in self._children:
                selector.register(child.control, selectors.EVENT_READ, child)
            while any(child.alive for child in self._children):
                for key, _ in selector.select(timeout=0.1):
                    if not key.data.receive():
                        selector.unregister(key.fileobj)
                        # That end closes a moment before the child can be waited for.
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            key.data.process.wait(timeout=0.1)
                look += 1
                self._look(look)
                now = time.monotonic()
                if give_up is None and any(self._has_failed(child) for child in self._children):
                    give_up = now + (SETTLE_AFTER_SIGNAL_S if self._signals else SETTLE_S)
                if give_up is not None and now > give_up and kill is None:
                    kill = now + KILL_S
                    self._end_all(signal.SIGTERM)
                if kill is not None and now > kill:
                    self._end_all(signal.SIGKILL)

    def _look(self, look: int) -> None:
        for child in self._children:
            if child.process.poll() is not None and not child.end_order:
                child.end_order = look
                child.receive()

    def _has_failed(self, child: _Child) -> bool:
        return not child.alive and "result" not in child.report

    def _end_all(self, number: int) -> None:
        for child in self._children:
            if child.process.poll() is None:
                child.ended_by_us = True
                child.process.send_signal(number)

    def kill(self) -> None:
        """Leave nothing behind, whatever happened."""
        self._end_all(signal.SIGKILL)
        for child in self._children:
            child.process.wait()
            child.control.close()

    def outcome(self) -> Any:
        """Return what the main process returned, or raise what explains why there is nothing."""
        failed = [child for child in self._children if self._has_failed(child)]
        if not failed:
            return self._children[0].report["result"]
        child = min(failed, key=self._blame)
        report, code = child.report, child.process.returncode
        name = f"process {child.rank} of {self._size}"
        if "message" in report:
            raise _as_raised(report)
        if "traceback" in report:
            raise RuntimeError(f"{name} failed:\n{report['traceback']}")
        if "exit" in report:
            raise SystemExit(report["exit"])
        number = report.get("signal", -code)
        if number in self._signals:
            signal.raise_signal(number)  # as it would have done to a single process
            raise RunError(f"stopped by {signal.Signals(number).name}")
        raise _died(name, code)

    def _blame(self, child: _Child) -> tuple[int, int, int]:
        """Order children by how likely theirs is the failure that the others failed of."""
        report = child.report
        if report.get("peer_lost"):
            suspicion = 3
        elif child.ended_by_us:
            suspicion = 4
        elif "exit" in report:
            suspicion = 1
        elif "signal" in report or -child.process.returncode in self._signals:
            suspicion = 2
        else:
            suspicion = 0
        return suspicion, child.end_order, 1 if report else 0


def _child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the children, without what says who they are."""
    root = str(Path(errors.__file__).parents[1])
    path = environ.get("PYTHONPATH")
    loopback = "lo" if sys.platform.startswith("linux") else "lo0"
    return {
        # Said by every process that another one leaves behind; the launcher says it once.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "GLOO_SOCKET_IFNAME": loopback,
        **environ,
        "PYTHONPATH": root if not path else root + os.pathsep + path,
    }


def _as_raised(report: dict[str, Any]) -> PyclsError:
    """Return the PyclsError that a child raised."""
    kind = getattr(errors, report["kind"], PyclsError)
    error: PyclsError = kind(report["message"])
    error.exit_code = report["exit_code"]
    return error


def _died(name: str, code: int) -> RunError:
    if code >= 0:
        error = RunError(f"{name} ended with exit code {code} and without a word")
        error.exit_code = code or 1
        return error
    text = f"{name} was killed by {signal.Signals(-code).name}"
    if -code == signal.SIGKILL:
        text += "; if nobody did that, the machine may be short of memory"
    return RunError(text)


def run_child() -> NoReturn:
    """Be one of the processes that :func:`launch` started: make the call, report, leave."""
    control = socket.socket(fileno=int(os.environ["PYCLS_CONTROL_FD"]))
    with control.makefile("rb") as lines:
        job = json.loads(lines.readline() or "null")
    if job is None:
        os._exit(_ORPHANED)
    _die_with_launcher()
    threading.Thread(target=_leave_with_launcher, args=(control,), daemon=True).start()
    world = find_world(os.environ, int(os.environ["PYCLS_WORLD_SIZE"])) or World()
    warnings.formatwarning = lambda message, *args, **kwargs: f"warning: {message}\n"
    if not world.is_main:
        warnings.simplefilter("ignore")  # the main process says it
    report = _call(job, world)
    sys.stdout.flush()
    sys.stderr.flush()
    control.sendall(json.dumps(report).encode() + b"\n")
    # Not sys.exit: threads that still wait for lost processes would hold up or crash the end.
    os._exit(0 if "result" in report else 1)


def _call(job: dict[str, Any], world: World) -> dict[str, Any]:
    """Make the call of a job and return what came of it."""
    try:
        sys.path[:] = job["path"]
        function: Any = importlib.import_module(job["module"])
        for name in job["function"].split("."):
            function = getattr(function, name)
        result = function(world, *job["args"])
        json.dumps(result)
        return {"result": result if world.is_main else None}
    except PyclsError as error:
        return {
            "kind": type(error).__name__,
            "message": str(error),
            "exit_code": error.exit_code,
            "peer_lost": isinstance(error, PeerLostError),
        }
    except KeyboardInterrupt:
        return {"signal": int(signal.SIGINT)}
    except SystemExit as error:
        return {"exit": error.code}
    except Exception as error:
        cause = errors.find_environment_error(error)
        if cause is None:
            return {"traceback": traceback.format_exc()}
        message = errors.explain_os_error(cause)
        return {"kind": "PyclsError", "message": message, "exit_code": PyclsError.exit_code}


def _die_with_launcher() -> None:
    """Have Linux kill this process when its launcher ends: even one that hangs in C code."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _leave_with_launcher(control: socket.socket) -> None:
    """Wait for the launcher's end, and end at once: nothing half-written can come of it.

    On every system, and where the launcher ended before Linux was asked.
    """
    with contextlib.suppress(OSError):
        control.recv(1)
    os._exit(_ORPHANED)


if __name__ == "__main__":
    run_child()
