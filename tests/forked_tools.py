"""Tools as processes of their own that need not import PyTorch first: forked from one that has.

Importing PyTorch takes most of the time of a small tool. `command` gives what to start in place of
Python and a tool: a program that hands its folder, environment and output to the server that
forked, and ends as the tool does. The server ends with the process that asked for it.
"""

import atexit
import functools
import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

_IMPORTED = (
    "torch", "scipy.stats", "matplotlib.pyplot", "pycls.core.trainer",
    "pycls.commands.study", "pycls.analysis.report.report",
)  # fmt: skip
# Starts in hundredths of a second: it needs no packages.
_STAND_IN = """
import os, signal, socket, sys
place, *words = sys.argv[1:]
own = [key + "=" + value for key, value in os.environ.items()]
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
    server.connect(place)
    text = os.fsencode("\\0".join([os.getcwd(), str(len(words)), *words, *own]))
    socket.send_fds(server, [len(text).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(text)
    status = int(server.recv(16) or b"9")
if os.WIFSIGNALED(status):
    signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))
os._exit(os.WEXITSTATUS(status))
"""


def command(*words):
    """Return a command that does as `python WORDS` does: a script and its arguments."""
    return [sys.executable, "-I", "-S", "-c", _STAND_IN, _server(), *map(str, words)]


@functools.cache
def _server():
    """Start the server, if it has not been; return its socket."""
    folder = tempfile.TemporaryDirectory(prefix="tools")
    place = Path(folder.name) / "socket"
    process = subprocess.Popen(
        [sys.executable, __file__, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout.readline() == b"ready\n"

    def stop():
        process.communicate()  # it ends where its standard input does
        folder.cleanup()

    atexit.register(stop)
    return str(place)


def _serve(place):
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
            return _tool_of(connection)


def _tool_of(connection):
    """Fork the tool's process; return its words there, and report how it ends elsewhere."""
    length, files, _, _ = socket.recv_fds(connection, 8, 3)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        for file in (0, 1, 2, *files):
            os.close(file)
        connection.sendall(str(os.waitpid(child, 0)[1]).encode())
        os._exit(0)
    with connection, connection.makefile("rb") as stream:
        text = stream.read(int.from_bytes(length, "big"))
    folder, count, *rest = os.fsdecode(text).split("\0")
    words, environment = rest[: int(count)], rest[int(count) :]
    for here, file in enumerate(files):
        os.dup2(file, here)
        os.close(file)
    # Those of the server know what it was given, such as a file in which one can go back.
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(pair.split("=", 1) for pair in environment)
    return words


def _main():
    sys.path[0] = str(Path(__file__).parents[1])
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    words = _serve(sys.argv[1])
    sys.argv[:] = words
    sys.path[0] = str(Path(words[0]).parent)
    runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _main()
