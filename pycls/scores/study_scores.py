"""The scores of a study's architectures on its data sets: scores.csv, made in worker processes."""

import csv
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls import files
from pycls.core.config.load import computing_keys, load_cfg
from pycls.datasets.preparation.worker_pool import run_tasks
from pycls.errors import ConfigError
from pycls.progress import Progress
from pycls.schema import SCORE_KEYS, SCORE_REASONS, SCORES, SCORES_CSV
from pycls.study.runs import Run
from pycls.study.study import StudyFolder

BATCH = 64
# Of what scores are made from: another number where a formula changes.
_VERSION = 1
_SECONDS_BETWEEN_WRITES = 10.0
_HEADER = [*SCORE_KEYS, *SCORES, SCORE_REASONS]

Key = tuple[str, ...]


@dataclass(frozen=True)
class _Task:
    """One row to make: a run's configuration, and the batch that is scored."""

    cfg: str
    batch: int


def score_study(study: StudyFolder, workers: int, batch: int | None = None) -> Path:
    """Write scores.csv of a study that is set up: a row per architecture and data set.

    Rows that are there already and made from the same are kept, so that a stopped command goes on
    where it was. The same study gives the same bytes, however many workers there are.

    Args:
        study: its folder, as :func:`pycls.study.write.write_study` left it.
        workers: processes, of one thread each.
        batch: images that a network is scored on; None: 64, or all where there are fewer.

    Returns:
        The path of the table.

    Raises:
        ConfigError: a data set holds no batch, or scores.csv is another table.
        DataError: a data set is missing or damaged.
    """
    path = study.folder / SCORES_CSV
    sides = {key: study.data.open(dataset, "train") for key, dataset in study.spec.datasets.items()}
    wanted: dict[Key, _Task] = {}
    for run in _scored_runs(study):
        side = sides[run.dataset]
        task = _Task(str(study.cfg_path(run)), batch or min(BATCH, len(side)))
        wanted[_key(run, task, side.fingerprint)] = task
    rows = _read(path)
    keys = list(wanted)
    missing = [(i, wanted[key]) for i, key in enumerate(keys) if key not in rows]
    written = time.monotonic()
    progress = Progress(sys.stderr)
    progress.begin("scores", len(keys), len(keys) - len(missing), "networks")
    try:
        for number, cells in run_tasks(_make_row, missing, min(workers, len(missing))):
            rows[keys[number]] = cells
            progress.advance(1)
            if time.monotonic() - written > _SECONDS_BETWEEN_WRITES:
                _write(path, rows, keys)
                written = time.monotonic()
    finally:
        _write(path, rows, keys)
    progress.end()
    return path


def _scored_runs(study: StudyFolder) -> Iterator[Run]:
    """Yield a run of each architecture and data set of the population, the first seed's."""
    seen = set()
    for run in sorted(study.runs, key=lambda run: (run.dataset, run.index)):
        if run.role == "main" and (run.dataset, run.arch.arch) not in seen:
            seen.add((run.dataset, run.arch.arch))
            yield run


def _key(run: Run, task: _Task, fingerprint: str) -> Key:
    """Return what names a row, the last of which says what it is made from."""
    keys = computing_keys(load_cfg(task.cfg))
    made_from = json.dumps([_VERSION, fingerprint, keys], sort_keys=True, default=str)
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:12]
    return (run.dataset, run.arch.arch, str(run.seed), str(task.batch), digest)


def _make_row(task: _Task) -> list[str]:
    """Return the cells of the scores, and why some are empty."""
    from pycls.scores.network_scores import score

    cfg = load_cfg(task.cfg, ["TRAIN.BATCH_SIZE", task.batch])
    data = {name: cfg[name] for name in ("DATA", "TRAIN", "TEST")}
    with _one_thread():
        found = score(cfg, _batch(task, str(data), cfg.RNG_SEED))
    values = ["" if isinstance(found[name], str) else f"{found[name]:.12g}" for name in SCORES]
    reasons = [f"{name}: {value}" for name, value in found.items() if isinstance(value, str)]
    return [*values, "; ".join(reasons)]


_batches: dict[tuple[str, int], Any] = {}


def _batch(task: _Task, data: str, seed: int) -> Any:
    """Return the first batch of a data set, which its networks share."""
    from pycls.scores.network_scores import first_batch

    if (data, seed) not in _batches:
        _batches.clear()  # of one set at a time
        _batches[data, seed] = first_batch(load_cfg(task.cfg, ["TRAIN.BATCH_SIZE", task.batch]))
    return _batches[data, seed]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: sums of several are split otherwise, and end in other bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _read(path: Path) -> dict[Key, list[str]]:
    if not path.is_file():
        return {}
    rows = list(csv.reader(files.read_text(path, "CSV").splitlines()))
    if not rows or rows[0] != _HEADER or any(len(row) != len(rows[0]) for row in rows):
        raise ConfigError(f"{path}: no table of scores of this version; remove it to score anew")
    count = len(SCORE_KEYS)
    return {tuple(row[:count]): row[count:] for row in rows[1:]}


def _write(path: Path, rows: dict[Key, list[str]], keys: list[Key]) -> None:
    """Write the rows that there are of those wanted, in their order."""
    table = [[*key, *rows[key]] for key in keys if key in rows]
    files.write_text_if_changed(path, files.csv_text([_HEADER, *table]))
