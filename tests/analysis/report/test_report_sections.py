import json
import shutil

import numpy as np
import pandas as pd
import pytest
from figure_texts import check_texts
from report_page import Page
from synthetic_appendix import write_pair
from synthetic_spaces import SPACES, write_spaces
from synthetic_study import plan_of

from pycls.analysis.controls.controls import control_experiments
from pycls.analysis.figures.catalog import CONTROLS
from pycls.analysis.figures.controls import OneExperiment
from pycls.analysis.figures.layout import PAGE
from pycls.analysis.figures.spaces import drawn_parameters, ranges_figure, space_edf_figure
from pycls.analysis.inputs.evidence import load_evidence
from pycls.analysis.inputs.results_csv import load_results
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.report.report import write_report
from pycls.analysis.report.space_section import space_models, space_section
from pycls.analysis.statistics.design_spaces import edf_table, parameter_ranges

pytestmark = pytest.mark.slow

POPULATION_TABLES = {"rho", "structure", "pairs", "datasets", "noise"}


@pytest.fixture(scope="module")
def controls(tmp_path_factory):
    """The report of a study of control experiments."""
    return write_report(write_pair(tmp_path_factory.mktemp("controls")))


@pytest.fixture(scope="module")
def spaces(tmp_path_factory):
    """The report of a study of design spaces."""
    return write_report(write_spaces(tmp_path_factory.mktemp("spaces") / "study"))


def stems(report, kind, suffix):
    return {path.stem for path in (report.parent / kind).glob(f"*{suffix}")}


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_controls_alone_are_reported_as_what_they_are(controls):
    page = Page(controls)
    page.check_links(controls.parent)
    assert "names no reference" in page.text
    assert "8 sweeps of control experiments beside the study 'simulated'" in page.text
    assert "of 9 questions asked of such runs, 9 can be answered" in page.text
    assert "185 runs planned: 185 done" in page.text
    assert not {"noise", "errors", "scatter", "structure", "pairs"} & page.ids
    tables = stems(controls, "tables", ".csv")
    assert not tables & POPULATION_TABLES
    assert all(name.startswith("appendix") for name in tables)
    assert stems(controls, "figures", ".svg") == {
        f"appendix_{name}"
        for name in (
            *("variants", "curves", "continued", "repeats", "topk", "training"),
            *("classes", "balanced", "pretrained"),
        )
    }
    row = next(row for row in page.rows if row and row[0] == "Class balance")
    assert row[1] == "Textures-balanced against Textures"
    assert row[3] == "31"


def test_the_same_controls_give_the_same_bytes(controls, tmp_path):
    shutil.copytree(controls.parent.parent.parent, tmp_path / "copy")
    before = contents(controls.parent)
    path = write_report(tmp_path / "copy" / "appendix")
    assert contents(path.parent) == before


def test_gaps_are_listed_with_the_reason(tmp_path):
    folder = write_pair(tmp_path)
    shutil.rmtree(tmp_path / "base")
    page = Page(write_report(folder))
    page.check_links(folder / "report")
    assert "whose results were not found" in page.text
    assert "Top-1 and top-k error The results of its base, the study 'simulated'" in page.text
    summary = pd.read_csv(folder / "report" / "tables" / "appendix.csv")
    assert summary.loc[summary["what"] == "Pretraining", "n"].item() == 0
    study = json.loads((folder / "study.json").read_text())
    study["base"]["study"] = None
    (folder / "study.json").write_text(json.dumps(study))
    assert "were not found" in Page(write_report(folder)).text


def test_controls_beside_a_population_come_after_its_answer(tmp_path):
    keys = ("digits", "digits_5", "photographs", "textures", "faces")
    folder = write_pair(tmp_path, plan_of(*keys, archs=12, topk=True))
    base = tmp_path / "base"
    study = json.loads((base / "study.json").read_text())
    ours = json.loads((folder / "study.json").read_text())
    study["sweeps"] |= ours["sweeps"]
    study["datasets"] = study["datasets"] | ours["datasets"]
    (base / "study.json").write_text(json.dumps(study))
    rows = [pd.read_csv(place / "results.csv", dtype=str) for place in (base, folder)]
    pd.concat(rows).to_csv(base / "results.csv", index=False)
    report = write_report(base)
    page = Page(report)
    page.check_links(report.parent)
    assert "Of the 3 targets" in page.text
    assert {"answer", "controls", "noise", "pairs"} <= page.ids
    assert stems(report, "tables", ".csv") >= POPULATION_TABLES
    datasets = pd.read_csv(report.parent / "tables" / "datasets.csv")
    assert "photographs_stem" not in set(datasets["dataset"])
    assert datasets["planned"].eq(12).all()


def test_texts_of_the_control_figures_are_readable(controls):
    folder = controls.parent.parent
    evidence = load_evidence(folder, load_study(folder))
    experiments = {each.name: each for each in control_experiments(evidence)}
    drawn = []
    for entry in CONTROLS:
        figure = entry.make(OneExperiment(experiments[entry.needs], evidence), PAGE)
        texts = check_texts(figure)
        assert entry.key == "classes" or texts > 3 * len(figure.axes)
        drawn.append(entry.key)
    assert len(drawn) == 9


def test_spaces_are_compared_without_a_reference(spaces):
    page = Page(spaces)
    page.check_links(spaces.parent)
    assert "It compares 3 design spaces: AnyNetXA, AnyNetXC and RegNetX." in page.text
    assert "On Digits the median error is lowest in RegNetX" in page.text
    assert "AnyNetXA (20), AnyNetXC (20), RegNetX (20)" in page.text
    for suffix in (".svg", ".pdf", ".png"):
        assert {"edf", "ranges"} <= stems(spaces, "figures", suffix)
    tables = stems(spaces, "tables", ".csv")
    assert {"spaces", "edf", "ranges", "structure", "datasets"} <= tables
    assert "rho" not in tables
    edf = pd.read_csv(spaces.parent / "tables" / "edf.csv")
    assert edf.groupby("space").size().to_dict() == dict.fromkeys(SPACES, 20)
    best = pd.read_csv(spaces.parent / "tables" / "ranges.csv")
    best = best[best["parameter"] == "cum_depth"]
    assert (best["median"] < best["median_all"]).all()  # errors rise with depth
    assert len(best) == 3


def test_texts_of_the_space_figures_are_readable(tmp_path):
    folder = write_spaces(tmp_path / "study", datasets=("digits", "photographs"))
    section = space_section(load_results(folder), load_study(folder))
    assert set(section.figures) == {"edf", "ranges_digits", "ranges_photographs"}
    for planned in section.figures.values():
        assert check_texts(planned.draw()) > 3


def test_many_spaces_and_wide_ranges_are_readable():
    rng = np.random.default_rng(0)
    models = pd.DataFrame({"space": np.repeat([f"AnyNetX{name}" for name in "ABCDEFG"], 40)})
    models["error"] = rng.normal(30, 2, len(models))
    for stage in range(1, 5):
        models[f"width_ratio_{stage}"] = 10 ** rng.uniform(-1.3, 1.5, len(models))
        models[f"group_w_{stage}"] = 2 ** rng.integers(0, 6, len(models))
    ranges = parameter_ranges(models, [name for name in models if name[-1].isdigit()])
    assert check_texts(ranges_figure(ranges, drawn_parameters(ranges))) > 30
    edf = space_edf_figure({"Digits": edf_table(models)}, {"Digits": "test error (%)"})
    assert check_texts(edf) > 10


def test_an_unfinished_study_of_spaces_says_so(tmp_path):
    folder = write_spaces(tmp_path / "study", unfinished=True)
    page = Page(write_report(folder))
    page.check_links(folder / "report")
    assert "No run has finished yet" in page.text
    assert not any(cell.startswith("nan") for row in page.rows for cell in row)
    models = space_models(load_results(folder), load_study(folder))["digits"]
    assert models["error"].isna().all()
    assert len(models) == 60


def test_architectures_of_no_space_are_left_out(tmp_path):
    folder = write_spaces(tmp_path / "study")
    study = json.loads((folder / "study.json").read_text())
    study["population"]["spaces"].pop("RegNetX")
    (folder / "study.json").write_text(json.dumps(study))
    models = space_models(load_results(folder), load_study(folder))["digits"]
    assert models["space"].unique().tolist() == ["AnyNetXA", "AnyNetXC"]
