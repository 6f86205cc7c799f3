"""The control experiments that a study's runs are asked for, and the summary over them.

A new one is a kind of sweep in :data:`pycls.schema.CONTROLS`, a function from the evidence to an
:class:`~pycls.analysis.inputs.evidence.Experiment` in a module of this package, and a line here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from pycls.analysis.inputs.evidence import Evidence, Experiment, Finding
from pycls.registry import import_object

# Name -> module and function that makes it; in the order of the paper's figures A1 to A6.
EXPERIMENTS: Mapping[str, str] = {
    "variants": "pycls.analysis.controls.comparisons:variants",
    "networks": "pycls.analysis.controls.population:networks",
    "curves": "pycls.analysis.controls.curves:duration_curves",
    "continued": "pycls.analysis.controls.curves:continued",
    "repeats": "pycls.analysis.controls.population:training_noise",
    "topk": "pycls.analysis.controls.population:top1_topk",
    "training": "pycls.analysis.controls.population:training_errors",
    "balanced": "pycls.analysis.controls.comparisons:balanced",
    "pretrained": "pycls.analysis.controls.comparisons:pretrained",
}


def control_experiments(evidence: Evidence) -> list[Experiment]:
    """Return all control experiments, those without runs with the reason.

    Raises:
        DataError: a sweep that should have one run of an architecture has several.
    """
    return [import_object(place)(evidence) for place in EXPERIMENTS.values()]


def appendix_table(experiments: Sequence[Experiment]) -> pd.DataFrame:
    """Return a row per finding: what, question, n, rho, ci_low, ci_high, note.

    An experiment without runs has one row with n = 0 and the reason as its note.
    """
    rows = []
    for experiment in experiments:
        findings = experiment.findings
        if experiment.reason:
            findings = (Finding(experiment.title, 0, note=experiment.reason),)
        rows += [{"question": experiment.question, **asdict(found)} for found in findings]
    names = ["what", "question", "n", "rho", "ci_low", "ci_high", "note"]
    return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[3:6], float))


def sweep_table(evidence: Evidence) -> pd.DataFrame:
    """Return the study's control sweeps.

    Returns:
        A row per sweep: sweep, title, control, of, title_of, regime, epochs, planned, done.
    """
    rows = []
    for sweep in evidence.controls():
        entry, of = sweep.study.sweeps[sweep.name], evidence.compared_with(sweep)
        rows.append(
            (
                sweep.name,
                sweep.title,
                sweep.control,
                of.name if of else "",
                evidence.sweep_title(of) if of else "",
                entry.get("regime") or "",
                entry.get("epochs"),
                max(len(sweep.runs), int(entry.get("runs") or 0)),
                len(sweep.done),
            )
        )
    names = ["sweep", "title", "control", "of", "title_of", "regime", "epochs", "planned", "done"]
    return pd.DataFrame(rows, columns=names).astype({"epochs": "Int64"})
