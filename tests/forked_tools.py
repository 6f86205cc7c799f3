"""Python that need not import PyTorch first: forked from a process that has.

Importing PyTorch takes most of the time of a small program. `python` gives what to start in place
of Python: a program that hands its words, folder, environment and open files to the server that
forks, passes on signals, and ends as what it stands in for does. What might find other things
imported than it would import itself, or libraries that were set up otherwise, is started as it is.
The server ends with the process that asked for it.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import os
import runpy
import select
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_PYTHON = sys.executable  # tests may have it stand for `python()` later
_IMPORTED = (
    "torch", "torch._dynamo", "scipy.stats", "matplotlib.pyplot", "pycls.core.trainer",
    "pycls.core.training_launch", "pycls.commands.study", "pycls.analysis.report.report",
)  # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Variables that are read once, when Python starts or a library is imported, begin with these.
_READ_ONCE = (
    "PYTHON", "ATEN", "GOMP", "KMP", "LD_", "MKL", "MPL", "OMP", "OPENBLAS",
    "TORCH_", "TORCHINDUCTOR",
)  # fmt: skip
_FREE = {
    *_THREADS, "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONSAFEPATH", "TORCH_CPP_LOG_LEVEL",
    "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK",  # set by scikit-learn, for another library
}  # fmt: skip
_AT_FIRST = dict(os.environ)
# Starts in hundredths of a second: it needs no packages.
_STAND_IN = """
import os, signal, socket, sys
def is_open(number):
    try:
        return bool(os.fstat(number))
    except OSError:
        return False
place, *words = sys.argv[1:]
numbers = [number for number in map(int, os.listdir("/dev/fd")) if is_open(number)]
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
own = [key + "=" + value for key, value in os.environ.items()]
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
    server.connect(place)
    lists = [",".join(map(str, map(int, each))) for each in (numbers, blocked)]
    text = os.fsencode("\\0".join([*lists, os.getcwd(), str(len(words)), *words, *own]))
    socket.send_fds(server, [len(text).to_bytes(8, "big")], numbers)
    server.sendall(text)
    for number in numbers:  # whoever waits for their end waits for the tool's
        os.close(number)
    tool = int(server.recv(16))
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: os.kill(tool, number))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    status = int(server.recv(16) or b"9")
if os.WIFSIGNALED(status):
    if os.WTERMSIG(status) != signal.SIGKILL:
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.WEXITSTATUS(status))
"""


def command(*words):
    """Return a command that does as `python WORDS` does."""
    return [python(), *map(str, words)]


@contextlib.contextmanager
def in_place_of_python():
    """Have what is started as sys.executable forked, for the time of a `with` block."""
    before, sys.executable = sys.executable, python()
    try:
        yield
    finally:
        sys.executable = before


def real_command(script, *words):
    """Return a command that runs a script in Python itself; what it starts in turn is forked."""
    code = (
        "import os, runpy, sys; sys.executable = sys.argv[1]; del sys.argv[:2]; "
        "sys.path[0] = os.path.dirname(sys.argv[0]); runpy.run_path(sys.argv[0], None, '__main__')"
    )
    return [_PYTHON, "-c", code, python(), str(script), *map(str, words)]


@functools.cache
def python():
    """Return the path of a program that does as Python does; start the server."""
    folder = tempfile.TemporaryDirectory(prefix="tools")
    place, program = Path(folder.name) / "socket", Path(folder.name) / "python"
    stand_in = [_PYTHON, "-I", "-S", "-c", _STAND_IN, str(place)]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(stand_in)} "$@"\n')
    program.chmod(0o755)
    process = subprocess.Popen(
        [_PYTHON, __file__, place, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        # As processes of one training have it: others have nothing to say below it, either.
        env={**os.environ, **dict.fromkeys(_THREADS, "1"), "TORCH_CPP_LOG_LEVEL": "ERROR"},
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"

    def stop():
        process.communicate()  # it ends where its standard input does
        folder.cleanup()

    atexit.register(stop)
    return str(program)


def _serve(place, code_digest):
    """Take requests until standard input ends; return only in the processes of tools."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(place)
    listener.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        while True:
            if any(key.fileobj == 0 for key, _ in waiting.select()):
                os._exit(0)
            connection, _ = listener.accept()
            if os.fork():
                connection.close()
                continue
            waiting.close()
            listener.close()
            return _tool_of(connection, code_digest)


def _tool_of(connection, code_digest):
    """Fork the tool's process; return its words there, and report how it ends elsewhere."""
    length, files, _, _ = socket.recv_fds(connection, 8, 250)
    with connection.makefile("rb") as stream:
        text = stream.read(int.from_bytes(length, "big"))
    numbers, blocked, folder, count, *rest = os.fsdecode(text).split("\0")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        _look_after(child, connection, files)
    signal.pthread_sigmask(signal.SIG_SETMASK, list(map(int, filter(None, blocked.split(",")))))
    connection.detach()
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, 500) for file in files]
    os.closerange(0, 500)
    given = list(map(int, filter(None, numbers.split(","))))
    for file, number in zip(moved, given, strict=True):
        os.dup2(file, number)
        os.close(file)
    words, pairs = rest[: int(count)], rest[int(count) :]
    words = words[words[:1] == ["-u"] :]  # nothing is kept from who reads, but till the end
    os.chdir(folder)
    environment = dict(pair.split("=", 1) for pair in pairs)
    is_as_here = _is_as_here(words, environment, code_digest)
    os.environ.clear()
    os.environ.update(environment)
    if not is_as_here:
        os.execv(_PYTHON, [_PYTHON, *words])
    # Those of the server know what it was given, such as a file in which one can go back.
    sys.stdin = open(0) if 0 in given else None  # noqa: SIM115
    sys.stdout = open(1, "w") if 1 in given else None  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace") if 2 in given else None  # noqa: SIM115
    return words


def _look_after(child, connection, files):
    """Tell the stand-in of its tool and its end; end the tool with the stand-in."""
    for file in (0, 1, 2, *files):
        os.close(file)
    ends = os.pidfd_open(child)
    with contextlib.suppress(OSError):
        connection.sendall(b"%16d" % child)
        if ends not in select.select([ends, connection], [], [])[0]:
            os.kill(child, signal.SIGKILL)
        connection.sendall(b"%16d" % os.waitpid(child, 0)[1])
    os._exit(0)


def _is_as_here(words, environment, code_digest):
    """Say whether a program would have imported what is imported here, in the same way."""
    if not words or (words[0].startswith("-") and words[0] not in ("-c", "-m")):
        return False
    if any(environment.get(name, environment.get(_THREADS[0])) != "1" for name in _THREADS):
        return False
    for key in (environment.keys() | _AT_FIRST.keys()) - _FREE:
        # Or as libraries have set it, here and in those that start it.
        known = (_AT_FIRST.get(key), os.environ.get(key))
        if key.startswith(_READ_ONCE) and environment.get(key) not in known:
            return False
    # A copy of the code, as studies lay it, has a digest of what is in it for its name.
    others = [
        path for path in _python_path(environment)
        if path.resolve() != _ROOT and path.name != code_digest
    ]  # fmt: skip
    names = {entry.stem for path in others if path.is_dir() for entry in path.iterdir()}
    return not names & sys.modules.keys()


def _python_path(environment):
    return [Path(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]


def _run(words):
    """Do as Python does with these words."""
    sys.path[1:1] = map(str, _python_path(os.environ))
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("sitecustomize")
    is_safe = bool(os.environ.get("PYTHONSAFEPATH"))
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    if words[0] not in ("-c", "-m"):
        sys.argv[:] = words
        sys.path[0] = str(Path(words[0]).parent.resolve())
        runpy.run_path(words[0], run_name="__main__")
        return
    sys.argv[:] = [words[0], *words[2:]]
    sys.path[:1] = [] if is_safe else [str(Path.cwd()) if words[0] == "-m" else ""]
    if words[0] == "-m":
        sys.modules.pop(words[1], None)  # it is to be __main__, as if it had not been imported
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        exec(words[1], {"__name__": "__main__"})


def _main():
    place, program = sys.argv[1:]
    sys.path[0] = str(_ROOT)
    for name in _IMPORTED:
        importlib.import_module(name)
    from pycls.launch.snapshot import snapshot_code

    code_digest = snapshot_code(Path(place).parent / "code").name
    gc.collect()
    gc.freeze()
    words = _serve(place, code_digest)
    sys.executable = program
    _run(words)


if __name__ == "__main__":
    _main()
