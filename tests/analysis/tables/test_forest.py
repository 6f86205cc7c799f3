import pandas as pd
import pytest

from pycls.analysis.figures.forest import forest_figure
from pycls.analysis.inputs.results_csv import (
    architecture_table,
    error_table,
    load_results,
    repeat_runs,
)
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.statistics.partial import partial_spearman
from pycls.analysis.tables.forest import forest_table
from pycls.analysis.tables.pairs import with_own_runs
from pycls.analysis.tables.study_tables import rho_table


@pytest.fixture
def forest(study_folder):
    results, study = load_results(study_folder), load_study(study_folder)
    errors, properties = error_table(results, study), architecture_table(results, study)
    runs = with_own_runs(repeat_runs(results, study), results, study)
    rho = rho_table(errors, study)
    return forest_table(errors, properties, runs, rho, study), errors, properties, rho


def test_a_row_for_each_target_and_what_is_known_of_it(forest):
    table, errors, properties, rho = forest
    of = table.set_index(["target", "measure"])
    rho = rho.set_index("target")
    for key in ("photographs", "textures", "faces"):
        assert of.loc[(key, "reference"), "rho"] == rho.loc[key, "rho_reference"]
        assert of.loc[(key, "member"), "with"] == rho.loc[key, "closest_member"]
        given = properties[["cum_depth", "cum_width"]].reindex(errors.index).to_numpy()
        expected = partial_spearman(errors["digits"], errors[key], given)
        assert of.loc[(key, "partial"), "rho"] == pytest.approx(expected.rho)
        assert of.loc[(key, "partial"), "ci_low"] < of.loc[(key, "partial"), "rho"]
        assert 0 < of.loc[(key, "ceiling"), "rho"] <= 1  # digits was retrained


def test_the_figure_has_a_row_a_target(forest):
    table = forest[0]
    axes = forest_figure(table).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == list(
        dict.fromkeys(table["title"])
    )
    points = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert sorted(points) == sorted(table["rho"].dropna())
    assert pd.notna(table["rho"]).all()
