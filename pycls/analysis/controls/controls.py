"""All control experiments of a study, and the summary over them (paper, appendix)."""

import os
from collections.abc import Callable, Sequence

import pandas as pd

from pycls.analysis.controls.comparisons import balanced, pretrained, variants
from pycls.analysis.controls.curves import continued, duration_curves
from pycls.analysis.controls.population import networks, top1_topk, training_errors, training_noise
from pycls.analysis.inputs.evidence import Evidence, Experiment, load_evidence
from pycls.analysis.inputs.study_json import Study

__all__ = [
    "EXPERIMENTS",
    "appendix_table",
    "balanced",
    "continued",
    "control_experiments",
    "duration_curves",
    "load_evidence",
    "networks",
    "pretrained",
    "sweep_table",
    "top1_topk",
    "training_errors",
    "training_noise",
    "variants",
]

# In the order of the paper's figures A1 to A6.
EXPERIMENTS: tuple[Callable[[Evidence], Experiment], ...] = (
    variants,
    networks,
    duration_curves,
    continued,
    training_noise,
    top1_topk,
    training_errors,
    balanced,
    pretrained,
)


def control_experiments(folder: str | os.PathLike[str], study: Study) -> list[Experiment]:
    """Return all control experiments, those without runs with the reason.

    Args:
        folder: the study's folder; results of its base are read where that says they are.
        study: as from :func:`pycls.analysis.inputs.study_json.load_study`.

    Raises:
        ConfigError: a table is missing or damaged.
        DataError: the study and its base are of different populations.
    """
    evidence = load_evidence(folder, study)
    return [ask(evidence) for ask in EXPERIMENTS]


def appendix_table(experiments: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per finding: what, question, n, rho, ci_low, ci_high, note.

    An experiment without runs has one row with n = 0 and the reason as its note.
    """
    rows: list[tuple[str, str, int, float, float, float, str]] = []
    for experiment in experiments:
        if experiment.reason:
            nan = float("nan")
            rows.append(
                (experiment.title, experiment.question, 0, nan, nan, nan, experiment.reason)
            )
        for found in experiment.findings:
            numbers = (found.n, found.rho, found.ci_low, found.ci_high)
            rows.append((found.what, experiment.question, *numbers, found.note))
    return pd.DataFrame(
        rows, columns=["what", "question", "n", "rho", "ci_low", "ci_high", "note"]
    ).astype({"rho": float, "ci_low": float, "ci_high": float})


def sweep_table(evidence: Evidence) -> pd.DataFrame:
    """Return the study's control sweeps.

    Returns:
        A row per sweep: sweep, title, control, of, title_of, regime, epochs, planned, done.
    """
    rows = []
    for sweep in evidence.controls():
        entry, of = sweep.study.sweeps[sweep.name], evidence.compared_with(sweep)
        rows.append(
            {
                "sweep": sweep.name,
                "title": sweep.title,
                "control": sweep.control,
                "of": of.name if of else "",
                "title_of": evidence.sweep_title(of) if of else "",
                "regime": entry.get("regime") or "",
                "epochs": entry.get("epochs"),
                "planned": max(len(sweep.runs), int(entry.get("runs") or 0)),
                "done": len(sweep.done),
            }
        )
    names = ["sweep", "title", "control", "of", "title_of", "regime", "epochs", "planned", "done"]
    return pd.DataFrame(rows, columns=names).astype({"epochs": "Int64"})
