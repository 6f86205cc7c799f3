"""Starts the commands of pycls-studies, once it is clear that `pycls` is their package.

The package keeps the import name of facebookresearch/pycls, which many who come here have
installed. This module lies outside it, so that a clash is found before anything of it is imported.
"""

# Modules that take no time to import: until `_guarded` is there, Ctrl-C ends in a traceback.
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import importlib.machinery
    from collections.abc import Callable
    from typing import NoReturn


def main() -> None:
    """Run the command by whose name this process was started, such as pycls-study."""
    _guarded(_run_command)


def run(tool: str) -> None:
    """Run a tool of the checkout that stands first in sys.path, such as "study"."""
    _guarded(lambda: _run_tool_of_checkout(tool))


def _guarded(start: "Callable[[], None]") -> None:
    """Call a function with usable streams; while modules are imported, Ctrl-C ends at once."""
    try:
        import signal

        _mend_streams()
        # Not KeyboardInterrupt: an import can turn that into an error of its own, or lose it.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupted)
        start()
    except KeyboardInterrupt:
        _interrupted()


def _interrupted(*_: object) -> "NoReturn":
    os.write(2, b"interrupted\n")
    os._exit(130)


def _mend_streams() -> None:
    """Have something to write to where a stream is closed or its encoding lacks a character."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one; else the next file opened would get it, and
            # whatever is printed.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)


def _run_command() -> None:
    _leave_where_another_is_imported()
    from pathlib import Path

    from pycls.command_names import TOOLS

    command = Path(sys.argv[0]).stem
    _start(next(tool for tool, name in TOOLS.items() if name == command))


def _run_tool_of_checkout(tool: str) -> None:
    import importlib.machinery

    other = importlib.machinery.PathFinder.find_spec("pycls", sys.path[1:])
    if other is not None and not _is_ours(other):
        print(
            f"warning: Python imports another package pycls, of {_place(other)}; "
            "this tool takes its own checkout's, scripts and notebooks would not",
            file=sys.stderr,
        )
    _start(tool)


def _start(tool: str) -> None:
    from pycls.errors import run_tool

    try:
        run_tool(lambda: _import_main(tool)())
    except ModuleNotFoundError as error:
        if (error.name or "pycls").partition(".")[0] == "pycls":
            raise
        _leave(
            f"{sys.executable} has no package '{error.name}'; use the Python of the environment "
            "that pycls-studies is installed in (in a checkout, .venv/bin/python: make makes it)"
        )


def _import_main(tool: str) -> "Callable[[], int | None]":
    import signal

    from pycls.registry import import_object

    main = import_object(f"pycls.commands.{tool}:main")
    if signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return main  # type: ignore[no-any-return]


def _leave_where_another_is_imported() -> None:
    import importlib.util

    found = importlib.util.find_spec("pycls")
    if found is None:
        _leave(f"{sys.executable} finds no package pycls; install pycls-studies again")
    if not _is_ours(found):
        _leave(
            f"the package pycls of {_place(found)} is another one (of facebookresearch/pycls?) and "
            "hides that of pycls-studies; take it out of PYTHONPATH, or install pycls-studies in "
            "an environment of its own"
        )


def _is_ours(spec: "importlib.machinery.ModuleSpec") -> bool:
    """Say whether `pycls` is ours: where both are installed, theirs may have replaced parts."""
    from pathlib import Path

    init = Path(spec.origin or "")
    if not init.with_name("command_names.py").is_file():
        return False
    return "__version__" in init.read_text(encoding="utf-8")


def _place(spec: "importlib.machinery.ModuleSpec") -> str:
    from pathlib import Path

    if spec.origin:
        return str(Path(spec.origin).parent)
    return next(iter(_locations(spec)), "?")


def _locations(spec: "importlib.machinery.ModuleSpec") -> list[str]:
    return list(spec.submodule_search_locations or ())


def _leave(message: str) -> "NoReturn":
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
