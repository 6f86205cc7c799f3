"""The folder of a sweep, laid out as pycls lays it out.

Layout::

    FOLDER/sweep_cfg.yaml, cfgs_summary.yaml, setup.svg, setup.png
    FOLDER/cfgs/000000.yaml ...      one a run
    FOLDER/logs/000000/ ...          what each run writes
"""

import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls.strict_yaml import load_yaml

SWEEP_CFG = "sweep_cfg.yaml"
SUMMARY = "cfgs_summary.yaml"
POPULATION = "population.csv"
CFGS = "cfgs"
LOGS = "logs"
LOCK = ".lock"
FIGURE = "setup"
# pycls's form: a text of keys and values in turn, "OPTIM.BASE_LR 0.5 ANYNET.DEPTHS [1, 2]".
_KEY = re.compile(r"(?:^|\s)([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*)\s")
_SUFFIX = ".yaml"

Drawn = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep.

    Attributes:
        path: the folder, which need not be there.
    """

    path: Path

    @property
    def sweep_cfg(self) -> Path:
        """Return the file with all settings."""
        return self.path / SWEEP_CFG

    @property
    def summary(self) -> Path:
        """Return the file that says what was drawn for each run."""
        return self.path / SUMMARY

    @property
    def logs(self) -> Path:
        """Return the folder of the runs' folders."""
        return self.path / LOGS

    def cfg(self, run: int) -> Path:
        """Return the configuration of a run, counted from 0."""
        return self.path / cfg_name(run)

    def out_dir(self, run: int) -> Path:
        """Return the folder that a run writes to."""
        return self.logs / run_name(run)

    def runs(self) -> list[int]:
        """Return the numbers of the runs that are set up, in order."""
        names = (path.stem for path in (self.path / CFGS).glob("*.yaml"))
        return sorted(int(name) for name in names if name.isdigit())

    def launched(self) -> list[str]:
        """Return the names of the runs that have written something."""
        if not self.logs.is_dir():
            return []
        with os.scandir(self.logs) as entries:
            return sorted(e.name for e in entries if not e.is_dir() or any(os.scandir(e.path)))


def run_name(run: int) -> str:
    """Return a run's name, six digits or more."""
    return f"{run:06d}"


def cfg_name(run: int) -> str:
    """Return where a run's configuration is in the sweep's folder."""
    return f"{CFGS}/{run_name(run)}.yaml"


def read_summary(path: Path) -> Drawn:
    """Return {run: {configuration key: value}}, with "complexity" where the file has it.

    An entry that is of neither form is left out; without a file there are none.

    Raises:
        ConfigError: the file is not YAML.
    """
    if not path.is_file():
        return {}
    content = load_yaml(path)
    drawn = {}
    for name, entry in content.items() if isinstance(content, dict) else ():
        values = _read_words(entry) if isinstance(entry, str) else entry
        if isinstance(values, dict):
            # Values that JSON cannot hold (a date) are shown as they are written.
            drawn[str(name).removesuffix(_SUFFIX)] = {str(k): _plain(v) for k, v in values.items()}
    return drawn


def _read_words(text: str) -> dict[str, Any]:
    """Return the keys and values of pycls's form."""
    _, *parts = _KEY.split(text)
    return {
        key: _literal(value.strip()) for key, value in zip(parts[::2], parts[1::2], strict=True)
    }


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)
