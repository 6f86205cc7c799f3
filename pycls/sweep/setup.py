"""The set-up of a sweep: its runs are drawn, their configurations checked, its folder written.

A sweep's folder appears whole or not at all: it is written beside its place and renamed. A
sweep of which a run has begun is never touched.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pycls import files
from pycls.core.runs.lease import find_owner
from pycls.core.runs.log import find_records
from pycls.core.runs.paths import checkpoint_dir
from pycls.core.runs.record import read_record
from pycls.errors import ConfigError, PyclsError
from pycls.schema import (
    ANALYSIS_HTML,
    COLLECT_PREFIX,
    CURVES_CSV,
    LAUNCH_FOLDER,
    LAUNCH_JSON,
    LOG_FILE,
    RESULTS_CSV,
    SWEEP_JSON,
)
from pycls.spaces.bounds import METRICS
from pycls.strict_yaml import dump_yaml
from pycls.sweep.base_cfg import BaseCfg
from pycls.sweep.draw import Drawer, Draws
from pycls.sweep.file import SweepCfg
from pycls.sweep.folder import (
    CFGS,
    FIGURE,
    LOCK,
    LOGS,
    POPULATION,
    SUMMARY,
    SWEEP_CFG,
    SweepFolder,
    cfg_name,
    run_name,
)
from pycls.sweep.rows import (
    list_configs,
    list_population,
    load_population,
    population_frame,
    read_configs,
)
from pycls.sweep.samplers import build_samplers

_OWN_FILES = (SWEEP_CFG, SUMMARY, POPULATION, CFGS, LOGS, LOCK, f"{FIGURE}.svg", f"{FIGURE}.png")
# What the other steps write there, which goes with a sweep that came to nothing.
_OF_LATER_STEPS = (
    LAUNCH_FOLDER, LAUNCH_JSON, SWEEP_JSON, RESULTS_CSV, CURVES_CSV, ANALYSIS_HTML,
)  # fmt: skip


@dataclass(frozen=True)
class SweepSetup:
    """All that a sweep's folder will hold.

    Attributes:
        sweep: the settings.
        base: what the runs share.
        draws: the runs.
        texts: {path in the folder: content} of every file but the figure.
    """

    sweep: SweepCfg
    base: BaseCfg
    draws: Draws
    texts: Mapping[str, str]

    @property
    def folder(self) -> SweepFolder:
        """Return the sweep's folder."""
        return SweepFolder(self.sweep.folder)

    def __len__(self) -> int:
        return len(self.draws.rows)


def plan_sweep(sweep: SweepCfg, progress: Callable[[int, int], None] | None = None) -> SweepSetup:
    """Draw and check all runs of a sweep; nothing is written.

    Args:
        sweep: the settings.
        progress: called now and then with the runs found and the draws made.

    Raises:
        ConfigError: a setting cannot be used, a draw makes no configuration, or the
            constraints leave too few draws.
    """
    samplers = build_samplers(sweep)
    setup = sweep.setup
    listed, texts = None, {}
    kept: dict[str, Any] = {}
    if setup["POPULATION"]:
        population = load_population(sweep)
        base = BaseCfg(sweep, population_frame(population))
        listed = list_population(population, sweep.where("SETUP", "POPULATION"))
        texts[POPULATION] = population.to_csv_text()
        kept["POPULATION"] = POPULATION
    else:
        base = BaseCfg(sweep)
        if setup["CONFIGS"]:
            configs = read_configs(sweep)
            listed = list_configs(configs, base, sweep)
            kept["CONFIGS"] = [values for _, values in configs]
    draws = Drawer(sweep, base, samplers, listed).draw(progress)
    draws = replace(draws, rows=[base.checked(row) for row in draws.rows])
    # The folder stands for itself: what the sweep file refers to is kept beside its copy.
    texts[SWEEP_CFG] = dump_yaml({**sweep.values, "SETUP": {**setup, **kept}})
    texts[SUMMARY] = _summary(draws, listed.label_key if listed else "")
    logs = SweepFolder(sweep.folder)
    for run, row in enumerate(draws.rows):
        texts[cfg_name(run)] = base.text(row, str(logs.out_dir(run)))
    return SweepSetup(sweep, base, draws, texts)


def _summary(draws: Draws, label_key: str) -> str:
    """Return, by run, what was drawn and how complex the network is, as YAML."""
    entries = {}
    for run, row in enumerate(draws.rows):
        counts = {name: int(draws.counts[name][run]) for name in METRICS}
        label = {label_key: draws.labels[run]} if draws.labels else {}
        entries[run_name(run)] = {**row, **label, "complexity": counts}
    return dump_yaml(entries)


def check_target(sweep: SweepCfg, *, may_replace: bool = False) -> None:
    """Refuse a folder that must not be written to, before anything is drawn.

    Args:
        sweep: the settings.
        may_replace: whether a launched sweep of which nothing came may be replaced.

    Raises:
        ConfigError: it holds a launched sweep, or something else than a sweep.
    """
    folder = SweepFolder(sweep.folder)
    root = Path(sweep.values["ROOT_DIR"])
    for parent in [folder.path, *folder.path.parents]:
        if parent.exists() and not parent.is_dir():
            raise ConfigError(f"{sweep.where('NAME')}: {parent} is a file; choose another NAME")
        if parent in (root, *root.parents):
            break
        if parent != folder.path and SweepFolder(parent).sweep_cfg.exists():
            raise ConfigError(
                f"{sweep.where('NAME')}: {parent} is a sweep itself and can hold no other; "
                "choose another NAME"
            )
    launched = folder.launched()
    of_use = next((run for run in launched if _came_to_something(folder.logs / run)), "")
    if launched and (of_use or not may_replace):
        hint = f"and {of_use} has been trained"
        if not of_use:
            hint = "and none has finished an epoch: add --replace to set it up anew"
        raise ConfigError(
            f"{folder.path}: this sweep has been launched ({len(launched)} runs have written into "
            f"{folder.logs}, {hint}), so it is left as it is; choose another NAME for a new one"
        )
    if folder.path.is_dir() and files.is_locked(folder.path / LOCK):
        raise PyclsError(f"{folder.path}: in use by another process; wait for it or stop it first")
    found = folder.path.iterdir() if folder.path.is_dir() else ()
    own = (*_OWN_FILES, *(_OF_LATER_STEPS if may_replace else ()))
    names = [entry.name for entry in found if entry.name not in own]
    others = sorted(n for n in names if not (may_replace and n.startswith(COLLECT_PREFIX)))
    if others:
        raise ConfigError(
            f"{folder.path}: holds {', '.join(others[:3])}, which no set-up wrote; choose another "
            "NAME, or move it away"
        )


def _came_to_something(out_dir: Path) -> bool:
    """Say whether a run has finished an epoch, or a process is at it."""
    if not out_dir.is_dir():
        return True  # a file that no run of ours wrote
    if (read_record(out_dir) or {}).get("status") == "done" or find_owner(out_dir) is not None:
        return True
    if checkpoint_dir(out_dir).is_dir() and any(checkpoint_dir(out_dir).iterdir()):
        return True
    log = out_dir / LOG_FILE
    records = find_records(log.read_bytes(), frozenset(["test_epoch"])) if log.is_file() else ()
    return any(True for _ in records)


def write_sweep(
    plan: SweepSetup,
    draw_figure: Callable[[Path], None] | None = None,
    *,
    may_replace: bool = False,
) -> bool:
    """Write a sweep's folder, whole or not at all.

    Args:
        plan: what it will hold.
        draw_figure: writes figures, given a path without suffix.
        may_replace: whether a set-up with other settings may be replaced, of which no run has
            finished an epoch.

    Returns:
        Whether anything was written: False where the folder holds just this already.

    Raises:
        ConfigError: the folder must not be written to; see :func:`check_target`.
        PyclsError: another process sets the same sweep up.
    """
    check_target(plan.sweep, may_replace=may_replace)
    folder = plan.folder
    is_there = folder.path.is_dir() and any(folder.path.iterdir())
    if is_there and not folder.launched() and _holds(folder.path, plan.texts):
        return False
    if is_there and not may_replace:
        raise ConfigError(
            f"{folder.path}: holds a sweep set up with other settings; choose another NAME, or "
            "add --replace to the command (before KEY VALUE) to set it up anew"
        )
    with _partial_folder(folder.path) as partial:
        files.write_texts(partial, plan.texts)
        (partial / LOGS).mkdir()
        if draw_figure is not None:
            draw_figure(partial / FIGURE)
        check_target(plan.sweep, may_replace=may_replace)
        _put(partial, folder.path)
    return True


def _holds(folder: Path, texts: Mapping[str, str]) -> bool:
    """Say whether a folder holds these files, and no other configurations.

    The summary follows from the others, but for what hand-written configurations are called.
    """
    cfgs = {f"{CFGS}/{path.name}" for path in (folder / CFGS).glob("*")}
    if cfgs != {name for name in texts if name.startswith(f"{CFGS}/")}:
        return False
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == text.encode("utf-8")
        for name, text in texts.items()
        if name != SUMMARY
    )


@contextmanager
def _partial_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that one process at a time can have."""
    partial = target.with_name(f".{target.name}{files.PARTIAL_SUFFIX}")
    partial.mkdir(parents=True, exist_ok=True)
    with files.exclusive_lock(partial / LOCK, f"setting up {target}"):
        if not (partial / LOCK).exists():
            raise PyclsError(f"{target}: another process has just set it up; look at the result")
        _empty(partial)
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _empty(folder: Path) -> None:
    """Remove what a killed set-up left."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _put(partial: Path, target: Path) -> None:
    """Give a complete folder its place; an old set-up there goes only then."""
    old = target.with_name(f".{target.name}.old{files.PARTIAL_SUFFIX}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
