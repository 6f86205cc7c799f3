"""Carry out a study: tools/study.py COMMAND STUDY.yaml [options] [LAUNCH.KEY VALUE ...].

init writes a first study file for a data set (init SET [--out FILE]); plan, setup, run, score,
report and merge are for one machine; launch, status, cancel, resume and retry are for Slurm too.
LAUNCH keys on the command line stand in for those of the study file.
"""

import argparse
import csv
import json
import shlex
import sys
import time
from pathlib import Path

from pycls.choose.choice import Choice
from pycls.choose.work import HOME, choice_work, describe_plan
from pycls.command_names import as_typed, command_name
from pycls.core.cli import CommandParser, positive_int
from pycls.cores import usable_cores
from pycls.errors import PyclsError
from pycls.launch.commands import LAUNCH_COMMANDS, add_launch_arguments, carry_out
from pycls.launch.here import train_here
from pycls.launch.work import study_work
from pycls.pool.seats import default_workers
from pycls.progress import align, format_duration
from pycls.results.collect_study import collect
from pycls.results.merge_study import merge_study, require_parts
from pycls.schema import STATUS_JSON, STUDY_JSON
from pycls.scores.study_scores import BATCH as SCORED_IMAGES
from pycls.scores.study_scores import score_study
from pycls.study.file import load_study_file
from pycls.study.init import ARCHITECTURES, write_first_study
from pycls.study.part import WHOLE
from pycls.study.plan import SweepCost, plan_study
from pycls.study.study import StudyFolder, usual_folder
from pycls.study.write import write_study

_INIT = "write a first study file for a data set, with what is assumed for its size"
_COMMANDS = {
    "plan": "say what the study takes and what is missing; writes nothing",
    "setup": "sample, and write one configuration a run; trains nothing",
    "run": "sample, prepare, train what is missing on this machine, collect and report",
    **LAUNCH_COMMANDS,
    "score": "score the networks without training them (zero-cost scores), into scores.csv",
    "choose": "choose a network for one's own set, as the section 'choose' says: search, compare, "
    "test, export",
    "report": "collect the results there are and write the report",
    "merge": "join the folders of a study that was carried out in several places, by --part",
}
# A run's log is asked for by its name, which is an argument of its own.
_STEPS = ("plan", "run", *(name for name in LAUNCH_COMMANDS if name != "log"), "finish")


def main() -> int:
    """Run the command that the command line names."""
    args = _parse_args()
    if args.command == "init":
        return _init(args)
    if args.command == "report" and (Path(args.study).is_dir() or args.study.endswith(".csv")):
        return _report_results(Path(args.study), args)
    spec = load_study_file(args.study)
    if args.command == "choose":
        return _choose(Choice(spec, args.out or HOME / spec.name, args.data_dir, args.base), args)
    folder = args.out or usual_folder(Path(spec.path), spec.name)
    part = WHOLE if args.command == "merge" else getattr(args, "part", "")
    study = StudyFolder(spec, folder, args.data_dir, args.base, part)
    if args.command in LAUNCH_COMMANDS:
        return carry_out(args.command, study_work(study, tuple(args.overrides)), args)
    commands = {
        "plan": _plan, "setup": _setup, "run": _run, "score": _score, "report": _report,
        "merge": _merge,
    }  # fmt: skip
    return commands[args.command](study, args)


def _parse_args() -> argparse.Namespace:
    parser = CommandParser("study", __doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_init(commands.add_parser("init", help=_INIT, description=_INIT))
    for name, text in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        elsewhere = ", or a folder or table of results" if name == "report" else ""
        command.add_argument("study", metavar="STUDY.yaml", help=f"the study file{elsewhere}")
        command.add_argument("--out", metavar="DIR", type=Path,
            help="default: studies/NAME in the checkout that holds the file, else beside the file",
        )  # fmt: skip
        command.add_argument(
            "--data-dir", metavar="DIR", help="prepared sets (default: $PYCLS_DATA, or else data)"
        )
        command.add_argument(
            "--base", metavar="DIR", type=Path,
            help="folder of the base study (default: beside this one's, by its name)",
        )  # fmt: skip
        if name in ("setup", "run", "launch"):
            command.add_argument(
                "--part", default="", metavar="PART",
                help="carry out a part of the study in this folder: the I-th of N (1/3), or some "
                f"data sets (cifar10,mine); the folder remembers it ({WHOLE}: the whole study)",
            )  # fmt: skip
        if name == "merge":
            command.add_argument(
                "parts", metavar="FOLDER", type=Path, nargs="+", help="that of a part of the study"
            )
        if name == "plan":
            command.add_argument("--json", action="store_true", help="a list of sweeps as JSON")
            command.add_argument(
                "--images-per-second", type=_positive, metavar="X",
                help="training images a second on one GPU (default: as measured in this study, or "
                "else as its file says, or else as in the published study)",
            )  # fmt: skip
        if name == "choose":
            command.add_argument(
                "--do", choices=_STEPS, default="run", metavar="STEP",
                help=f"what of it: {', '.join(_STEPS)} (default: run)",
            )  # fmt: skip
            add_launch_arguments(command, "retry")
            add_launch_arguments(command, "status")
        if name in ("run", "choose"):
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
        if name == "run":
            command.add_argument(
                "--no-report", action="store_true",
                help="collect the results, and leave the report to the command of that name",
            )  # fmt: skip
        if name == "score":
            command.add_argument(
                "--jobs", type=positive_int, metavar="N",
                help="networks at a time, a core each (default: as many as there are cores)",
            )  # fmt: skip
            command.add_argument(
                "--batch", type=positive_int, metavar="N",
                help="images that a network is scored on "
                f"(default: {SCORED_IMAGES}, or all where there are fewer)",
            )  # fmt: skip
        if name == "report":
            command.add_argument(
                "--reference", metavar="SET", help="of a results table alone: compared with"
            )
            for role, what in (("family", "its class subsets"), ("targets", "to be predicted")):
                command.add_argument(
                    f"--{role}", metavar="SET", nargs="+", default=[],
                    help=f"of a results table alone: {what} (default: found)",
                )  # fmt: skip
        if name in LAUNCH_COMMANDS:
            add_launch_arguments(command, name)
    # A study file, options and keys in any order: argparse alone would end at the first option.
    args, overrides = parser.parse_known_args()
    args.overrides = overrides
    takes_keys = (*LAUNCH_COMMANDS, "choose")
    if args.overrides and (args.command not in takes_keys or args.overrides[0][:1] == "-"):
        hint = "; keys stand in the study file, under config and launch"
        is_key = args.overrides[0].partition(".")[0].isupper()
        parser.error(f"unrecognized arguments: {' '.join(args.overrides)}{hint if is_key else ''}")
    return args


def _add_init(command: argparse.ArgumentParser) -> None:
    command.add_argument("set", metavar="SET", help="a prepared set, or one of the catalogue")
    command.add_argument("--out", metavar="FILE", type=Path, help="default: SET.yaml")
    command.add_argument(
        "--data-dir", metavar="DIR", help="prepared sets (default: $PYCLS_DATA, or else data)"
    )
    command.add_argument(
        "--architectures", type=positive_int, default=ARCHITECTURES, metavar="N",
        help="how many to train (default: %(default)s)",
    )  # fmt: skip


def _init(args: argparse.Namespace) -> int:
    out = args.out or Path(f"{args.set}.yaml")
    notes = write_first_study(args.set, out, args.data_dir, args.architectures)
    study = command_name("study")
    print(f"{out}: a study of {args.set}; assumed, and to be changed there:")
    for note in notes:
        print(f"  - {note}")
    print(f"next: {study} plan {out}, {study} run {out}")
    return 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("expected a number above 0")
    return value


# ---------------------------------------------------------------- plan and set-up


def _plan(study: StudyFolder, args: argparse.Namespace) -> int:
    study.check()
    plans = plan_study(study, args.images_per_second)
    if args.json:
        print(json.dumps([plan.as_dict() for plan in plans], indent=2))
        return 0
    print(f"{study.spec.title} ({study.spec.path})")
    print(f"{len(study.population)} architectures; in {study.folder.absolute()}\n")
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
    print("\n".join(align([header, *rows, total], text_columns=2)))
    if not all(plan.exact for plan in plans):
        print("~ estimated: the set is not prepared, and its published counts are not exact")
    print("\nimages: training and test side, every epoch")
    for source in dict.fromkeys(plan.speed for plan in plans):
        print(
            f"GPU-hours: at {source.images_per_second:,.0f} training images/s ({source.source}); "
            "a test image counts as a third"
        )
    for keep in dict.fromkeys(plan.keep for plan in plans):
        print(f"disk: of configurations, logs and checkpoints, of which are kept: {keep}")
    _print_missing(study, plans)
    return 0


def _plan_row(plan: SweepCost) -> tuple[str, ...]:
    mark = "" if plan.exact else "~"
    return (
        plan.sweep, plan.dataset, f"{plan.runs:,}", str(plan.epochs),
        f"{mark}{plan.train_images:,} + {plan.test_images:,}", f"{mark}{_short(plan.images)}",
        f"{plan.gpu_hours:,.1f}", _bytes(plan.disk_bytes),
    )  # fmt: skip


def _print_missing(study: StudyFolder, plans: list[SweepCost]) -> None:
    missing = [text for plan in plans for text in plan.missing if "not prepared" not in text]
    missing += [
        f"data set {name} is not prepared ({_bytes(size)} once it is); 'tools/prepare_data.py "
        "list' says how"
        for name, size in study.data.missing_bytes().items()
    ]
    if missing:
        print("missing:")
    for text in missing:
        print(f"  {as_typed(text)}")


def _short(count: int) -> str:
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _bytes(count: int) -> str:
    return f"{_short(count)}B" if count >= 1000 else f"{count} B"


def _setup(study: StudyFolder, args: argparse.Namespace) -> int:
    start = time.monotonic()
    study.check()
    with study_work(study).hold():
        write_study(study)
    _print_written(study)
    print(f"set up in {format_duration(time.monotonic() - start)}")
    return 0


def _print_title(study: StudyFolder) -> None:
    where = study.folder.absolute()
    part = f", part {study.part.text}" if study.part else ""
    print(f"study {study.spec.name}{part}: {len(study.population)} architectures, in {where}")


def _print_written(study: StudyFolder) -> None:
    _print_title(study)
    sweeps = {run.sweep for run in study.runs}
    print(f"  {len(study.runs):,} runs in {len(sweeps)} sweeps")
    for sweep, reason in study.waiting.items():
        print(f"  not yet: {sweep} {reason}")


# ---------------------------------------------------------------- training


def _run(study: StudyFolder, args: argparse.Namespace) -> int:
    start = time.monotonic()
    study.check()
    _print_title(study)
    gpus_each = max(1, study.spec.launch.num_gpus)
    workers = args.jobs or default_workers(gpus_each, study.spec.launch.runs_per_gpu)
    train_here(
        study_work(study),
        workers=workers,
        threads=args.threads,
        gpus_each=gpus_each,
        stop_with_parent=args.stop_with_parent,
    )
    if args.no_report:
        print(f"results: {study.folder} ({format_duration(time.monotonic() - start)})")
    else:
        path = _write_report(study)
        _print_answer(path.parent / "tables" / "rho.csv")
        print(f"report: {path} ({format_duration(time.monotonic() - start)})")
    for sweep, reason in study.waiting.items():
        print(f"not trained: {sweep} {reason}")
    return _tell_failures(json.loads((study.folder / STATUS_JSON).read_text(encoding="utf-8")))


def _score(study: StudyFolder, args: argparse.Namespace) -> int:
    start = time.monotonic()
    study.check()
    work = study_work(study)
    work.require_inputs()
    for line in work.prepare():
        print(f"  {line}")
    with work.hold():
        write_study(study)
        path = score_study(study, args.jobs or usable_cores(), args.batch)
    print(f"scores: {path} ({format_duration(time.monotonic() - start)})")
    return 0


# ---------------------------------------------------------------- choosing


def _choose(choice: Choice, args: argparse.Namespace) -> int:
    """Do a step of a choice; without one all of them, on this machine."""
    from pycls.choose.finish import finish

    work = choice_work(choice, tuple(args.overrides))
    if args.do in LAUNCH_COMMANDS:
        return carry_out(args.do, work, args)
    if args.do == "plan":
        print(describe_plan(choice))
        return 0
    start = time.monotonic()
    if args.do == "run":
        choice.check()
        print(describe_plan(choice))
        train_here(
            work,
            workers=args.jobs or default_workers(max(1, work.options.num_gpus)),
            threads=args.threads,
            gpus_each=max(1, work.options.num_gpus),
            stop_with_parent=args.stop_with_parent,
        )
    page = finish(choice)
    print(f"answer: {page} ({format_duration(time.monotonic() - start)})")
    return 0


# ---------------------------------------------------------------- merge


def _merge(study: StudyFolder, args: argparse.Namespace) -> int:
    study.check()
    require_parts(study, args.parts)
    with study_work(study).hold():
        lines = merge_study(study, args.parts)
    _print_title(study)
    print("\n".join(f"  {line}" for line in lines))
    words = ["report", str(study.spec.path), "--out", str(study.folder)]
    print(f"next: {command_name('study')} {shlex.join(words)}")
    return 0


# ---------------------------------------------------------------- report


def _report(study: StudyFolder, args: argparse.Namespace) -> int:
    if not (study.folder / STUDY_JSON).is_file():
        raise PyclsError(
            f"{study.folder}: no study there yet; start it with 'tools/study.py run "
            f"{shlex.quote(str(study.spec.path))}'"
        )
    summary = collect(study)
    print(f"report: {_write_report(study)}")
    return _tell_failures(summary)


def _report_results(place: Path, args: argparse.Namespace) -> int:
    """Report on results without their study file: a study's folder, or a table alone."""
    from pycls.analysis.inputs.elsewhere import adopt_results
    from pycls.analysis.report.report import write_report

    roles = {"reference": args.reference, "family": args.family, "targets": args.targets}
    folder = place
    if not (place / STUDY_JSON).is_file():
        name = place.resolve().name if place.is_dir() else place.stem
        folder = adopt_results(place, args.out or Path("studies") / name, **roles)
        print(f"study: {folder / STUDY_JSON}, where titles and roles can be changed")
    elif any(roles.values()):
        raise PyclsError(f"{place / STUDY_JSON} says what is compared; leave the options out")
    print(f"report: {write_report(folder)}")
    return 0


def _write_report(study: StudyFolder) -> Path:
    from pycls.analysis.report.report import write_report

    return write_report(study.folder)


def _print_answer(table: Path) -> None:
    """Print how well the reference and the closest members predict each target."""
    if not table.is_file():
        return
    from pycls.analysis.wording import rho_number

    def rho(cell: str) -> str:
        return rho_number(float(cell)) if cell else "undefined"

    with table.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["n_reference"]]
    for row in rows:
        text = f"  {row['target']}: rho {rho(row['rho_reference'])} with the reference"
        if row["closest_member"]:
            text += f", {rho(row['rho_member'])} with {row['closest_member']}"
        print(f"{text} (n = {row['n_reference']})")


def _tell_failures(summary: dict) -> int:
    for failure in summary["failed"]:
        tail = "\n".join(f"    {line}" for line in failure["log_tail"].splitlines()[-5:])
        print(f"failed: {failure['run']}: {failure['reason']}\n{tail}", file=sys.stderr)
    return 1 if summary["failed"] else 0
