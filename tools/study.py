#!/usr/bin/env python3
"""Carry out a study: tools/study.py run|status|report STUDY.yaml [options]."""

import argparse
import csv
import json
import sys
import time
from pathlib import Path

from pycls.errors import PyclsError, run_tool
from pycls.files import exclusive_lock, write_json
from pycls.sweep.collect import collect, run_status
from pycls.sweep.launch.local import Job, default_workers, run_jobs, usable_cores
from pycls.sweep.launch.progress import format_duration
from pycls.sweep.study import Study
from pycls.sweep.study_file import load_study_file


def main() -> int:
    """Run the command that the command line names."""
    args = _parse_args()
    spec = load_study_file(args.study)
    study = Study(spec, args.out or Path("studies") / spec.name, args.data_dir)
    commands = {"run": _run, "status": _status, "report": _report}
    return commands[args.command](study, args)


def _parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Carry out a study.")
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "run": "sample, prepare, train what is missing, collect and report",
        "status": "say how far the study is",
        "report": "collect the results there are and write the report",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("study", metavar="STUDY.yaml", help="the study file")
        command.add_argument("--out", metavar="DIR", type=Path, help="default: studies/NAME")
        command.add_argument(
            "--data-dir", metavar="DIR", help="prepared sets (default: $PYCLS_DATA, or else data)"
        )
        if name == "run":
            command.add_argument(
                "--jobs", type=_count, metavar="N",
                help="runs at a time (default: one a GPU, else one a core)",
            )  # fmt: skip
            command.add_argument(
                "--threads", type=_count, metavar="N",
                help="CPU threads of a run (default: the cores divided by the jobs)",
            )  # fmt: skip
            command.add_argument(
                "--stop-with-parent", action="store_true",
                help="stop when the process that started this one is gone",
            )  # fmt: skip
    return parser.parse_args()


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected 1 or more")
    return value


def _run(study: Study, args: argparse.Namespace) -> int:
    start = time.monotonic()
    study.check()
    print(f"study {study.spec.name}: {len(study.population)} architectures, in {study.folder}")
    for line in study.prepare_data():
        print(f"  {line}")
    study.folder.mkdir(parents=True, exist_ok=True)
    # Workers hold the lock too: those of a killed driver may take a moment to leave.
    lock = exclusive_lock(study.folder / ".lock", f"running the study in {study.folder}", 10)
    with lock as descriptor:
        study.write()
        pending = [run for run in study.runs if run_status(study, run)[0] != "done"]
        done = len(study.runs) - len(pending)
        print(f"  {len(study.runs)} runs, {done} of them finished before", flush=True)
        jobs = [Job(run.id, run.sweep, study.cfg_path(run), study.out_dir(run)) for run in pending]
        workers = args.jobs or default_workers()
        try:
            run_jobs(
                jobs,
                workers=workers,
                threads=_choose_threads(study, workers, args.threads),
                max_retry=study.spec.max_retry,
                done_before=done,
                inherit=[descriptor],
                stop_with_parent=args.stop_with_parent,
            )
        except KeyboardInterrupt:
            raise PyclsError("stopped; the same command goes on where it was") from None
        summary = collect(study)
        path = _write_report(study)
    _print_answer(path.parent / "tables" / "rho.csv")
    print(f"report: {path} ({format_duration(time.monotonic() - start)})")
    return _tell_failures(summary)


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


_STATES = ("done", "running", "stopped", "failed", "missing")


def _write_report(study: Study) -> Path:
    from pycls.analysis.report import write_report

    return write_report(study.folder)


def _print_answer(table: Path) -> None:
    """Print how well the reference and the closest members predict each target."""
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
