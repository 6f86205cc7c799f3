"""The collection of a study: results.csv, curves.csv, timings.csv and status.json."""

import contextlib
import itertools
import json
import shlex
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pycls import files
from pycls.core.runs.packed import open_file
from pycls.core.runs.record import read_outline
from pycls.cores import usable_cores
from pycls.errors import ConfigError
from pycls.results.log_cache import CACHE, LogCache, damaged_text
from pycls.results.log_records import LogData
from pycls.results.run_states import RunState, find_state
from pycls.schema import (
    CURVES,
    CURVES_CSV,
    ERR_FILE,
    LOG_FILE,
    RESULTS,
    RESULTS_CSV,
    STAGES,
    STATUS_JSON,
    STUDY_JSON,
    TIMINGS_CSV,
)
from pycls.study.runs import Run
from pycls.study.study import StudyFolder

LOG_TAIL_LINES = 15
_DONE = {"status": "done"}


def collect(study: StudyFolder) -> dict[str, Any]:
    """Write results.csv, curves.csv, timings.csv and status.json into the study's folder.

    Needs the folder as :func:`pycls.study.write.write_study` left it, but no data sets.

    Results hold no times and no machine names: the same runs give the same bytes. A run
    that is not done has empty error columns.

    Returns:
        What status.json holds: planned, done, failed (run, reason, log_tail), missing, and
        trained_with (code, PyTorch and device of the finished runs, each once), devices ({sweep:
        {device: number of finished runs}}).
    """
    results, timings, failed = [], [], []
    stages = study.population.num_stages
    trained_with: set[str] = set()
    devices: dict[str, Counter[str]] = {}
    described = json.loads((study.folder / STUDY_JSON).read_text(encoding="utf-8"))
    _require_known(study, described)
    records = {run.id: _read_record(study.out_dir(run)) for run in study.runs}
    # A run whose record is gone is done where its log says so.
    done = [run for run in study.runs if (records[run.id] or _DONE).get("status") == "done"]
    cache = _read_logs(study, done)
    with files.csv_if_changed(study.folder / CURVES_CSV) as write_row:
        write_row(column.name for column in CURVES)
        for run in study.runs:
            log = cache.entries[run.id].data() if run.id in cache.entries else LogData()
            dataset = described["datasets"][run.dataset]
            facts = {
                "num_classes": dataset["num_classes"],
                "epochs": run.stop or described["sweeps"][run.sweep]["epochs"],
                "error_metric": dataset["error_metric"],
                "topk": min(5, dataset["num_classes"]),
            }
            state = _find_state(study, run, records[run.id], log, facts["epochs"])
            results.append(_result_row(run, state.state, facts, log, stages))
            if state.state == "done":
                timings.append([run.id, state.record.get("started"), state.record.get("seconds")])
                for row in _curve_rows(run, log):
                    write_row(row)
                trained_with.add(describe_code(state.record))
                device = state.record.get("environment", {}).get("device")
                if device:
                    devices.setdefault(run.sweep, Counter())[str(device)] += 1
            elif state.state == "failed":
                tail = log_tail(study.out_dir(run))
                failed.append({"run": run.id, "reason": state.reason, "log_tail": tail})
    for name, header, rows in (
        (RESULTS_CSV, *_without_unused(_columns(stages), results)),
        (TIMINGS_CSV, ["run", "started", "seconds"], timings),
    ):
        files.write_text_if_changed(study.folder / name, files.csv_text([header, *rows]))
    summary = {
        "planned": len(study.runs),
        "done": len(timings),
        "failed": failed,
        "missing": len(study.runs) - len(timings) - len(failed),
        "trained_with": sorted(trained_with),
        "devices": devices,
    }
    files.write_json(study.folder / STATUS_JSON, summary)
    return summary


def _read_record(out_dir: Path) -> dict[str, Any] | None:
    """Return a run's record without its epochs, most of it, which would fill the memory."""
    record = read_outline(out_dir)
    return record and {key: value for key, value in record.items() if key != "epochs"}


def _read_logs(study: StudyFolder, runs: Sequence[Run]) -> LogCache:
    """Return the logs of runs, by their names; only what is new in them is read."""
    cache = LogCache(study.folder / CACHE, owner="study", with_cfg=False)
    cache.load()
    cache.read({run.id: study.out_dir(run) / LOG_FILE for run in runs}, usable_cores())
    cache.save()
    if damaged := cache.damaged():
        warnings.warn(damaged_text(damaged), stacklevel=3)
    return cache


def _find_state(
    study: StudyFolder, run: Run, record: dict[str, Any] | None, log: LogData, epochs: int
) -> RunState:
    facts = {"epochs": epochs, "epochs_done": epochs * (epochs in log.test), "mixed": False}
    return find_state(study.out_dir(run), record, log=facts if record or log.test else {})


def log_tail(out_dir: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a run's logs, its errors last."""
    parts: list[str] = []
    for name in (LOG_FILE, ERR_FILE):
        with contextlib.suppress(FileNotFoundError), open_file(out_dir / name) as file:
            text = file.read().decode("utf-8", "replace")
            parts.extend(line[:500] for line in text.splitlines()[-lines:])
    return "\n".join(parts[-lines:])


def describe_code(record: Mapping[str, Any]) -> str:
    """Return which code a run was trained by, and on what kind of device."""
    environment = record.get("environment", {})
    device = environment.get("device", "?")
    if device == "cpu" and "instruction_set" in environment:
        device = f"cpu ({environment['instruction_set']})"
    commit = environment.get("commit") or "unknown commit"
    changed = " with uncommitted changes" if environment.get("dirty") else ""
    return (
        f"pycls {environment.get('pycls', '?')} ({commit}{changed}), PyTorch "
        f"{environment.get('torch', '?')}, {device}"
    )


def _require_known(study: StudyFolder, described: dict[str, Any]) -> None:
    new = sorted({run.sweep for run in study.runs} - set(described["sweeps"]))
    if new:
        raise ConfigError(
            f"{study.spec.path}: the sweep {new[0]} is not in {study.folder} yet; "
            f"'tools/study.py run {shlex.quote(str(study.spec.path))}' adds it"
        )


def _columns(stages: int) -> list[str]:
    by_stage = [f"{column.name}_{i + 1}" for column in STAGES for i in range(stages)]
    return [*(column.name for column in RESULTS), *by_stage]


def _without_unused(header: list[str], rows: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:
    """Leave out the columns that nobody has asked for."""
    unused = [
        place
        for place, column in enumerate(RESULTS)
        if not column.always and all(row[place] is None for row in rows)
    ]
    for line in (header, *rows):
        for place in reversed(unused):
            del line[place]
    return header, rows


def _curve_rows(run: Run, log: LogData) -> Iterator[list[Any]]:
    """Yield one row an epoch, with the errors that the log has of it."""
    train = log.train
    sources = (
        SimpleNamespace(run=run, arch=run.arch, epoch=epoch, test=test, train=train.get(epoch, {}))
        for epoch, test in log.test.items()
    )
    return ([column.value(source) for column in CURVES] for source in sources)


def _result_row(
    run: Run, status: str, facts: dict[str, Any], log: LogData, stages: int
) -> list[Any]:
    done, last = status == "done", facts["epochs"]
    source = SimpleNamespace(
        run=run,
        arch=run.arch,
        status="missing" if status in ("running", "stopped") else status,
        test=log.test[last] if done else {},
        train=log.train.get(last, {}) if done else {},
        full=log.full if done else {},
        halves=log.halves if done else {},
        complexity=log.complexity,
        **facts,
    )
    by_stage = [list(column.value(source) or [None] * stages) for column in STAGES]
    return [*(column.value(source) for column in RESULTS), *itertools.chain(*by_stage)]
