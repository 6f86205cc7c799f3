import copy
import dataclasses
import io
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from synthetic_study import Plan, write_study

from pycls.analysis.inputs.results_csv import (
    architecture_table,
    error_table,
    load_results,
    repeat_runs,
)
from pycls.analysis.inputs.study_json import load_study
from pycls.analysis.report.html_tables import dataset_notes
from pycls.analysis.report.warnings import study_warnings
from pycls.analysis.tables.study_tables import (
    dataset_table,
    noise_table,
    pair_table,
    rho_table,
    structure_table,
    table_text,
    write_table,
)
from pycls.analysis.wording import DASH, MINUS, rho_interval, rho_number


class Loaded:
    def __init__(self, folder):
        self.results, self.study = load_results(folder), load_study(folder)
        self.errors = error_table(self.results, self.study)
        self.architectures = architecture_table(self.results, self.study)
        self.repeats = repeat_runs(self.results, self.study)

    def warnings(self):
        tables = {
            "datasets": dataset_table(self.results, self.study),
            "rho": rho_table(self.errors, self.study),
            "noise": noise_table(self.errors, self.repeats, self.study),
        }
        return study_warnings(self.results, self.study, tables)


@pytest.fixture(scope="module")
def loaded(study_folder):
    return Loaded(study_folder)


def scipy_rho(x, y):
    kept = x.notna() & y.notna()
    return spearmanr(x[kept], y[kept]).statistic


def test_rho_of_targets_with_reference_and_closest_member(loaded):
    table = rho_table(loaded.errors, loaded.study).set_index("target")
    errors = loaded.errors
    assert list(table.index) == ["photographs", "textures", "faces", "average"]
    assert table["closest_member"].to_list()[:3] == ["digits_5", "digits_2", "digits_2"]
    for key in loaded.study.targets:
        row = table.loc[key]
        member = row["closest_member"]
        assert row["rho_reference"] == pytest.approx(scipy_rho(errors["digits"], errors[key]))
        assert row["rho_member"] == pytest.approx(scipy_rho(errors[member], errors[key]))
        assert row["difference"] == pytest.approx(row["rho_member"] - row["rho_reference"])
        assert row["ci_low_difference"] < row["difference"] < row["ci_high_difference"]
    assert table["n_reference"].to_list()[:3] == [32, 31, 32]
    # The simulated structure: one target alike, one unrelated, one opposite.
    assert table.loc["photographs", "ci_low_reference"] > 0
    assert (
        table.loc["textures", "ci_low_reference"] < 0 < table.loc["textures", "ci_high_reference"]
    )
    assert table.loc["faces", "ci_high_reference"] < 0


def test_average_row_is_consistent(loaded):
    table = rho_table(loaded.errors, loaded.study)
    targets, average = table.iloc[:-1], table.iloc[-1]
    assert average["num_averaged"] == 3
    for name in ("rho_reference", "rho_member", "difference"):
        assert average[name] == pytest.approx(targets[name].mean())
    constant = loaded.errors.assign(textures=4.0)
    average = rho_table(constant, loaded.study).iloc[-1]
    assert average["num_averaged"] == 2
    assert average["difference"] == pytest.approx(average["rho_member"] - average["rho_reference"])


def test_structure_table(loaded):
    table = structure_table(loaded.errors, loaded.architectures, loaded.study).set_index("dataset")
    assert list(table.index) == loaded.study.dataset_keys()
    expected = scipy_rho(loaded.architectures["cum_width"], loaded.errors["textures"])
    assert table.loc["textures", "rho_cum_width"] == pytest.approx(expected)
    assert table.loc["textures", "n_cum_depth"] == 31


def test_pair_table_has_every_pair_once(loaded):
    table = pair_table(loaded.errors, loaded.study)
    pairs = {frozenset(pair) for pair in table[["dataset_a", "dataset_b"]].to_numpy().tolist()}
    assert len(table) == len(pairs) == 15
    row = table.set_index(["dataset_a", "dataset_b"]).loc[("digits_5", "faces")]
    expected = scipy_rho(loaded.errors["digits_5"], loaded.errors["faces"])
    assert row["rho"] == pytest.approx(expected)


def test_dataset_table(loaded):
    table = dataset_table(loaded.results, loaded.study).set_index("dataset")
    errors = loaded.errors["textures"].dropna()
    row = table.loc["textures"]
    assert (row["planned"], row["done"], row["n"], row["epochs"]) == (32, 31, 31, 20)
    assert row["median"] == pytest.approx(errors.median())
    assert (row["best"], row["worst"]) == (errors.min(), errors.max())
    assert row["spread"] == pytest.approx(errors.quantile(0.9) - errors.quantile(0.1))


def test_noise_table(loaded):
    row = noise_table(loaded.errors, loaded.repeats, loaded.study).iloc[0]
    repeats = loaded.repeats["error"]
    of_repeats = repeats.quantile(0.9) - repeats.quantile(0.1)
    assert (row["arch"], row["n_seeds"], row["n_population"]) == ("a0000", 5, 32)
    assert row["spread_repeats"] == pytest.approx(of_repeats)
    assert row["ratio"] == pytest.approx(row["spread_population"] / of_repeats)
    one = noise_table(loaded.errors, loaded.repeats.head(1), loaded.study).iloc[0]
    assert math.isnan(one["ratio"])


def test_csv_has_fixed_formats_and_reads_back(loaded, tmp_path):
    table = rho_table(loaded.errors, loaded.study)
    path = write_table(table, tmp_path / "deep" / "rho.csv")
    text = path.read_text()
    assert "\r" not in text
    assert "nan" not in text.lower()
    back = pd.read_csv(io.StringIO(text))
    np.testing.assert_allclose(back["rho_reference"], table["rho_reference"], rtol=1e-11)
    np.testing.assert_allclose(
        back["p_reference"][:3], table["p_reference"][:3].astype(float), rtol=1e-11
    )
    tiny = pd.DataFrame({"rho": [-1e-14, math.nan], "p": [1e-30, math.nan], "n": [3, 4]})
    assert table_text(tiny) == "rho,p,n\n0,1e-30,3\n,,4\n"


def test_warnings_name_what_is_incomplete(loaded):
    warnings = loaded.warnings()
    assert any("1 run of 197 has failed or is missing" in text for text in warnings)
    assert "Architectures done: 31 of 32 on Textures." in warnings
    assert not any("Few architectures" in text for text in warnings)


def test_warnings_of_few_architectures(tmp_path):
    few = Loaded(write_study(tmp_path / "few", Plan(archs=24, failed=())))
    assert any("only 24 errors" in text and "n = 24" in text for text in few.warnings())
    fewer = Loaded(write_study(tmp_path / "fewer", Plan(archs=3, failed=())))
    assert any("needs at least 4" in text for text in fewer.warnings())


def test_repeats_of_control_experiments_are_repeats(loaded):
    sweeps = dict(loaded.study.sweeps)
    name = loaded.study.sweeps_of_role("repeats")[0]
    sweeps[name] = {**sweeps[name], "role": "control", "control": "repeats"}
    study = dataclasses.replace(loaded.study, sweeps=sweeps)
    repeats = repeat_runs(loaded.results, study)
    assert len(repeats) > 1
    pd.testing.assert_frame_equal(repeats, loaded.repeats)


def test_rhos_near_one_have_three_decimals():
    assert [rho_number(rho) for rho in (0.98, 0.9987, -0.6)] == ["0.98", "0.999", f"{MINUS}0.60"]
    assert rho_interval(0.97, 0.9987) == "[0.97, 0.999]"
    assert rho_interval(math.nan, 1.0) == DASH


def test_ties_are_counted_in_pairs(loaded):
    results = loaded.results.copy()
    faces = results.index[results["sweep"] == "faces"]
    results.loc[faces[:3], "error"] = 50.0
    table = dataset_table(results, loaded.study).set_index("dataset")
    n = table.loc["faces", "n"]
    assert table.loc["faces", "tied_pairs"] == pytest.approx(3 / (n * (n - 1) / 2))


def test_warnings_of_saturated_and_noisy_sets(loaded):
    saturated = Loaded.__new__(Loaded)
    saturated.__dict__.update(loaded.__dict__)
    results = loaded.results.copy()
    best = (results["sweep"] == "faces") & (results["error"] < 33)
    results.loc[best, "error"] = 0.0
    rounded = results["sweep"] == "photographs"
    results.loc[rounded, "error"] = results.loc[rounded, "error"].round()
    saturated.results = results
    saturated.errors = error_table(results, loaded.study)
    saturated.repeats = loaded.repeats.assign(error=loaded.repeats["error"] * [1, 2, 3, 4, 5])
    warnings = saturated.warnings()
    assert any(text.startswith("Saturated errors: ") and "on Faces" in text for text in warnings)
    assert any("% on Photograph patches. Ties make" in text for text in warnings)
    assert any("Training noise lowers" in text for text in warnings)


def test_a_set_whose_images_are_those_of_another_is_warned_of(loaded):
    datasets = {key: {**facts} for key, facts in loaded.study.datasets.items()}
    datasets["digits"]["catalogue_key"] = datasets["digits_5"]["catalogue_key"] = "imagenet"
    datasets["faces"] |= {"part_of": "imagenet", "part_of_title": "ImageNet"}
    other = copy.copy(loaded)
    other.study = dataclasses.replace(loaded.study, datasets=datasets)
    [warning] = set(other.warnings()) - set(loaded.warnings())
    assert warning.startswith("The images of Faces are among those of Digits")
    assert "Its images are part of ImageNet." in dict(dataset_notes(other.study))["Faces"]


def test_warning_when_nothing_has_finished(tmp_path):
    plan = Plan(archs=1, repeats=0)
    plan.failed, plan.missing = (), tuple((key, 0) for key in plan.classes)
    assert len(Loaded(write_study(tmp_path / "none", plan)).warnings()) == 1
