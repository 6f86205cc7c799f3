import math

import numpy as np
import pandas as pd
import pytest
from synthetic_study import Plan, write_study

from pycls.analysis.figures.forest import forest_figure
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.results_csv import (
    architecture_table,
    error_table,
    load_results,
    repeat_runs,
)
from pycls.analysis.inputs.scores_csv import load_scores
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.statistics import compare_rhos, spearman
from pycls.analysis.tables.choice import choice_table
from pycls.analysis.tables.choosing import (
    candidates_for,
    prediction_table,
    race_table,
    top_table,
)
from pycls.analysis.tables.forest import forest_table
from pycls.analysis.tables.pairs import with_own_runs
from pycls.analysis.tables.replay import replay_table
from pycls.analysis.tables.scores import score_table
from pycls.analysis.tables.study_tables import rho_table
from pycls.errors import ConfigError
from pycls.schema import SCORES


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A study with scores of its targets but one: one good, one undefined for two networks."""
    folder = write_study(tmp_path_factory.mktemp("scored"), Plan(repeats=0))
    study = load_study(folder)
    errors = error_table(load_results(folder), study)
    rng = np.random.default_rng(0)
    rows = []
    for key in ("photographs", "faces"):
        for i, arch in enumerate(errors.index[::-1]):
            cells = dict.fromkeys(SCORES, 1.0) | {"dataset": key, "arch": arch}
            cells["snip"] = -errors[key][arch] + 0.1 * rng.standard_normal()
            cells["zen"] = "" if i < 2 else rng.standard_normal()
            rows.append(cells)
    pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)
    return folder, study, errors


def test_scores_stand_beside_the_reference_with_intervals(scored):
    folder, study, errors = scored
    scores = load_scores(folder, errors.index)
    table = score_table(scores, errors, study)
    assert table["target"].unique().tolist() == ["photographs", "faces"]
    own = table[table["target"] == "faces"].set_index("predictor")
    assert list(own.index) == ["digits", *(f"score: {name}" for name in SCORES.values())]
    reference, snip = own.loc["digits"], own.loc["score: SNIP"]
    assert reference["rho"] == spearman(errors["digits"], errors["faces"]).rho < 0
    assert math.isnan(reference["difference"])
    assert snip["ci_low"] > 0.9
    gain = compare_rhos(errors["digits"], -scores["faces"]["snip"], errors["faces"])
    assert (snip["difference"], snip["ci_low_difference"]) == (gain.difference, gain.ci_low)
    assert snip["p_adjusted_difference"] >= snip["p_difference"]
    assert (own.loc["score: Zen", "n"], own.loc["score: plain", "n"]) == (30, 32)
    assert math.isnan(own.loc["score: plain", "rho"])
    noise = np.random.default_rng(1).standard_normal((len(errors), 8))
    shown = errors["faces"].to_numpy()[:, None] + noise * [50, 0, 3, 3, 3, 3, 3, 0]
    curves = {"faces": Curves(np.arange(1, 9), shown, shown)}
    race = race_table(errors, pd.DataFrame(index=errors.index), study, scores, curves)
    raced = race[race["target"] == "faces"].set_index("candidate")
    assert raced.loc["the target's epoch 2 of 8", "rho"] == 1
    assert raced.loc["the target's epoch 1 of 8", "rho"] < 0.8
    assert race[race["target"] == "photographs"]["candidate"].iloc[0] == "score: SNIP"
    assert "score: SNIP" not in candidates_for("textures", errors, pd.DataFrame(), scores)
    choice = choice_table(errors, study, scores)
    first = choice[(choice["target"] == "faces") & (choice["role"] == "score") & (choice["k"] == 1)]
    assert first.set_index("proxy").loc["score: SNIP", "lost"] == snip["lost"]
    rho = rho_table(errors, study)
    results = load_results(folder)
    properties = architecture_table(results, study)
    runs = with_own_runs(repeat_runs(results, study), results, study)
    forest = forest_table(errors, properties, runs, rho, study, scores)
    of = forest[(forest["target"] == "faces") & (forest["measure"] == "score")].set_index("with")
    for name in ("rho", "ci_low", "ci_high"):
        assert of.loc["score: SNIP", name] == snip[name]
    rest = forest[forest["measure"] != "score"]
    assert len(forest_figure(forest).axes[0].lines) == len(forest_figure(rest).axes[0].lines)
    assert "score: SNIP" not in set(prediction_table(errors, study, scores)["proxy"])
    everywhere = dict.fromkeys(study.targets, scores["faces"])
    predicted = prediction_table(errors, study, everywhere).set_index("proxy")
    assert predicted.loc["score: SNIP", "n"] == len(study.targets)
    top = top_table(errors, study, scores)
    found = top[(top["target"] == "faces") & (top["proxy"] == "score: SNIP")].iloc[0]
    assert found["weighted_tau"] > 0.8
    assert "score: SNIP" not in set(top[top["target"] == "textures"]["proxy"])


def test_the_replay_has_means_over_targets(scored):
    folder, study, errors = scored
    table = replay_table(errors, {}, load_scores(folder, errors.index), study)
    means = table[table["target"] == "average"].set_index(["strategy", "share"])
    assert means.loc[("random search", 0.25), "n"] == 3
    snip = means.loc[("score: SNIP", 0.25)]
    assert (snip["n"], snip["lost"]) == (2, 0)
    assert snip["sets_low"] == snip["sets_high"] == 0
    assert not table["strategy"].str.startswith("halving").any()


def test_two_rows_of_one_network_are_refused(scored, tmp_path):
    folder, _, errors = scored
    lines = (folder / "scores.csv").read_text().splitlines()
    (tmp_path / "scores.csv").write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(ConfigError, match=r"scores\.csv: two rows of \S+ on faces"):
        load_scores(tmp_path, errors.index)
    (tmp_path / "scores.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    with pytest.raises(ConfigError, match="expected a CSV table with the columns"):
        load_scores(tmp_path, errors.index)
