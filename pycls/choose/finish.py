"""The end of a choice: the test side read, the answer, the page, and the network as files."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycls import files
from pycls.choose.choice import Choice
from pycls.choose.export import FOLDER, export_network, make_card
from pycls.choose.judge import read_test_side
from pycls.datasets.opening.validation import describe_rule
from pycls.errors import PyclsError
from pycls.results.collect_study import collect
from pycls.schema import CHOICE_JSON, RESULTS_CSV
from pycls.study.study import StudyFolder


def finish(choice: Choice, say: Callable[[str], None] = print) -> Path:
    """Write what a choice whose runs are done comes to; the same runs give the same files.

    Returns:
        The answer page.

    Raises:
        PyclsError: runs are missing.
    """
    from pycls.analysis.report.answer_page import write_answer_page

    answer = conclude(choice)
    taken, final = answer["taken"], choice.final
    assert final is not None
    cfg_path = next(final.cfg_path(run) for run in final.runs if run.id == taken["run"])
    weights, card = choice.folder / taken["weights"], make_card(answer)
    for note in export_network(cfg_path, weights, choice.folder / FOLDER, card):
        say(f"  {note}")
    return write_answer_page(choice.folder)


def conclude(choice: Choice) -> dict[str, Any]:
    """Read both sides, where that has not been done, and return and write choice.json.

    Raises:
        PyclsError: runs are missing.
    """
    from pycls.analysis.choosing.answer import make_answer

    choice.settle()
    final = choice.final
    if final is None:
        raise PyclsError(f"{choice.folder}: not chosen yet: it {choice.waiting['final']}")
    left = [run.id for run in final.runs if choice.validation_error(run) is None]
    if left:
        raise PyclsError(
            f"{choice.folder}: {len(left)} of {len(final.runs)} final trainings are not finished"
        )
    read_test_side(choice)
    collect(final)
    answer = make_answer(
        choice.folder, dict(choice.contestants()), _describe_data(choice, final), _counts(final)
    )
    files.write_json(choice.folder / CHOICE_JSON, answer)
    return answer


def _describe_data(choice: Choice, final: StudyFolder) -> dict[str, Any]:
    """Return what the answer says of the data set."""
    key = choice.options.data
    dataset = final.spec.datasets[final.runs[0].dataset]
    train, held = final.data.open(dataset, "train"), final.data.open(dataset, "test")
    return {
        "key": key,
        "title": dataset.title or train.title,
        "classes": list(train.class_names),
        "im_size": min(train.im_size),
        "mean": train.mean.tolist(),
        "std": train.std.tolist(),
        "train_images": len(train),
        "validation_images": len(held),
        "validation_rule": describe_rule(train.store, final.spec.validation, final.spec.class_seed),
        "validation_held_out": train.store.meta.get("held_out") is not None,
        "fingerprint": train.fingerprint,
    }


def _counts(final: StudyFolder) -> dict[str, dict[str, Any]]:
    """Return {contestant: flops and params}; None where a network has no count."""
    with (final.folder / RESULTS_CSV).open(encoding="utf-8", newline="") as file:
        rows = {row["sweep"]: row for row in csv.DictReader(file)}
    return {
        name: {key: int(row[key]) if row[key] else None for key in ("flops", "params")}
        for name, row in rows.items()
    }
