"""The collection of a sweep: pycls's sweep.json, results.csv and curves.csv, from its logs.

`sweep.json` is a list, one job a line, of the runs that have a log. NaN and Infinity stand in
it as Python's json module, simplejson and pycls write and read them, beyond the JSON standard:
an error that is not a number must not look like one that is missing (null).
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycls import files
from pycls.core.runs.lease import find_owner
from pycls.core.runs.packed import packed_runs
from pycls.core.runs.record import read_record
from pycls.errors import ConfigError
from pycls.results.checkpoint_cleanup import Freed, remove_checkpoints
from pycls.results.log_cache import CACHE, LogCache, LogEntry, Reading, Signature, signature_of
from pycls.results.run_states import STATES, RunState, find_state, read_errors
from pycls.results.sweep_rows import (
    CURVE_COLUMNS,
    derive,
    describe_network,
    result_columns,
    result_row,
)
from pycls.schema import (
    COLLECT_PREFIX,
    CURVES_CSV,
    ERR_FILE,
    LOG_FILE,
    RECORD_FILE,
    RESULTS_CSV,
    SWEEP_JSON,
)
from pycls.spaces.bounds import METRICS
from pycls.strict_yaml import load_yaml
from pycls.sweep.folder import CFGS, LOGS, Drawn, SweepFolder, read_summary

OUTPUTS = (SWEEP_JSON, RESULTS_CSV, CURVES_CSV)
LOCK = f"{COLLECT_PREFIX}lock"
_LONGEST_WAIT_S = 60.0
_INPUTS = (LOG_FILE, ERR_FILE, RECORD_FILE)


@dataclass(frozen=True)
class Collected:
    """What a collection found.

    Attributes:
        statuses: {run: how far it is}, in the order of runs.
        epochs: {run: (epochs trained and tested, epochs in all)} of the runs that have a log
            with epochs.
        reading: what was read.
        freed: the checkpoints that were removed, or would be.
        paths: the files that hold the results; empty where no run has begun.
        damaged: {run: records of its log that could not be read}, of the runs that have some.
    """

    statuses: Mapping[str, RunState]
    epochs: Mapping[str, tuple[int, int]]
    reading: Reading
    freed: Freed = field(default_factory=Freed)
    paths: Sequence[Path] = ()
    damaged: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Return {state: number of runs} of the states that occur."""
        found = [status.state for status in self.statuses.values()]
        return {state: found.count(state) for state in STATES if state in found}


def collect_sweep(
    path: str | os.PathLike[str],
    keep: str = "all",
    out: str | os.PathLike[str] | None = None,
    processes: int = 1,
    *,
    delete: bool = False,
) -> Collected:
    """Collect the results of a sweep's runs, however far they are.

    Only what changed since the last collection is read. A sweep of which no run has begun is
    left as it is.

    Args:
        path: the sweep's folder, ours or pycls's.
        keep: "all", "last" or "none": the checkpoints that finished runs need to keep.
        out: where the files go; None: the sweep's folder.
        processes: how many may read at a time.
        delete: whether the other checkpoints are removed; else they are only counted.

    Raises:
        ConfigError: the folder is not a sweep's.
    """
    folder = SweepFolder(Path(path))
    out_dir = folder.path if out is None else Path(out)
    runs = find_runs(folder)
    if not out_dir.is_dir():
        raise ConfigError(f"{out_dir}: no such folder; make it first")
    cache = LogCache(out_dir / CACHE, owner=f"sweep {folder.path.resolve()}", derive=derive)
    collected = _collect_again(folder, out_dir, cache, runs)
    if collected is None:
        collected = _collect(folder, out_dir, cache, runs, processes)
    # Only now: the results of what is removed are safe.
    for run, status in collected.statuses.items():
        if status.state == "done":
            freed, epochs = collected.freed, collected.epochs[run][1]
            remove_checkpoints(folder.logs / run, keep, epochs, freed, dry_run=not delete)
    return collected


def _collect(
    folder: SweepFolder, out_dir: Path, cache: LogCache, runs: Sequence[str], processes: int
) -> Collected:
    before = _fingerprint(folder, runs)
    cache.load()
    logs = str(folder.logs)
    reading = cache.read(
        {run: f"{logs}/{run}/{LOG_FILE}" for run in runs},
        processes,
        meanwhile=lambda: _update_drawn(folder, cache),
    )
    drawn: Drawn = cache.shared["summary"][1]
    facts = {run: _facts_of(run, folder, cache, drawn.get(run, {})) for run in runs}
    errors = {run: read_errors(f"{logs}/{run}") for run in runs}
    statuses = _find_statuses(folder, cache, errors)
    if all(status.state == "missing" for status in statuses.values()):
        return Collected(statuses, {}, reading)
    ends = {run: (known.get("epochs_done"), known.get("epochs")) for run, known in facts.items()}
    epochs = {run: (done or 0, last) for run, (done, last) in ends.items() if last}
    results = _results_text(statuses, facts, drawn)
    with files.exclusive_lock(out_dir / LOCK, f"writing results to {out_dir}", _LONGEST_WAIT_S):
        # What killed collections left; others may be writing other files there.
        for name in (*OUTPUTS, CACHE):
            for path in out_dir.glob(f".{name}.*{files.PARTIAL_SUFFIX}"):
                path.unlink(missing_ok=True)
        _write(folder, out_dir, cache, errors, results)
        cache.shared["last"] = {
            "inputs": before,
            "outputs": _signatures(out_dir),
            "statuses": {run: [s.state, s.reason] for run, s in statuses.items()},
            "epochs": epochs,
            "logs": len(cache.entries),
            "damaged": cache.damaged(),
        }
        cache.save()
    paths = [out_dir / name for name in OUTPUTS]
    return Collected(statuses, epochs, reading, paths=paths, damaged=cache.damaged())


def _collect_again(
    folder: SweepFolder, out_dir: Path, cache: LogCache, runs: Sequence[str]
) -> Collected | None:
    """Return what the last collection found, if nothing has changed since."""
    if not cache.load_shared():
        return None
    last = cache.shared.get("last", {})
    if last.get("inputs") != _fingerprint(folder, runs):
        return None
    records = cache.shared.get("records", {})
    statuses = {
        run: RunState(state, reason, *records.get(run, [])[1:])
        for run, (state, reason, *_) in last["statuses"].items()
    }
    if last["outputs"] != _signatures(out_dir) or any(
        (find_owner(f"{folder.logs}/{run}") is not None) != (status.state == "running")
        for run, status in statuses.items()
        if status.state in ("running", "stopped", "failed")
    ):
        return None
    epochs = {run: (done, end) for run, (done, end) in last["epochs"].items()}
    reading = Reading(unchanged=last["logs"])
    paths = [out_dir / name for name in OUTPUTS]
    return Collected(statuses, epochs, reading, paths=paths, damaged=last["damaged"])


def _signatures(out_dir: Path) -> list[Signature | None]:
    return [signature_of(out_dir / name) for name in OUTPUTS]


def _fingerprint(folder: SweepFolder, runs: Sequence[str]) -> str:
    """Return a hash over names, sizes and times of all that a collection reads."""
    logs, cfgs = str(folder.logs), str(folder.path / CFGS)
    parts: list[Any] = [str(folder.path), signature_of(folder.summary)]
    for run in runs:
        parts.append(run)
        parts.extend(signature_of(f"{logs}/{run}/{name}") for name in _INPUTS)
        parts.append(signature_of(f"{cfgs}/{run}.yaml"))
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def find_runs(folder: SweepFolder) -> list[str]:
    """Return the names of all runs, those that are set up and those that have a folder of logs.

    Raises:
        ConfigError: there is neither.
    """
    if not folder.path.is_dir():
        raise ConfigError(f"{folder.path}: no such folder; tools/sweep_setup.py makes a sweep's")
    names = {f.stem for f in (folder.path / CFGS).glob("*.yaml")}
    if folder.logs.is_dir():
        with os.scandir(folder.logs) as entries:
            names |= {e.name for e in entries if e.is_dir() and not e.name.startswith(".")}
        names |= packed_runs(folder.logs)
    if not names:
        raise ConfigError(
            f"{folder.path}: not the folder of a sweep; expected configurations in {CFGS}/ and "
            f"logs in {LOGS}/<run>/{LOG_FILE}"
        )
    return sorted(names, key=lambda name: (not name.isdecimal(), len(name), name))


def _update_drawn(folder: SweepFolder, cache: LogCache) -> None:
    """Read what was drawn for each run, if that has changed: it is much YAML."""
    signature = signature_of(folder.summary)
    if cache.shared.get("summary", [None])[0] != signature or "summary" not in cache.shared:
        cache.shared["summary"] = [signature, read_summary(folder.summary)]


def _facts_of(
    run: str, folder: SweepFolder, cache: LogCache, drawn: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is known of a run: from its log, else from its set-up."""
    entry = cache.entries.get(run)
    facts = dict(entry.derived["facts"]) if entry is not None else {}
    if "model" not in facts:
        facts = {**_described_before(run, folder, cache), **facts}
    counted = drawn.get("complexity")
    if isinstance(counted, Mapping):
        facts = {**{name: counted[name] for name in METRICS if name in counted}, **facts}
    return facts


def _described_before(run: str, folder: SweepFolder, cache: LogCache) -> dict[str, Any]:
    """Return the network of a run whose log does not say it, from its configuration's file."""
    path = folder.path / CFGS / f"{run}.yaml"
    signature = signature_of(path)
    if signature is None:
        return {}
    known = cache.shared.setdefault("networks", {})
    if known.get(run, [None])[0] != signature:
        cfg = load_yaml(path)
        known[run] = [signature, describe_network(cfg) if isinstance(cfg, Mapping) else {}]
    return known[run][1]


def _find_statuses(
    folder: SweepFolder, cache: LogCache, errors: Mapping[str, str]
) -> dict[str, RunState]:
    before, known, statuses = cache.shared.get("records", {}), {}, {}
    for run, text in errors.items():
        log, out_dir = cache.entries.get(run), f"{folder.logs}/{run}"
        facts = log.derived["facts"] if log is not None else {}
        entry = _read_record(out_dir, before.get(run))
        if entry is not None:
            known[run] = entry
        record = None if entry is None else entry[1]
        statuses[run] = find_state(out_dir, record, log=facts, errors=text)
    cache.shared["records"] = known
    return statuses


def _read_record(out_dir: str, before: list[Any] | None) -> list[Any] | None:
    """Return signature and fields of a run's record, read only if it has changed."""
    signature = signature_of(f"{out_dir}/{RECORD_FILE}")
    if before is not None and before[0] == signature:
        return before
    record = None if signature is None else read_record(out_dir)
    if record is None:
        return None
    fields = ("status", "reason", "started", "log_bytes")
    return [signature, {key: str(record.get(key) or "") for key in fields}]


def _results_text(
    statuses: Mapping[str, RunState], facts: Mapping[str, dict[str, Any]], drawn: Drawn
) -> str:
    keys = {key: None for run in statuses for key in drawn.get(run, {}) if key != "complexity"}
    stages = max(
        (len(values) for known in facts.values() for values in known.get("stages", {}).values()),
        default=0,
    )
    columns = result_columns(keys, stages)
    rows: list[Sequence[Any]] = [columns]
    for run, status in statuses.items():
        about = {
            "run": run,
            "cfg": int(run) if run.isdecimal() else None,
            "status": status.state,
            "reason": status.reason,
            "started": str(status.record.get("started") or ""),
        }
        rows.append(result_row(columns, {**facts[run], **about}, drawn.get(run, {})))
    return files.csv_text(rows)


def _write(
    folder: SweepFolder, out_dir: Path, cache: LogCache, errors: Mapping[str, str], results: str
) -> None:
    jobs = [_job(str(folder.logs), run, entry, errors[run]) for run, entry in cache.entries.items()]
    files.write_text_if_changed(out_dir / SWEEP_JSON, "[\n" + ",\n".join(jobs) + "\n]\n")
    files.write_text_if_changed(out_dir / RESULTS_CSV, results)
    curves = [files.csv_text([CURVE_COLUMNS])]
    curves += [entry.derived["curves"] for entry in cache.entries.values()]
    files.write_text_if_changed(out_dir / CURVES_CSV, "".join(curves))


def _job(logs: str, run: str, entry: LogEntry, errors: str) -> str:
    """Return a run's part of `sweep.json`: what its log holds, and where that is."""
    places = {
        "err": errors,
        "err_file": f"{logs}/{run}/{ERR_FILE}",
        "log_file": f"{logs}/{run}/{LOG_FILE}",
    }
    text = json.dumps(places)
    return text if entry.job == "{}" else f"{entry.job[:-1]}, {text[1:]}"
