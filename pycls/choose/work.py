"""A choice as the work of a launch: on this machine or on Slurm, stage after stage."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pycls.choose.choice import Choice
from pycls.command_names import command_name
from pycls.cores import usable_cores
from pycls.launch.work import Work, WorkRun
from pycls.progress import count
from pycls.results.collect_study import collect
from pycls.schema import CHOICE_PAGE, STUDY_JSON
from pycls.scores.study_scores import score_study
from pycls.slurm.options import override
from pycls.study.file import load_study_file
from pycls.study.plan import run_seconds, speed_finder
from pycls.study.study import StudyFolder
from pycls.study.write import write_study

HOME = Path("choices")


def choice_work(choice: Choice, overrides: Sequence[str] = ()) -> Work:
    """Return the work of a choice; `overrides` are LAUNCH keys and values over its file's."""
    path, base = choice.spec.path, choice.whole.base
    words = [command_name("study"), "choose", str(path), "--do", "{}"]
    report = ["study", "choose", str(path), "--do", "finish"]
    elsewhere = []
    if choice.folder != HOME / choice.spec.name:
        elsewhere += ["--out", str(choice.folder)]
    data = choice.whole.data
    if data.data_dir != data.usual_dir:
        elsewhere += ["--data-dir", str(data.data_dir)]
    if base is not None:
        elsewhere += ["--base", str(base.folder)]
    return Work(
        kind="choice",
        folder=choice.folder,
        title=choice.spec.name,
        options=override(choice.spec.launch, overrides),
        reference={
            "kind": "choice",
            "loader": "pycls.choose.work:load_choice_work",
            "file": str(path.resolve()),
            # Not a copy: what it names stands beside it. The plan refuses another choice.
            "copy": str(path.resolve()),
            "folder": str(choice.folder.resolve()),
            "data_dir": str(data.data_dir.resolve()),
            "base": str(base.folder.resolve()) if base else None,
            "overrides": list(overrides),
        },
        words=[*words, *elsewhere],
        here=["run"],
        report=[*report, *elsewhere],
        page=choice.folder / CHOICE_PAGE,
        check=choice.check,
        write=choice.write,
        runs=partial(_runs, choice),
        expected_seconds=partial(_expected_seconds, choice),
        collect=partial(_collect, choice),
        missing=choice.find_missing,
        prepare=partial(_prepare, choice),
        look_again=choice.look_again,
        waiting=lambda: choice.waiting,
    )


def load_choice_work(found: Mapping[str, Any], words: Sequence[str] = ()) -> Work:
    """Return the work that a reference of :func:`choice_work` names, with further LAUNCH keys."""
    spec = load_study_file(found["file"])
    choice = Choice(spec, found["folder"], found["data_dir"], found["base"])
    return choice_work(choice, [*found["overrides"], *words])


def _runs(choice: Choice) -> list[WorkRun]:
    return [
        WorkRun(
            f"{study.folder.name}/{run.id}", f"{study.folder.name}/{run.sweep}/{run.stop}",
            study.cfg_path(run), study.out_dir(run),
        )
        for study in choice.studies()
        for run in study.runs
    ]  # fmt: skip


def _expected_seconds(choice: Choice) -> Callable[[WorkRun], float | None]:
    """Return the expected seconds of a run up to where it stops, as if it was not begun."""
    speed = speed_finder(choice.whole)(choice.whole.spec.datasets[choice.options.data])
    seconds = {}
    for study in choice.studies():
        for run in study.runs:
            dataset = study.spec.datasets[run.dataset]
            share = run.stop / study.epochs(dataset) if run.stop else 1.0
            group = f"{study.folder.name}/{run.sweep}/{run.stop}"
            seconds[group] = share * run_seconds(study, dataset, speed)
    return lambda run: seconds[run.group]


def _collect(choice: Choice) -> None:
    """Write the tables of results of the stages that there are."""
    for study in choice.studies():
        if (study.folder / STUDY_JSON).is_file():
            collect(study)


def _prepare(choice: Choice) -> Iterator[str]:
    """Prepare the data set, where that can be done here, and score the candidates if need be."""
    yield from choice.whole.data.prepare()
    if not choice.needs_scores:
        return
    whole: StudyFolder = choice.whole
    with choice_work(choice).hold():
        write_study(whole)
        path = score_study(whole, usable_cores())
    choice.look_again()
    yield f"scores: {path}"


def describe_plan(choice: Choice) -> str:
    """Return what a choice will train, in lines for a reader."""
    plan, options = choice.plan, choice.options
    filtered = plan["filter"] or {}
    lines = [
        f"{choice.spec.title}: {options.strategy} for {options.data}, among "
        f"{plan['population']:,} architectures; in {choice.folder}",
        f"  budget: {plan['trainings']:.4g} trainings of {plan['epochs']} epochs, about "
        f"{plan['gpu_hours']:.3g} GPU-hours at {plan['images_per_second']:,.0f} training images/s "
        f"({plan['images_per_second_from']})",
    ]
    if "num_classes" in filtered:
        lines.append(
            f"  filter: {filtered['archs']} architectures on {filtered['num_classes']} classes, of "
            f"which {plan['candidates']} go on"
        )
    if "score" in filtered:
        lines.append(
            f"  filter: the best {plan['candidates']} of {plan['population']} by "
            f"{filtered['score']}"
        )
    lines += [
        f"  up to epoch {rung['epochs']}: {count(rung['archs'], 'architecture')}"
        for rung in plan["rungs"]
    ]
    lines.append(
        f"  in the end: {', '.join(options.finals)}, each under {len(options.seeds)} seeds; the "
        "test side is read then, once"
    )
    return "\n".join(lines)
