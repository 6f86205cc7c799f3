"""The report's answer for data sets by themselves: what to take, how sure, and how to take it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pycls.analysis.inputs.study_json import Study
from pycls.analysis.report.html_tables import HtmlTable
from pycls.analysis.tables.own_set import agreement_table, count_level, leader_table
from pycls.analysis.wording import RHO, count, number, rho_number
from pycls.command_names import command_name


@dataclass(frozen=True)
class OwnSection:
    """What the page says of data sets that are compared with none.

    Attributes:
        summary: the answer in a few sentences.
        leaders: the best architectures with their intervals; None where no run has finished.
        agreement: sentences on how far the rankings can be trusted.
        commands: (data set, what takes its best network along) of each.
        tables: name -> table, to be written as CSV.
    """

    summary: str
    leaders: HtmlTable | None
    agreement: list[str]
    commands: list[tuple[str, str]]
    tables: dict[str, pd.DataFrame]


def own_section(
    folder: Path, results: pd.DataFrame, repeats: pd.DataFrame, study: Study
) -> OwnSection | None:
    """Return the section of a study without a reference; None where it trains no population."""
    if study.reference or study.spaces() or not study.sweeps_of_role("main"):
        return None
    leaders = leader_table(results, repeats, study)
    agreement = agreement_table(results, repeats, study)
    texts, commands = [], []
    for key, group in leaders.groupby("dataset", sort=False):
        best: dict[str, Any] = {str(name): value for name, value in group.iloc[0].items()}
        dataset = str(key)
        trained = int(agreement["n"][agreement["dataset"] == dataset].iloc[0])
        level = count_level(results, repeats, study, dataset) - 1
        texts.append(_best_text(study.dataset_title(dataset), best, trained, level))
        commands.append((study.dataset_title(dataset), _export_command(folder, best)))
    return OwnSection(
        summary=" ".join(texts),
        leaders=_leaders_html(leaders, study) if len(leaders) else None,
        agreement=[text for row in agreement.itertuples() for text in _trust(row, study)],
        commands=commands,
        tables={"leaders": leaders, "agreement": agreement},
    )


def _best_text(title: str, best: dict[str, Any], trained: int, level: int) -> str:
    text = (
        f"Of {count(trained, 'architecture')} on {title}, {best['arch']} has the lowest error: "
        f"{number(best['error'], 2)} %"
    )
    if not math.isnan(best["ci_low"]):
        text += f" (95 % interval {number(best['ci_low'], 1)} to {number(best['ci_high'], 1)})"
    if level:
        verb = "is" if level == 1 else "are"
        return f"{text}; {count(level, 'other')} {verb} not clearly worse."
    return f"{text}, clearly lower than all others." if trained > 1 else f"{text}."


def _trust(row: Any, study: Study) -> list[str]:
    """Return what the agreement of a ranking with itself says, in sentences."""
    title, texts = study.dataset_title(row.dataset), []
    if not math.isnan(row.rho_halves):
        texts.append(
            f"{title}: between two halves of the test images the errors of {row.n} "
            f"architectures have {RHO} = {rho_number(row.rho_halves)}; between all images and as "
            f"many others it would be about {rho_number(row.rho_images)}."
        )
    if not math.isnan(row.sd_seeds):
        texts.append(
            f"{title}: trained again under another seed, an architecture's error changes by "
            f"{number(row.sd_seeds, 2)} points (standard deviation); architectures differ by "
            f"{number(row.sd, 2)}. About {number(100 * row.reliability, 0)} % of the "
            "variance between them is theirs, the rest is the seed's."
        )
    else:
        texts.append(
            f"{title}: no architecture was trained under several seeds, so it is not known how "
            "much of the differences is luck; 'repeats' in the study file asks for it."
        )
    return texts


def _export_command(folder: Path, best: dict[str, Any]) -> str:
    """Return the command that exports a run's network, from where studies are carried out."""
    sweep, _, index = str(best["run"]).rpartition("/")
    place = f"studies/{folder.resolve().name}/{sweep}"
    return (
        f"{command_name('export_net')} --cfg {place}/cfgs/{index}.yaml --weights "
        f"{place}/logs/{index}/checkpoints/model_epoch_{int(best['epochs']):04d}.pyth "
        f"--format onnx --out {best['arch']}.onnx"
    )


def _leaders_html(table: pd.DataFrame, study: Study) -> HtmlTable:
    rows = []
    for key, group in table.groupby("dataset", sort=False):
        for place, row in enumerate(group.to_dict("records")):
            title = study.dataset_title(str(key)) if place == 0 else ""
            low, high = row["ci_low"], row["ci_high"]
            interval = "" if math.isnan(low) else f"{number(low, 1)} to {number(high, 1)}"
            cells = [title, str(row["rank"]), row["arch"], number(row["error"], 2), interval]
            rows.append([*cells, "" if place == 0 else row["told_apart"]])
    return HtmlTable(
        caption="The lowest test errors, with the 95 % interval that the number of test images "
        "and, where known, the training seed allow. The lowest of many is partly luck: trained "
        "again, it tends to do worse.",
        headers=["data set", "rank", "architecture", "error (%)", "95 % interval", "clearly worse"],
        rows=rows,
        csv="tables/leaders.csv",
        text_columns=(0, 2, 5),
    )
