"""Those who are told of a run's records as they are logged, beside its log.

A watcher is a function of one record: its fields, among them "_type", numbers unrounded. The
first record of a run, "cfg", is its configuration. What a watcher returns is not looked at.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from pycls.core.runs.epoch_lines import EpochLines
from pycls.core.runs.events import Events
from pycls.errors import ConfigError
from pycls.registry import import_object

Watcher = Callable[[dict[str, Any]], object]

# "1" in a worker of several runs: the terminal shows how far all are, and is not each run's own.
UNWATCHED_VARIABLE = "PYCLS_UNWATCHED"


def open_watchers(cfg: CfgNode) -> list[Watcher]:
    """Return those who watch a run: TENSORBOARD, LOG_HOOK, and the terminal it is started from.

    Raises:
        ConfigError: TensorBoard's package is not installed, or LOG_HOOK names no function.
    """
    watchers: list[Watcher] = []
    if cfg.TENSORBOARD:
        watchers.append(Events(Path(cfg.OUT_DIR) / "tensorboard"))
    if cfg.LOG_HOOK:
        watchers.append(_find_hook(cfg.LOG_HOOK))
    if is_watched():
        watchers.append(EpochLines(sys.stdout))
    return watchers


def is_watched() -> bool:
    """Say whether somebody reads standard output: readable lines go there, not the log."""
    return sys.stdout.isatty() and os.environ.get(UNWATCHED_VARIABLE) != "1"


def _find_hook(place: str) -> Watcher:
    expected = "expected module:function, of a module that Python finds (PYTHONPATH)"
    try:
        hook = import_object(place)
    except Exception as error:
        raise ConfigError(f"LOG_HOOK is {place!r}: {error}; {expected}") from error
    if not callable(hook):
        raise ConfigError(f"LOG_HOOK is {place!r}, which is no function; {expected}")
    return hook
