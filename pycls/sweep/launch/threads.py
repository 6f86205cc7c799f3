"""The CPU threads of a run, which a study or sweep keeps from its first run to its last.

Sums are rounded differently with another number of threads. What goes on keeps its own, so that
it ends as if it had never been stopped, wherever its runs are trained.
"""

import json
from collections.abc import Callable
from pathlib import Path

from pycls.files import write_json

_FILE = "launch.json"


def choose_threads(
    folder: Path, share: int, asked: int | None = None, say: Callable[[str], None] = print
) -> int:
    """Return the threads of a run, and keep the choice in the folder of the study or sweep.

    Args:
        folder: of the study or sweep.
        share: a fair share of the cores, for the first time.
        asked: what the user asks for; None: nothing.
        say: where a warning goes.
    """
    path = folder / _FILE
    before = json.loads(path.read_text())["threads"] if path.is_file() else None
    threads = asked or before or max(1, share)
    if before is not None and threads != before:
        say(f"  runs so far had {before} threads, now {threads}: last digits may differ")
    if threads != before:
        write_json(path, {"threads": threads})
    return threads
