import json
import sys

import numpy as np
import pandas as pd
import pytest
from report_page import Page

from pycls.analysis.inputs.elsewhere import adopt_results
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.report import report
from pycls.commands.study import main
from pycls.errors import ConfigError

CLASSES = {"photos": 100, "photos_10": 10, "photos_2": 2, "cells": 8, "leaves": 3}


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        (f"net{i}", name, classes, round(10 + rng.uniform(0, 30), 2))
        for name, classes in CLASSES.items()
        for i in range(12)
    ]
    frame = pd.DataFrame(rows, columns=["arch", "dataset", "num_classes", "error"])
    frame.loc[3, "error"] = np.nan
    path = tmp_path / "theirs.csv"
    frame.to_csv(path, index=False)
    return path


def test_roles_are_found_in_the_names(table, tmp_path):
    study = load_study(adopt_results(table, tmp_path / "out", "photos"))
    assert study.members() == {"photos_10": 10, "photos_2": 2}
    assert study.targets == ("cells", "leaves")
    assert study.sweeps["cells"]["role"] == "main"
    study = load_study(adopt_results(table, tmp_path / "out", "photos", ["cells"], ["leaves"]))
    assert (study.family, study.targets) == (("cells",), ("leaves",))


def test_report_of_a_table_alone(table, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "paper_section", lambda *_: None)
    monkeypatch.setattr(report, "plan_population_figures", lambda _: {})  # tested where drawn
    page = Page(report.write_report(adopt_results(table, tmp_path / "out", "photos")))
    frame = pd.read_csv(table).pivot(index="arch", columns="dataset", values="error")
    found = pd.read_csv(tmp_path / "out" / "report" / "tables" / "rho.csv").set_index("target")
    for key in ("cells", "leaves"):
        expected = frame["photos"].corr(frame[key], method="spearman")
        assert found.loc[key, "rho_reference"] == pytest.approx(expected)
        assert found.loc[key, "n_reference"] == 11
    assert found.loc["leaves", "closest_member"] == "photos_2"
    assert "Depth and width" not in page.text


def test_repeated_architectures_are_a_sweep_of_repeats(table, tmp_path):
    frame = pd.read_csv(table)
    again = frame[frame["dataset"] == "cells"].head(1).assign(sweep="again")
    repeats = pd.concat([again.assign(seed=seed, error=20 + seed) for seed in range(3)])
    pd.concat([frame.assign(sweep=frame["dataset"], seed=0), repeats]).to_csv(table, index=False)
    study = load_study(adopt_results(table, tmp_path / "out", "photos"))
    assert study.sweeps_of_role("repeats") == ["again"]


@pytest.mark.parametrize(
    ("change", "reference", "message"),
    [
        (lambda t: t, None, "Name it with --reference .the data sets are photos, photos_10"),
        (lambda t: t, "else", "no data set 'else'"),
        (lambda t: t.drop(columns="num_classes"), "photos", "no column num_classes"),
        (lambda t: t.assign(num_classes="many"), "photos", "num_classes 'many'"),
        (lambda t: t.assign(error=200), "photos", "expected percent, from 0 to 100"),
    ],
)
def test_mistakes_write_no_study(table, tmp_path, change, reference, message):
    change(pd.read_csv(table)).to_csv(table, index=False)
    with pytest.raises(ConfigError, match=message):
        adopt_results(table, tmp_path / "out", reference)
    assert not (tmp_path / "out").exists()


def test_the_table_itself_is_never_written_over(table, tmp_path):
    place = table.rename(tmp_path / "results.csv")
    before = place.read_bytes()
    with pytest.raises(ConfigError, match="holds the table itself"):
        adopt_results(tmp_path, tmp_path, "photos")
    assert place.read_bytes() == before
    record = json.loads((adopt_results(place, tmp_path / "o", "photos") / "study.json").read_text())
    assert record["reference"] == "photos"


def test_command_takes_tables_and_folders(table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "paper_section", lambda *_: None)
    monkeypatch.setattr(report, "plan_population_figures", lambda _: {})
    for words in (["theirs.csv", "--reference", "photos"], ["studies/theirs"]):
        monkeypatch.setattr(sys, "argv", ["study.py", "report", *words])
        assert main() == 0
        assert "studies/theirs/report/index.html" in capsys.readouterr().out
