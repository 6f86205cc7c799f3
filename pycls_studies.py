"""Starts the commands of pycls-studies, once it is clear that `pycls` is their package.

The package keeps the import name of facebookresearch/pycls, which many who come here have
installed. This module lies outside it, so that a clash is found before anything of it is imported.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import NoReturn


def main() -> None:
    """Run the command by whose name this process was started, such as pycls-study."""
    _leave_where_another_is_imported()
    from pycls.command_names import TOOLS

    command = Path(sys.argv[0]).stem
    _start(next(tool for tool, name in TOOLS.items() if name == command))


def run(tool: str) -> None:
    """Run a tool of the checkout that stands first in sys.path, such as "study"."""
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
    from pycls.registry import import_object

    try:
        run_tool(lambda: import_object(f"pycls.commands.{tool}:main")())
    except ModuleNotFoundError as error:
        if (error.name or "pycls").partition(".")[0] == "pycls":
            raise
        _leave(
            f"{sys.executable} has no package '{error.name}'; use the Python of the environment "
            "that pycls-studies is installed in (in a checkout, .venv/bin/python: make makes it)"
        )


def _leave_where_another_is_imported() -> None:
    found = importlib.util.find_spec("pycls")
    if found is None:
        _leave(f"{sys.executable} finds no package pycls; install pycls-studies again")
    if not _is_ours(found):
        _leave(
            f"the package pycls of {_place(found)} is another one (of facebookresearch/pycls?) and "
            "hides that of pycls-studies; take it out of PYTHONPATH, or install pycls-studies in "
            "an environment of its own"
        )


def _is_ours(spec: importlib.machinery.ModuleSpec) -> bool:
    """Say whether `pycls` is ours: where both are installed, theirs may have replaced parts."""
    init = Path(spec.origin or "")
    if not init.with_name("command_names.py").is_file():
        return False
    return "__version__" in init.read_text(encoding="utf-8")


def _place(spec: importlib.machinery.ModuleSpec) -> str:
    return str(Path(spec.origin).parent if spec.origin else next(iter(_locations(spec)), "?"))


def _locations(spec: importlib.machinery.ModuleSpec) -> list[str]:
    return list(spec.submodule_search_locations or ())


def _leave(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
