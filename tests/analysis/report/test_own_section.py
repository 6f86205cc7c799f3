"""The page of a study that compares its data set with none: the best networks, and how sure."""

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest
from report_page import Page
from synthetic_study import plan_of, write_study

from pycls.analysis.inputs.results_csv import load_results, repeat_runs
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.report.own_section import own_section
from pycls.analysis.report.report import write_report
from pycls.analysis.tables.own_set import agreement_table, count_level, leader_table


def alone(folder, halves=True, **changes):
    """Write a study of the digits alone; the errors of halves lie on both sides of the whole."""
    write_study(folder, plan_of("digits", **changes))
    path = folder / "study.json"
    study = json.loads(path.read_text())
    study |= {"reference": None, "family": [], "targets": []}
    study["datasets"]["digits"]["test_images"] = 400
    path.write_text(json.dumps(study))
    if halves:
        table = pd.read_csv(folder / "results.csv", dtype={"run": str})
        noise = np.random.default_rng(1).normal(0, 0.3, len(table))
        table = table.assign(half_1_err=table["error"] + noise, half_2_err=table["error"] - noise)
        table.to_csv(folder / "results.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return alone(tmp_path_factory.mktemp("alone") / "mine")


def parts(folder):
    results, study = load_results(folder), load_study(folder)
    return results, repeat_runs(results, study), study


def test_the_leaders_and_their_intervals(folder):
    results, repeats, study = parts(folder)
    table = leader_table(results, repeats, study)
    assert list(table["error"]) == sorted(table["error"])
    assert table["rank"].iloc[0] == 1
    assert ((table["ci_low"] < table["error"]) & (table["error"] < table["ci_high"])).all()
    # Wilson's interval for the test images alone, where no seed is known to matter.
    none = leader_table(results, repeats.iloc[:0], study).iloc[0]
    share, n, z = none["error"] / 100, 400, 1.959964
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert none["ci_low"] == pytest.approx(100 * (centre - half), abs=1e-3)
    assert none["ci_high"] == pytest.approx(100 * (centre + half), abs=1e-3)
    level = count_level(results, repeats, study, "digits")
    assert 1 <= level <= 32
    assert (table["told_apart"] == "no").sum() == min(level, len(table))


def test_with_ever_more_test_images_the_best_stands_alone(folder):
    results, repeats, study = parts(folder)
    study.datasets["digits"]["test_images"] = 10**9
    assert count_level(results, repeats.iloc[:0], study, "digits") == 1


def test_agreement_of_halves_and_seeds(folder):
    results, repeats, study = parts(folder)
    row = agreement_table(results, repeats, study).iloc[0]
    assert row["n"] == 32
    assert 0.5 < row["rho_halves"] < row["rho_images"] < 1
    assert row["sd_seeds"] == pytest.approx(repeats["error"].std(), rel=1e-6)
    assert row["reliability"] == pytest.approx(1 - (row["sd_seeds"] / row["sd"]) ** 2)


@pytest.mark.slow
def test_the_page_answers_from_what_was_trained(folder):
    page_path = write_report(folder)
    page = Page(page_path)
    with (page_path.parent / "tables" / "leaders.csv").open(newline="") as file:
        best = next(csv.DictReader(file))
    answer = page.text.partition("The answer")[2]
    assert f"{best['arch']} has the lowest error" in answer
    assert "95 % interval" in answer
    assert "between two halves of the test images" in answer
    assert "names no reference" not in page.text
    assert not {"All pairs", "Data sets against each other"} & set(page.words)
    sweep, _, index = best["run"].partition("/")
    command = re.search(r"tools/export_net\.py (.*?)onnx", page.text)[0]
    assert f"--cfg studies/mine/{sweep}/cfgs/{index}.yaml" in command
    assert f"{sweep}/logs/{index}/checkpoints/model_epoch_" in command
    page.check_links(page_path.parent)


def test_what_is_not_known_is_said(tmp_path):
    results, repeats, study = parts(alone(tmp_path / "mine", halves=False, repeats=0))
    section = own_section(tmp_path / "mine", results, repeats, study)
    assert "not known how much of the differences is luck" in section.agreement[0]
    assert len(section.agreement) == 1
