#!/usr/bin/env python3
"""Carry out a study: tools/study.py plan|setup|run|status|report STUDY.yaml [options]."""

import argparse
import csv
import json
import sys
import time
from pathlib import Path

from pycls.core.cli import positive_int
from pycls.errors import PyclsError, run_tool
from pycls.files import exclusive_lock, write_json
from pycls.sweep.collect import collect, run_status
from pycls.sweep.launch.local import Job, default_workers, run_jobs, usable_cores
from pycls.sweep.launch.progress import format_duration
from pycls.sweep.study import Study, waves
from pycls.sweep.study_file import load_study_file
from pycls.sweep.study_plan import SweepPlan, plan_study
from pycls.sweep.study_runs import Run

_COMMANDS = {
    "plan": "say what the study takes and what is missing; writes nothing",
    "setup": "sample, and write one configuration a run; trains nothing",
    "run": "sample, prepare, train what is missing, collect and report",
    "status": "say how far the study is",
    "report": "collect the results there are and write the report",
}
_STATES = ("done", "running", "stopped", "failed", "missing")


def main() -> int:
    """Run the command that the command line names."""
    args = _parse_args()
    spec = load_study_file(args.study)
    study = Study(spec, args.out or Path("studies") / spec.name, args.data_dir, args.base)
    commands = {
        "plan": _plan, "setup": _setup, "run": _run, "status": _status, "report": _report,
    }  # fmt: skip
    return commands[args.command](study, args)


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Carry out a study.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("study", metavar="STUDY.yaml", help="the study file")
        command.add_argument("--out", metavar="DIR", type=Path, help="default: studies/NAME")
        command.add_argument(
            "--data-dir", metavar="DIR", help="prepared sets (default: $PYCLS_DATA, or else data)"
        )
        command.add_argument(
            "--base", metavar="DIR", type=Path,
            help="folder of the base study (default: beside this one's, by its name)",
        )  # fmt: skip
        if name == "plan":
            command.add_argument("--json", action="store_true", help="a list of sweeps as JSON")
            command.add_argument(
                "--images-per-second", type=_positive, metavar="X",
                help="training images a second on one GPU (default: as measured in this study, or "
                "else as its file says, or else as in the published study)",
            )  # fmt: skip
        if name == "run":
            command.add_argument(
                "--jobs", type=positive_int, metavar="N",
                help="runs at a time (default: one a GPU, else one a core)",
            )  # fmt: skip
            command.add_argument(
                "--threads", type=positive_int, metavar="N",
                help="CPU threads of a run (default: the cores divided by the jobs)",
            )  # fmt: skip
            command.add_argument(
                "--stop-with-parent", action="store_true",
                help="stop when the process that started this one is gone",
            )  # fmt: skip
    return parser.parse_args()


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("expected a number above 0")
    return value


# ---------------------------------------------------------------- plan and set-up


def _plan(study: Study, args: argparse.Namespace) -> int:
    study.check()
    plans = plan_study(study, args.images_per_second)
    if args.json:
        print(json.dumps([plan.as_dict() for plan in plans], indent=2))
        return 0
    print(f"{study.spec.title} ({study.spec.path})")
    print(f"{len(study.population)} architectures; in {study.folder}\n")
    if not plans:
        print(f"no runs of its own: it looks at {', '.join(study.spec.uses)} of its base")
        return 0
    rows = [_plan_row(plan) for plan in plans]
    header = ("sweep", "data set", "runs", "epochs", "images a run", "images", "GPU-hours", "disk")
    total = (
        "total", "", f"{sum(p.runs for p in plans):,}", "", "",
        _short(sum(p.images for p in plans)), f"{sum(p.gpu_hours for p in plans):,.1f}",
        _bytes(sum(p.disk_bytes for p in plans)),
    )  # fmt: skip
    _print_table([header, *rows, total], text_columns=2)
    if not all(plan.exact for plan in plans):
        print("~ estimated: the set is not prepared, and its published counts are not exact")
    for source in dict.fromkeys(plan.speed for plan in plans):
        print(f"GPU-hours at {source.images_per_second:,.0f} images/s ({source.source})")
    print(
        "images: training and test side, every epoch; a test image counts as a third in the hours"
    )
    _print_missing(study, plans)
    return 0


def _plan_row(plan: SweepPlan) -> tuple[str, ...]:
    mark = "" if plan.exact else "~"
    return (
        plan.sweep, plan.dataset, f"{plan.runs:,}", str(plan.epochs),
        f"{mark}{plan.train_images:,} + {plan.test_images:,}", f"{mark}{_short(plan.images)}",
        f"{plan.gpu_hours:,.1f}", _bytes(plan.disk_bytes),
    )  # fmt: skip


def _print_missing(study: Study, plans: list[SweepPlan]) -> None:
    missing = [text for plan in plans for text in plan.missing if "not prepared" not in text]
    missing += [
        f"data set {name} is not prepared ({_bytes(size)} once it is); 'tools/prepare_data.py "
        "list' says how"
        for name, size in study.data.missing_bytes().items()
    ]
    if missing:
        print("missing:")
    for text in missing:
        print(f"  {text}")


def _print_table(rows: list[tuple[str, ...]], text_columns: int) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            f"{cell:{width}}" if i < text_columns else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _short(count: int) -> str:
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _bytes(count: int) -> str:
    return f"{_short(count)}B" if count >= 1000 else f"{count} B"


def _setup(study: Study, args: argparse.Namespace) -> int:
    start = time.monotonic()
    study.check()
    study.folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(study.folder / ".lock", f"running the study in {study.folder}"):
        study.write()
    _print_written(study)
    print(f"set up in {format_duration(time.monotonic() - start)}")
    return 0


def _print_written(study: Study) -> None:
    print(f"study {study.spec.name}: {len(study.population)} architectures, in {study.folder}")
    sweeps = {run.sweep for run in study.runs}
    print(f"  {len(study.runs):,} runs in {len(sweeps)} sweeps")
    for sweep, reason in study.waiting.items():
        print(f"  not yet: {sweep} {reason}")


# ---------------------------------------------------------------- training


def _run(study: Study, args: argparse.Namespace) -> int:
    start = time.monotonic()
    study.check()
    print(f"study {study.spec.name}: {len(study.population)} architectures, in {study.folder}")
    for line in study.data.prepare():
        print(f"  {line}")
    study.folder.mkdir(parents=True, exist_ok=True)
    # Workers hold the lock too: those of a killed driver may take a moment to leave.
    lock = exclusive_lock(study.folder / ".lock", f"running the study in {study.folder}", 10)
    with lock as descriptor:
        while True:
            study.write()
            _train(study, args, descriptor)
            summary = collect(study)
            if not study.look_again():
                break
        path = _write_report(study)
    _print_answer(path.parent / "tables" / "rho.csv")
    print(f"report: {path} ({format_duration(time.monotonic() - start)})")
    for sweep, reason in study.waiting.items():
        print(f"not trained: {sweep} {reason}")
    return _tell_failures(summary)


def _train(study: Study, args: argparse.Namespace, descriptor: int) -> None:
    """Train what is missing, runs that others take their weights from first."""
    pending = [run for run in study.runs if run_status(study, run)[0] != "done"]
    done = len(study.runs) - len(pending)
    print(f"  {len(study.runs)} runs, {done} of them finished before", flush=True)
    _require_weights(study, pending)
    workers = args.jobs or default_workers()
    threads = _choose_threads(study, workers, args.threads)
    for ready in waves(study, pending):
        jobs = [Job(run.id, run.sweep, study.cfg_path(run), study.out_dir(run)) for run in ready]
        try:
            run_jobs(
                jobs,
                workers=workers,
                threads=threads,
                max_retry=study.spec.max_retry,
                done_before=done,
                inherit=[descriptor],
                stop_with_parent=args.stop_with_parent,
            )
        except KeyboardInterrupt:
            raise PyclsError("stopped; the same command goes on where it was") from None
        done += len(ready)


def _require_weights(study: Study, pending: list[Run]) -> None:
    """Refuse to begin runs that start from those of a base study that is not finished."""
    mine = {study.out_dir(run) for run in study.runs}
    lacking = []
    for run in pending:
        source, path = study.source_dir(run), study.weights_path(run)
        if source is not None and source not in mine and path is not None and not path.is_file():
            lacking.append((run, path))
    if lacking:
        run, path = lacking[0]
        raise PyclsError(
            f"{len(lacking)} runs start from weights that are not there, {run.id} from {path}; "
            f"finish the base study first ('tools/study.py run {study.spec.path.parent}/"
            f"{study.base.spec.path.name if study.base else ''}'), or say with --base where it is"
        )


def _choose_threads(study: Study, workers: int, asked: int | None) -> int:
    """Return the CPU threads of a run: as asked, as before in this study, or a fair share.

    Sums are rounded differently with another number of threads. A study that goes on keeps
    its own, so that it ends as if it had never been stopped.
    """
    path = study.folder / "launch.json"
    before = json.loads(path.read_text())["threads"] if path.is_file() else None
    threads = asked or before or max(1, usable_cores() // workers)
    if before is not None and threads != before:
        print(f"  runs so far had {before} threads, now {threads}: last digits may differ")
    write_json(path, {"threads": threads})
    return threads


# ---------------------------------------------------------------- status and report


def _status(study: Study, args: argparse.Namespace) -> int:
    counts: dict[str, dict[str, int]] = {}
    for run in study.runs:
        states = counts.setdefault(run.sweep, dict.fromkeys(_STATES, 0))
        states[run_status(study, run)[0]] += 1
    width = max(len("total"), *(len(sweep) for sweep in counts))
    print(" ".join([f"{'sweep':{width}}", f"{'runs':>7}", *(f"{s:>8}" for s in _STATES)]))
    totals = {state: sum(states[state] for states in counts.values()) for state in _STATES}
    for sweep, states in [*counts.items(), ("total", totals)]:
        cells = [f"{states[state]:>8}" for state in _STATES]
        print(" ".join([f"{sweep:{width}}", f"{sum(states.values()):>7}", *cells]))
    for sweep, reason in study.waiting.items():
        print(f"not yet: {sweep} {reason}")
    return 0


def _report(study: Study, args: argparse.Namespace) -> int:
    if not (study.folder / "study.json").is_file():
        raise PyclsError(
            f"{study.folder}: no study there yet; start it with 'tools/study.py run "
            f"{study.spec.path}'"
        )
    summary = collect(study)
    print(f"report: {_write_report(study)}")
    return _tell_failures(summary)


def _write_report(study: Study) -> Path:
    from pycls.analysis.report import write_report

    return write_report(study.folder)


def _print_answer(table: Path) -> None:
    """Print how well the reference and the closest members predict each target."""
    if not table.is_file():
        return
    with table.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["n_reference"]]
    for row in rows:
        text = f"  {row['target']}: rho {row['rho_reference'] or 'undefined'} with the reference"
        if row["closest_member"]:
            text += f", {row['rho_member'] or 'undefined'} with {row['closest_member']}"
        print(f"{text} (n = {row['n_reference']})")


def _tell_failures(summary: dict) -> int:
    for failure in summary["failed"]:
        tail = "\n".join(f"    {line}" for line in failure["log_tail"].splitlines()[-5:])
        print(f"failed: {failure['run']}: {failure['reason']}\n{tail}", file=sys.stderr)
    return 1 if summary["failed"] else 0


if __name__ == "__main__":
    run_tool(main)
