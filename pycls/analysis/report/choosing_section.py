"""The report's section on what to choose: texts and tables."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from pycls.analysis.choosing.replay import HALVING
from pycls.analysis.choosing.surrogate import MIN_R2, Surrogate
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.report.html_tables import RHO_HEADERS, HtmlTable, rho_cells
from pycls.analysis.tables.heat import parameter_title
from pycls.analysis.tables.study_tables import AVERAGE
from pycls.analysis.wording import (
    DASH,
    RHO,
    estimate_text,
    interval_text,
    number,
    percent_text,
    rho_estimate,
    rho_interval,
    rho_number,
)

_SHOWN_SHARE = 1 / 4  # of the cost, in the table of replays
_MOST_CANDIDATES = 6  # of a target that the page shows


@dataclass(frozen=True)
class Part:
    """A question, its answer in a sentence or two, and a table; None where there is none."""

    question: str
    text: str
    table: HtmlTable | None


def choosing_parts(
    tables: Mapping[str, pd.DataFrame], study: Study, surrogate: Surrogate | None
) -> list[Part]:
    """Return what the page says of choosing, as far as there are data.

    Args:
        tables: the report's; of :mod:`pycls.analysis.tables.choosing`: race, prediction, top,
            early and several; of :mod:`pycls.analysis.tables.scores`: scores;
            of :mod:`pycls.analysis.tables.replay`: replay.
        study: for names.
        surrogate: of the errors on the reference; None where there are no parameters.
    """
    makers: dict[str, Callable[[pd.DataFrame, Study], Part]] = {
        "race": _race, "scores": _scores, "replay": _replay, "prediction": _prediction, "top": _top,
        "early": _early, "several": _several,
    }  # fmt: skip
    parts = [
        make(tables[name], study)
        for name, make in makers.items()
        if name in tables and len(tables[name])
    ]
    if surrogate is not None and math.isfinite(surrogate.r2):
        parts.append(_surrogate(surrogate, study))
    return parts


def _name(key: str, study: Study) -> str:
    return study.dataset_title(key) if key in study.datasets else key


def _race(table: pd.DataFrame, study: Study) -> Part:
    rows = []
    for target, group in table.groupby("target", sort=False):
        for place, row in enumerate(group.head(_MOST_CANDIDATES).to_dict("records")):
            corrected = rho_number(row["rho_corrected"]) if place == 0 else ""
            rows.append(
                [
                    _name(str(target), study) if place == 0 else "",
                    _name(row["candidate"], study),
                    rho_cells(row)[0],
                    f"{100 * row['p_best']:.0f}",
                    corrected,
                    rho_interval(row["all_low"], row["all_high"]),
                ]
            )
    return Part(
        "Which proxy, and how sure?",
        "All other data sets, more parameters or multiply-adds, scores, and the target's own "
        "training after an eighth and a quarter of its epochs, as proxies. The best of "
        f"many {RHO} "
        "is too high by luck: corrected is what a new sample of architectures would show. The last "
        f"interval holds the {RHO} of all candidates at once, so that of whichever is picked.",
        HtmlTable(
            caption=f"The {_MOST_CANDIDATES} best candidates for each target.",
            headers=[
                *("target", "candidate", f"{RHO} [95 %]", "best, % sure"),
                *("corrected", "95 % for all at once"),
            ],
            rows=rows,
            csv="tables/race.csv",
            text_columns=(0, 1),
        ),
    )


def _scores(table: pd.DataFrame, study: Study) -> Part:
    rows = []
    for target, group in table.groupby("target", sort=False):
        for place, row in enumerate(group.to_dict("records")):
            gain = (row["difference"], row["ci_low_difference"], row["ci_high_difference"])
            rows.append(
                [
                    _name(str(target), study) if place == 0 else "",
                    _name(row["predictor"], study).removeprefix("score: "),
                    *rho_cells(row),
                    estimate_text(*gain) if math.isfinite(gain[0]) else DASH,
                    *(number(row[name], 2) for name in ("lost", "random_lost")),
                ]
            )
    return Part(
        "What do scores without training say?",
        "Zero-cost scores are computed from first weights and one batch of the target, in seconds "
        f"a network. Beside them the reference, first of each target; {RHO} is with the score "
        "turned round, so that a high one is a good predictor. An interval of the difference that "
        "lies below 0 shows that the reference ranks better.",
        HtmlTable(
            caption="The reference and zero-cost scores as predictors of each target.",
            headers=[
                *("target", "predictor", *RHO_HEADERS, "less the reference [95 %]"),
                *("lost", "lost at random"),
            ],
            rows=rows,
            csv="tables/scores.csv",
            text_columns=(0, 1),
        ),
    )


def _replay(table: pd.DataFrame, study: Study) -> Part:
    after = table["strategy"].str.startswith(f"{HALVING} ")
    quarter = table[(table["share"] == _SHOWN_SHARE) & ~after]
    rows = []
    for target, group in quarter.groupby("target", sort=False):
        for place, row in enumerate(group.sort_values("lost", kind="stable").to_dict("records")):
            is_mean = target == AVERAGE
            ends = ("sets_low", "sets_high") if is_mean else ("half_low", "half_high")
            rows.append(
                [
                    "" if place else "mean of targets" if is_mean else _name(str(target), study),
                    _name(row["strategy"], study).replace("score: ", ""),
                    *(number(row["cost"], 1), number(row["lost"], 2)),
                    interval_text(*(row[name] for name in ends)),
                    f"{100 * row['beats_random']:.0f}",
                ]
            )
    return Part(
        "How well does each way of choosing work?",
        "Each is replayed thousands of times on the errors of the architectures that were trained "
        "here, with a quarter of the cost of training them all. Halving trains architectures drawn "
        "at random to an eighth of the epochs, the better half of them on to a quarter, and so on; "
        "after a filter by a score, and at other costs, in the file. A random search costs what "
        "the strategy did spend. The 95 % "
        "beside a target are of random halves of the architectures; regret has no confidence "
        "interval over architectures that holds. Those of the mean are an interval over data sets. "
        "What is chosen on are the errors that it is judged by.",
        HtmlTable(
            caption="Mean regret in points, and how often a random search of the same cost ends "
            "with a higher error (ties count half).",
            headers=["target", "strategy", "trainings", "lost", "95 %", "beats random, %"],
            rows=rows,
            csv="tables/replay.csv",
            text_columns=(0, 1),
        ),
    )


def _prediction(table: pd.DataFrame, study: Study) -> Part:
    extras = {
        "error_num_classes": "with class count",
        "error_train_images": "with images",
        "error_im_size": "with image size",
    }
    known = [name for name in extras if name in table]
    helps = any((table[name] < table["error"]).any() for name in known)
    rows = [
        [
            *(_name(row["proxy"], study).replace("score: ", ""), str(row["n"])),
            rho_estimate(row["rho"], row["ci_low"], row["ci_high"]),
            *(number(row[name], 2) for name in ("error", *known)),
        ]
        for row in table.to_dict("records")
    ]
    said = "are small where they help" if helps else "do not lower it here"
    return Part(
        "What would a data set show that is not in the study?",
        f"The interval is for the {RHO} of one new target, if it is like those of the study as "
        "they are like each other. More architectures do not narrow it; more targets do. Left "
        "out: the "
        f"mean error when each target is predicted from the others, by their mean {RHO}, or by "
        "a line "
        f"through a property; with so few targets, gains by a property {said} and may be chance.",
        HtmlTable(
            caption=f"{RHO} of a new target, predicted by a hierarchical model over data sets.",
            headers=["proxy", "targets", f"{RHO} [95 %]", "error, left out",
                     *(extras[name] for name in known)],
            rows=rows,
            csv="tables/prediction.csv",
        ),
    )  # fmt: skip


def _top(table: pd.DataFrame, study: Study) -> Part:
    rows = []
    for row in table[~table["proxy"].str.startswith("score: ")].to_dict("records"):
        tau = (row["weighted_tau"], row["weighted_tau_low"], row["weighted_tau_high"])
        shares = (row["precision"], row["precision_low"], row["precision_high"])
        rows.append(
            [
                *(_name(row["target"], study), _name(row["proxy"], study), str(row["k"])),
                *(percent_text(*shares), estimate_text(*tau)),
                *(rho_cells(row, f"_{name}")[0] for name in ("by_proxy", "by_target")),
            ]
        )
    return Part(
        "Do they agree among the best?",
        f"A high {RHO} over all may come from the bad ones. Found: how many of the target's "
        "best tenth "
        f"are among the proxy's. The last {RHO} is hindsight: its architectures are known only "
        "after "
        "training on the target.",
        HtmlTable(
            caption="Agreement at the top; of zero-cost scores, where there are some, in the file.",
            headers=[
                *("target", "proxy", "best", "found, % [95 %]", "weighted tau [95 %]"),
                *(f"{RHO} in the proxy's best tenth", f"{RHO} in the target's best tenth"),
            ],
            rows=rows,
            csv="tables/top.csv",
            text_columns=(0, 1),
        ),
    )


def _early(table: pd.DataFrame, study: Study) -> Part:
    rows = [
        [
            *(_name(row["dataset"], study), f"{row['epoch']}{' alone' if row['own'] else ''}"),
            f"{100 * row['share_of_cost']:.0f}",
            number(row["hours"], 1) if math.isfinite(row["hours"]) else DASH,
            *(rho_cells(row)[0], number(row["lost"], 2)),
            percent_text(row["better"], row["ci_low_better"], row["ci_high_better"]),
        ]
        for row in table.to_dict("records")
    ]
    return Part(
        "How early is enough?",
        f"{RHO} of the errors after an epoch with those at the end, and what is lost by "
        "choosing then. "
        "Where the learning rate falls to the end of the training, as by a cosine, epoch e is "
        "no training "
        "of e epochs: one of that length would rank better, as a rule. Control experiments of "
        "other "
        "durations are such trainings, here 'alone'.",
        HtmlTable(
            caption="Errors during training as a proxy of those at its end.",
            headers=["data set", "epoch", "cost, %", "hours", f"{RHO} with the end [95 %]", "lost",
                     "better, % [95 %]"],
            rows=rows,
            csv="tables/early.csv",
        ),
    )  # fmt: skip


def _several(table: pd.DataFrame, study: Study) -> Part:
    rows = [
        [
            *(_name(row["choice"], study), row["arch"]),
            *(number(100 * row[name], 1) for name in ("mean_share", "worst_share")),
            _name(row["worst_target"], study),
        ]
        for row in table.to_dict("records")
    ]
    return Part(
        "One architecture for all targets?",
        "The share of the other architectures that beat it, over the targets: the architecture "
        "that is "
        "best on average and in its worst case, in hindsight, and those that a proxy would choose.",
        HtmlTable(
            caption="Choices for all targets at once.",
            headers=["chosen by", "architecture", "beaten by, mean %", "at worst, %", "on"],
            rows=rows,
            csv="tables/several.csv",
            text_columns=(0, 1, 4),
        ),
    )


def _surrogate(found: Surrogate, study: Study) -> Part:
    title = study.dataset_title(study.require_reference())
    start = (
        f"Trees that predict the ranks of the errors on {title} from all parameters together "
        "explain "
        f"{number(found.r2, 2)} of their variance on architectures they were not fitted to"
    )
    if found.importance.empty:
        return Part("What matters?", f"{start}; below {MIN_R2}, so nothing is said of them.", None)
    rows = [
        [
            parameter_title(str(row["parameter"])),
            number(row["importance"], 2),
            number(row["spread"], 2),
        ]
        for row in found.importance.head(8).to_dict("records")
    ]
    return Part(
        "What matters?",
        f"{start}. Importance is what is lost of that when a parameter is shuffled among "
        "architectures. "
        "Parameters that go together share it; it is not what a parameter causes.",
        HtmlTable(
            caption="The most important parameters, all together.",
            headers=["parameter", "importance", "deviation over folds"],
            rows=rows,
            csv="tables/importance.csv",
        ),
    )
