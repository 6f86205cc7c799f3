import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_study import write_study

from pycls.analysis.choosing.early import early_table
from pycls.analysis.choosing.new_target import predict_rho
from pycls.analysis.choosing.race import race
from pycls.analysis.choosing.several import best_for_all, chosen_for_all
from pycls.analysis.choosing.surrogate import fit_surrogate
from pycls.analysis.choosing.top import top_agreement
from pycls.analysis.figures.choosing import dependence_figure, early_figure
from pycls.analysis.inputs.collection import duration_runs
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.results_csv import load_results
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.tables.choosing import early_tables

PUBLISHED = {  # rho with ImageNet, with the closest subset
    "imagenet": [0.001, 0.476, 0.517, -0.436, 0.967, -0.38, -0.104, 0.476],
    "member": [0.106, 0.811, 0.608, 0.294, 0.95, 0.186, 0.45, 0.595],
}


def test_the_best_of_equal_candidates_is_corrected_and_each_is_as_likely():
    rng = np.random.default_rng(0)
    best, corrected, held = [], [], 0
    for _ in range(60):
        y = rng.standard_normal(60)
        table = race({str(i): y + rng.standard_normal(60) for i in range(8)}, y)
        first = table.iloc[0]
        best.append(first["rho"])
        corrected.append(first["rho_corrected"])
        held += first["all_low"] <= 0.69 <= first["all_high"]
        assert table["p_best"].sum() == pytest.approx(1)
    assert np.mean(best) > 0.76
    assert np.mean(corrected) == pytest.approx(0.69, abs=0.04)
    assert held >= 54


def test_a_clearly_better_candidate_is_surely_the_best():
    rng = np.random.default_rng(1)
    y = rng.standard_normal(200)
    some = np.where(np.arange(200) < 20, math.nan, y)
    table = race({"same": some, "noise": rng.standard_normal(200), "none": y * 0}, y)
    assert table["candidate"].tolist() == ["same", "noise"]
    assert table["p_best"].tolist() == [1, 0]
    assert table["n"].tolist() == [180, 200]
    assert table["all_low"][0] > 0.9


def test_prediction_of_a_new_target_covers_it():
    rng = np.random.default_rng(2)
    draws = {
        "the model's": lambda: np.tanh(rng.normal(0.4, 0.5, 9)),
        "heavy tails": lambda: np.tanh(0.4 + 0.4 * rng.standard_t(3, 9)),
        "two kinds": lambda: np.tanh(rng.choice([-0.3, 1.0], 9) + rng.normal(0, 0.2, 9)),
    }
    for kind, draw in draws.items():
        held = 0
        for _ in range(1000):
            *known, new = draw()
            found = predict_rho(known)
            held += found.ci_low <= new <= found.ci_high
        assert 900 <= held <= (980 if kind == "the model's" else 1000)


def test_prediction_on_the_published_targets():
    classes = np.log([2, 9, 7, 2, 291, 6, 10, 100])
    for rhos in PUBLISHED.values():
        found = predict_rho(rhos, {"classes": classes})
        assert found.ci_low < min(rhos) + 0.3
        assert found.ci_high > 0.9
        assert found.errors["classes"] < found.error  # more classes, more like ImageNet
        inside = 0
        for place, rho in enumerate(rhos):
            others = predict_rho([*rhos[:place], *rhos[place + 1 :]])
            inside += others.ci_low <= rho <= others.ci_high
        assert inside >= 7
    assert math.isnan(predict_rho([0.1, math.nan, 0.3]).rho)


def test_top_by_hand():
    x = np.arange(20.0)
    y = x.copy()
    y[[0, 1, 2]] = [5.5, 30, -1]
    found = top_agreement(x, y, share=0.15)
    assert (found.n, found.k) == (20, 3)
    # Of the proxy's 0, 1, 2 the target has 2 among its best, with 3 and 4.
    assert found.precision == pytest.approx(1 / 3)
    exact = stats.binomtest(1, 3).proportion_ci()
    assert (found.precision_low, found.precision_high) == pytest.approx((exact.low, exact.high))
    assert top_agreement(x, x).weighted_tau == pytest.approx(1)
    assert top_agreement([], []).n == 0
    tied = top_agreement(np.zeros(40), np.arange(40.0))
    assert tied.precision == pytest.approx(0.1)


def test_the_best_may_disagree_where_all_agree():
    rng = np.random.default_rng(3)
    x = np.arange(300.0)
    y = np.where(x < 30, 30 - x, x + rng.normal(0, 5, 300))
    found = top_agreement(x, y)
    assert found.by_proxy.rho == pytest.approx(-1)
    assert found.weighted_tau_low <= found.weighted_tau <= found.weighted_tau_high


def test_early_ends_by_hand():
    rng = np.random.default_rng(4)
    end = rng.uniform(5, 50, 60)
    noise = rng.standard_normal((60, 40)) * np.linspace(30, 0, 40)
    errors = end[:, None] + noise
    table = early_table(np.arange(1, 41), errors)
    assert table["epoch"].iloc[0] == 1
    assert table["epoch"].iloc[-1] == 39
    assert len(table) <= 6
    assert table["rho"].iloc[0] < table["rho"].iloc[-1]
    assert table["share_of_cost"].iloc[-1] == pytest.approx(39 / 40)
    first = errors[:, 0].argmin()
    assert table["lost"].iloc[0] == pytest.approx(end[first] - end.min())
    assert early_table([5], end[:, None]).empty


def test_one_for_several_targets_by_hand():
    errors = pd.DataFrame(
        {"a": [1.0, 2, 3, 4, math.nan], "b": [4.0, 2, 3, 1, 0]}, index=list("vwxyz")
    )
    best = best_for_all(errors).set_index("rule")
    assert best["arch"].tolist() == ["w", "w"]
    assert best.loc["average", "mean_share"] == pytest.approx(1 / 3)
    assert best.loc["worst case", "n"] == 4
    chosen = chosen_for_all({"p": pd.Series({"v": 0.0, "w": 1})}, errors).iloc[0]
    assert (chosen["arch"], chosen["worst_share"], chosen["worst_target"]) == ("v", 1, "b")
    assert best_for_all(errors.iloc[4:]).empty


@pytest.mark.slow
def test_surrogate_finds_what_matters_and_keeps_silent_where_nothing_does():
    rng = np.random.default_rng(5)
    x = pd.DataFrame(rng.integers(1, 17, (150, 4)), columns=list("abcd"))
    found = fit_surrogate(x, 30 - 1.5 * x["a"] + 0.3 * x["b"] + rng.normal(0, 2, 150))
    assert found.r2 > 0.5
    assert found.importance["parameter"][0] == "a"
    of_a = found.dependence[found.dependence["parameter"] == "a"]
    assert of_a["error"].iloc[0] > of_a["error"].iloc[-1] + 10
    nothing = fit_surrogate(x, rng.standard_normal(150))
    assert nothing.r2 < 0.1
    assert nothing.importance.empty
    assert math.isnan(fit_surrogate(x[:20], np.arange(20)).r2)


def test_shorter_trainings_of_their_own_stand_beside_epochs(tmp_path):
    """Those of the study, and of a study of control experiments beside it."""
    folder = write_study(tmp_path / "study")
    study, results = load_study(folder), load_results(folder)
    short = results[results["sweep"] == "textures"].copy()
    long = short.assign(sweep="long", epochs=4 * short["epochs"], error=short["error"] ** 0.5)
    entry = {"dataset": "textures", "of": "textures", "role": "control", "control": "duration"}
    beside = tmp_path / "beside"
    beside.mkdir()
    described = json.loads((folder / "study.json").read_text())
    base = {"name": study.name, "folder": str(folder)}
    described |= {"name": "beside", "base": base, "reference": None, "targets": [], "family": []}
    described["sweeps"] = {"long": entry}
    (beside / "study.json").write_text(json.dumps(described))
    long.to_csv(beside / "results.csv", index=False)
    errors = np.random.default_rng(0).uniform(5, 50, (30, 4))
    curves = {"digits": Curves(np.arange(1, 5), errors, errors)}
    table = early_tables(
        curves, study, {"textures": 8.0}, results, duration_runs(folder, study, results)
    )
    assert table["dataset"].tolist() == ["digits"] * 3 + ["textures"]
    own_study = replace(study, sweeps={**study.sweeps, "long": entry})
    (beside / "results.csv").write_text("damaged")
    runs = duration_runs(folder, own_study, pd.concat([results, long]))
    assert early_tables(curves, own_study, {"textures": 8.0}, results, runs).equals(table)
    own = table.iloc[3]
    assert (own["own"], own["rho"], own["share_of_cost"], own["hours"]) == (True, 1, 0.25, 2)
    assert table["hours"][0] != table["hours"][0]
    figure = early_figure(table, study)
    assert [axes.get_title() for axes in figure.axes] == ["Digits", "Textures"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "epochs of the training",
        "shorter trainings of their own",
    ]


def test_partial_dependence_is_drawn_of_the_most_important_parameters(study_folder):
    importance = pd.DataFrame({"parameter": ["depth_1", "width_2"], "importance": [0.5, 0.1]})
    dependence = pd.DataFrame(
        {
            "parameter": ["width_2"] * 2 + ["depth_1"] * 3 + ["depth_2"],
            "value": [8.0, 16, 1, 2, 3, 1],
        }
    ).assign(error=[30.0, 29, 40, 30, 20, 99])
    figure = dependence_figure(dependence, importance, load_study(study_folder))
    first, second = figure.axes
    assert first.get_title() == "depth, stage 1"
    assert first.lines[0].get_ydata().tolist() == [40, 30, 20]
    assert first.get_ylim() == second.get_ylim() == (19, 41)
