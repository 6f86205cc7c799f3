"""Where a sweep's files are, the layout of pycls.

Layout::

    FOLDER/sweep_cfg.yaml, cfgs_summary.yaml, setup.svg, setup.png
    FOLDER/cfgs/000000.yaml ...      one a run
    FOLDER/logs/000000/ ...          what each run writes
"""

import os
from dataclasses import dataclass
from pathlib import Path

SWEEP_CFG = "sweep_cfg.yaml"
SUMMARY = "cfgs_summary.yaml"
POPULATION = "population.csv"
CFGS = "cfgs"
LOGS = "logs"
LOCK = ".lock"
FIGURE = "setup"


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
